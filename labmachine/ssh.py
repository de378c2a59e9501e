"""How the lab machine is reached: ssh to a port on 127.0.0.1, with keys made for it.

Owns its keys, its known_hosts and the ssh command line. Leaves the rack's machines behind
it to the stack's own ssh configuration.
"""

import socket
from pathlib import Path

from artefacts import run
from config.labmachine import LabMachine
from labmachine.state import State

HOST = "127.0.0.1"


def make_keys(settings: LabMachine, state: State) -> None:
    """Make the login key, the machine's host key and known_hosts, where missing."""
    for path, comment in ((state.private_key, "lab"), (state.host_key, "labmachine")):
        if not path.exists():
            run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path])
    public = Path(f"{state.host_key}.pub").read_text()
    state.known_hosts.write_text(f"[{HOST}]:{settings.ssh_port} {public}")


def ssh_argv(settings: LabMachine, state: State, *command: str) -> list[str]:
    """The ssh command line for a command on the machine, or for a shell without one."""
    return [
        "ssh", "-F", "none", "-p", str(settings.ssh_port), "-i", str(state.private_key),
        "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes",
        "-o", f"UserKnownHostsFile={state.known_hosts}", "-o", "ConnectTimeout=20",
        "-o", "LogLevel=ERROR", f"root@{HOST}", *command,
    ]  # fmt: skip


def sshd_answers(settings: LabMachine) -> bool:
    """Whether sshd greets on the port; qemu itself accepts connections long before."""
    try:
        with socket.create_connection((HOST, settings.ssh_port), timeout=3) as link:
            return link.recv(4) == b"SSH-"
    except OSError:
        return False
