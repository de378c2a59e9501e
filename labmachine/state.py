"""What a lab machine has on the user's machine: one folder, and one process.

Owns the names in the folder and the question whether the pidfile's process is ours.
Leaves creating and removing to `machine`.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from artefacts.environment import PROJECT
from config.settings import HARDWARE


@dataclass(frozen=True)
class State:
    """The folder of one lab machine; readable by its owner only, for it holds keys."""

    folder: Path = PROJECT / ".lab" / "machine"

    @property
    def pidfile(self) -> Path:
        return self.folder / "qemu.pid"

    @property
    def lock(self) -> Path:
        """Beside the folder, so that wiping the folder can hold it."""
        return self.folder.with_name(f"{self.folder.name}.lock")

    @property
    def layers(self) -> Path:
        """A folder for each layer of what the machine has written."""
        return self.folder / "layers"

    @property
    def current(self) -> Path:
        """A link to the layer that is written to."""
        return self.folder / "current"

    @property
    def layer(self) -> Path:
        """Where the disks are; in the folder itself if they are older than layers."""
        unlayered = not self.current.is_symlink() and (self.folder / "root.qcow2").exists()
        return self.folder if unlayered else self.current

    @property
    def image(self) -> Path:
        """The image that the root overlay lies on: hard links, or copies, of the cache's."""
        return self.layer / "image"

    @property
    def root(self) -> Path:
        return self.layer / "root.qcow2"

    def disk(self, name: str) -> Path:
        """A physical disk: in the lowest layer a sparse raw file, else qcow2 over that below."""
        above = self.layer / f"disk-{name}.qcow2"
        return above if above.exists() else self.layer / f"disk-{name}.raw"

    @property
    def hardware(self) -> Path:
        """What it was last started with, or will be first, as JSON (`qemu.hardware`)."""
        return self.folder / HARDWARE

    @property
    def restoring(self) -> Path:
        """Names the snapshot that is being gone back to."""
        return self.folder / "restoring"

    @property
    def snapshots(self) -> Path:
        """Beside the folder: they outlive a machine that is reset."""
        return self.folder.with_name("snapshots")

    @property
    def qmp(self) -> Path:
        return self.folder / "qmp.sock"

    @property
    def console(self) -> Path:
        return self.folder / "console.sock"

    @property
    def console_log(self) -> Path:
        return self.folder / "console.log"

    @property
    def qemu_log(self) -> Path:
        return self.folder / "qemu.log"

    @property
    def private_key(self) -> Path:
        return self.folder / "id_ed25519"

    @property
    def public_key(self) -> Path:
        return self.folder / "id_ed25519.pub"

    @property
    def host_key(self) -> Path:
        return self.folder / "ssh_host_ed25519_key"

    @property
    def known_hosts(self) -> Path:
        return self.folder / "known_hosts"

    def pid(self) -> int | None:
        """The machine's process, or None.

        A pidfile alone proves nothing: a process number may be reused. qemu keeps its pidfile
        open, so the process that has this very file open is the machine, also when the
        project's folder was moved meanwhile.
        """
        try:
            ours = self.pidfile.stat()
            pid = int(self.pidfile.read_text())
            opened = list(Path(f"/proc/{pid}/fd").iterdir())
        except (OSError, ValueError):
            return None
        return pid if any(_is(each, ours) for each in opened) else None

    @property
    def bytes_held(self) -> int:
        """What its files take on the user's machine, but for the image, which is the cache's."""
        files = [*self.folder.glob("*"), *self.layers.glob("*/*")]
        return bytes_of(files)

    def last_console_lines(self, count: int = 5) -> list[str]:
        """The end of what the machine's console has shown."""
        try:
            text = self.console_log.read_bytes()[-8192:].decode(errors="replace")
        except OSError:
            return []
        return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]


def bytes_of(files: Iterable[Path]) -> int:
    """What they take on the disk; links and folders count nothing."""
    return sum(
        file.stat().st_blocks * 512 for file in files if file.is_file() and not file.is_symlink()
    )


def _is(descriptor: Path, file: os.stat_result) -> bool:
    try:
        return os.path.samestat(descriptor.stat(), file)
    except OSError:  # closed meanwhile
        return False
