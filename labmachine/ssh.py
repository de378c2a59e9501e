"""How the lab machine is reached: ssh to a port on 127.0.0.1, with keys made for it.

Owns its keys, its known_hosts and the ssh command line. Leaves the rack's machines behind
it to the stack's own ssh configuration.
"""

import socket
import tempfile
from pathlib import Path

from artefacts import CommandFailed, run
from config.files import write
from config.labmachine import LabMachine
from labmachine.state import State

HOST = "127.0.0.1"


def make_keys(state: State) -> None:
    """Make the login key and the machine's host key, where missing or torn."""
    for path, comment in ((state.private_key, "lab"), (state.host_key, "labmachine")):
        if not _is_whole(path):
            _make_pair(path, comment)


def tell_host_key(settings: LabMachine, state: State) -> None:
    """Write known_hosts: the machine's key at the port that it is given when it starts."""
    public = _public(state.host_key).read_text()
    write(state.known_hosts, f"[{HOST}]:{settings.ssh_port} {public}")


def _is_whole(private: Path) -> bool:
    """Whether a run that was killed, or a power cut, has left the pair as it should be."""
    try:
        told = run(["ssh-keygen", "-y", "-P", "", "-f", private])
        return told.split()[:2] == _public(private).read_text().split()[:2]
    except (CommandFailed, OSError):
        return False


def _make_pair(private: Path, comment: str) -> None:
    """The private key gets its name last."""
    with tempfile.TemporaryDirectory(dir=private.parent) as scratch:
        new = Path(scratch) / "key"
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", new])
        run(["sync", new, _public(new)])
        _public(new).replace(_public(private))
        new.replace(private)


def _public(private: Path) -> Path:
    return Path(f"{private}.pub")


def ssh_argv(settings: LabMachine, state: State, *command: str) -> list[str]:
    """The ssh command line for a command on the machine, or for a shell without one."""
    return [
        "ssh", "-F", "none", "-p", str(settings.ssh_port),
        "-o", f"IdentityFile={_quoted(state.private_key)}",
        "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
        "-o", f"UserKnownHostsFile={_quoted(state.known_hosts)}", "-o", "ConnectTimeout=20",
        "-o", "LogLevel=ERROR", f"root@{HOST}", *command,
    ]  # fmt: skip


def _quoted(path: Path) -> str:
    """A path as an option of ssh_config(5), which splits at blanks and has % as a mark."""
    text = str(path).replace("%", "%%").replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}"'


def sshd_answers(settings: LabMachine) -> bool:
    """Whether sshd greets on the port; qemu itself accepts connections long before."""
    try:
        with socket.create_connection((HOST, settings.ssh_port), timeout=3) as link:
            return link.recv(4) == b"SSH-"
    except OSError:
        return False
