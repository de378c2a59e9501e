"""What a lab machine has on the user's machine: one folder, and one process.

Owns the names in the folder and the question whether the pidfile's process is ours.
Leaves creating and removing to `machine`.
"""

import os
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


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
    def image(self) -> Path:
        """A link to the image that the root overlay lies on."""
        return self.folder / "image"

    @property
    def root(self) -> Path:
        return self.folder / "root.qcow2"

    def disk(self, name: str) -> Path:
        """A physical disk, a sparse raw file."""
        return self.folder / f"disk-{name}.raw"

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

        A pidfile alone proves nothing: the process must exist and have been started with
        this very pidfile, or a reused process number would be taken for the machine.
        """
        try:
            pid = int(self.pidfile.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        wanted = [b"-pidfile", os.fsencode(self.pidfile)]
        return pid if wanted in [command[at : at + 2] for at in range(len(command))] else None

    def last_console_lines(self, count: int = 5) -> list[str]:
        """The end of what the machine's console has shown."""
        try:
            text = self.console_log.read_bytes()[-8192:].decode(errors="replace")
        except OSError:
            return []
        return [line.rstrip() for line in text.splitlines() if line.strip()][-count:]
