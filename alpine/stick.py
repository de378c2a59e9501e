"""The USB stick: a disk image that a PC's BIOS boots, holding a boot tree.

Owns the file system and the boot loader (syslinux on FAT32 over the whole stick, no partition
table: SeaBIOS boots that, and the kernel finds the label at once). Leaves what is in the tree to
the caller. Needs no root: mtools and syslinux write into the file.

Attach it as usb-storage behind `qemu-xhci`: power-on to ready 12.6 s under TCG, with `usb-ehci`
13.2 s, and it needs fewer exits, which cost more where KVM is nested.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from alpine.kernel import ARGUMENTS
from artefacts import LabError, run

LABEL = "RACK"
SECTOR = 512
FAT32_MINIMUM = 64 << 20
COMMAND_LINE = " ".join(ARGUMENTS)
HINT = "needed on this host: dosfstools, mtools, syslinux"


def write_stick(
    path: Path,
    files: Mapping[str, Path],
    *,
    machine: str,
    size_bytes: int,
    label: str = LABEL,
    command_line: str = COMMAND_LINE,
) -> None:
    """Write a stick image of `size_bytes` to `path` (sparse), with `files` by their tree paths.

    It boots `boot/vmlinuz` and `boot/initramfs`, which must be among the files, with
    `rack.tree=label://<label> rack.machine=<machine>` and `command_line`.

    Raises:
        LabError: the files don't fit, or a program is missing.
        ValueError: no kernel or initramfs among the files.
    """
    missing = {"boot/vmlinuz", "boot/initramfs"} - set(files)
    if missing:
        raise ValueError(f"a stick without {' and '.join(sorted(missing))} can't boot")
    needed = sum(source.stat().st_size for source in files.values())
    if size_bytes < max(needed, FAT32_MINIMUM):
        least = max(needed, FAT32_MINIMUM) >> 20
        raise LabError(f"stick of {size_bytes >> 20} MiB: {least} MiB are needed at least")
    path.unlink(missing_ok=True)
    settings = ["-F", "32", "--invariant", "-n", label]
    run(["mkfs.vfat", *settings, "-C", path, str(size_bytes // 1024)], hint=HINT)
    run(["syslinux", "--install", path], hint=HINT)
    _copy(path, files)
    tree = f"rack.tree=label://{label} rack.machine={machine}"
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "syslinux.cfg"
        config.write_text(menu(f"{tree} {command_line}"))
        _copy(path, {"syslinux.cfg": config})


def menu(command_line: str) -> str:
    """syslinux.cfg: one entry, started at once."""
    return (
        "DEFAULT rack\nPROMPT 0\nTIMEOUT 0\n"
        "LABEL rack\n LINUX /boot/vmlinuz\n INITRD /boot/initramfs\n"
        f" APPEND {command_line}\n"
    )


def _copy(image: Path, files: Mapping[str, Path]) -> None:
    # FAT has local times, which Linux takes for UTC: `run` gives TZ=UTC
    folders = {str(parent) for name in files for parent in PurePosixPath(name).parents}
    for folder in sorted(folders - {"."}):
        run(["mmd", "-i", image, f"::{folder}"], hint=HINT)
    for name, source in sorted(files.items()):
        run(["mcopy", "-i", image, source, f"::{name}"], hint=HINT)
