"""A real sshd for the tests: Debian's, with keys and configuration of its own."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Sshd:
    """Debian's sshd on a free port of 127.0.0.1, for one key."""

    folder: Path
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    def prepare(self) -> None:
        """Make keys and the configuration; nothing runs yet."""
        for name in ("host", "user"):
            key = str(self.folder / name)
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", key], check=True
            )
        (self.folder / "authorized").write_bytes((self.folder / "user.pub").read_bytes())
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)  # sshd refuses to start without it
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        lines = [
            f"Port {self.port}", "ListenAddress 127.0.0.1", f"HostKey {self.folder}/host",
            f"AuthorizedKeysFile {self.folder}/authorized", "PidFile none", "UsePAM no",
            "StrictModes no", "PasswordAuthentication no", "PermitRootLogin prohibit-password",
            "AcceptEnv WELCOME PULUMI_COMMAND_*", "Subsystem sftp internal-sftp",
            "LogLevel VERBOSE",
        ]  # fmt: skip
        (self.folder / "config").write_text("\n".join(lines) + "\n")

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.process = subprocess.Popen(
            ["/usr/sbin/sshd", "-D", "-f", str(self.folder / "config"), "-E", str(self._log)]
        )
        for _ in range(100):
            try:
                socket.create_connection(("127.0.0.1", self.port)).close()
                return
            except OSError:
                time.sleep(0.05)
        raise AssertionError(self._log.read_text())

    def stop(self) -> None:
        """End it and its connections."""
        self.drop_connections()
        if self.process is not None:
            self.process.terminate()
            self.process.wait()

    def drop_connections(self) -> None:
        """End every connection, as a machine that loses its power does, if more politely."""
        assert self.process is not None
        children = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        for child in children.read_text().split():
            with suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    def logins(self) -> int:
        """How many connections were made with the key."""
        return self._log.read_text().count("Accepted publickey")

    @property
    def _log(self) -> Path:
        return self.folder / "log"

    @property
    def key(self) -> str:
        """The user's private key."""
        return (self.folder / "user").read_text()

    @property
    def host_key(self) -> str:
        """The server's public key."""
        return (self.folder / "host.pub").read_text()


NodeUri = Callable[[Sshd], str]
"""The URI of a node's libvirtd behind an sshd."""
