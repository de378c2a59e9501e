"""A cpio archive, as the kernel unpacks it for an initramfs.

Owns the "newc" format (Linux' Documentation/driver-api/early-userspace/buffer-format.rst), always
owner root and time zero, so equal content gives equal bytes. Leaves what goes in to `initramfs`.
"""

import stat

TRAILER = "TRAILER!!!"
ALIGN = 4
DEVICE_NUMBERS = {"dev/console": (5, 1), "dev/null": (1, 3)}


class Archive:
    """Collects entries; `content()` is the archive. Folders must come before what is in them."""

    def __init__(self) -> None:
        self._entries: list[bytes] = []

    def folder(self, name: str) -> None:
        """Add a folder with mode 755."""
        self._add(name, stat.S_IFDIR | 0o755)

    def file(self, name: str, data: bytes, *, executable: bool = False) -> None:
        """Add a file with mode 644, or 755 if it is executable."""
        self._add(name, stat.S_IFREG | (0o755 if executable else 0o644), data)

    def link(self, name: str, target: str) -> None:
        """Add a symbolic link."""
        self._add(name, stat.S_IFLNK | 0o777, target.encode())

    def device(self, name: str) -> None:
        """Add one of the character devices in DEVICE_NUMBERS, mode 600."""
        self._add(name, stat.S_IFCHR | 0o600, device=DEVICE_NUMBERS[name])

    def content(self) -> bytes:
        """The archive with its trailer."""
        return b"".join([*self._entries, self._entry(TRAILER, 0, b"", (0, 0), 0)])

    def _add(
        self, name: str, mode: int, data: bytes = b"", device: tuple[int, int] = (0, 0)
    ) -> None:
        number = len(self._entries) + 1
        self._entries.append(self._entry(name, mode, data, device, number))

    @staticmethod
    def _entry(name: str, mode: int, data: bytes, device: tuple[int, int], number: int) -> bytes:
        path = name.encode() + b"\0"
        links = 1
        fields = (
            *(number, mode, 0, 0, links, 0, len(data)),
            *(0, 0, *device, len(path), 0),
        )
        header = b"070701" + b"".join(b"%08X" % value for value in fields)
        return _padded(header + path) + _padded(data)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % ALIGN)
