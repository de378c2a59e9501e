"""A real libvirtd for the tests: an ordinary user's, in a folder of its own."""

import os
import shutil
import subprocess
import time
import uuid
from dataclasses import dataclass, field
from pathlib import Path

NOBODY = 65534


@dataclass
class Libvirtd:
    """libvirtd of a user session; as root, that of nobody, so that it is no system's."""

    # Not in pytest's folder, which is not for others to enter.
    folder: Path = field(default_factory=lambda: Path("/tmp") / f"libvirtd-{uuid.uuid4().hex[:8]}")
    process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where it listens."""
        return self.folder / "libvirt" / "libvirt-sock"

    def start(self) -> None:
        """Start it and wait until it listens."""
        self.folder.mkdir()
        config, log = self.folder / "conf", self.folder / "log"
        config.write_text('unix_sock_rw_perms = "0777"\nauth_unix_rw = "none"\n')
        argv = ["/usr/sbin/libvirtd", "-f", str(config)]
        if os.geteuid() == 0:
            os.chown(self.folder, NOBODY, NOBODY)
            argv = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", *argv]
        places = ("HOME", "XDG_RUNTIME_DIR", "XDG_CONFIG_HOME", "XDG_CACHE_HOME")
        env = {"PATH": os.environ["PATH"], **dict.fromkeys(places, str(self.folder))}
        with log.open("w") as sink:
            self.process = subprocess.Popen(argv, env=env, stdout=sink, stderr=sink)
        deadline = time.monotonic() + 20
        while self.virsh("uri").startswith("error"):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def stop(self) -> None:
        """End it, its domains and its folder."""
        assert self.process is not None
        for name in self.names():
            self.virsh("destroy", name)
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.folder)

    def virsh(self, *arguments: str) -> str:
        """What virsh says to it, good or bad."""
        uri = f"qemu+unix:///session?socket={self.socket}"
        argv = ["virsh", "-q", "-c", uri, *arguments]
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.stdout + done.stderr

    def names(self) -> set[str]:
        """The domains it knows."""
        return set(self.virsh("list", "--all", "--name").split())
