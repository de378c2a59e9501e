"""This machine as the lab machine (`lab:machine local`) of a user who isn't root.

All that is done on a lab machine takes root, for hours. So a key of the project's is let in as root
once, by `lab host prepare`, which asks sudo for it, from this machine alone; then it is reached by
ssh, as any real one. Owns that key and what its files hold. Leaves letting it in to `lab.host`.
"""

import os
from pathlib import Path

from config import files, secrets, stacks
from config.access import LabMachine

FOLDER = stacks.PROJECT / ".lab" / "local"
ADDRESS = "127.0.0.1"
HOST_KEYS = Path("/etc/ssh")


def lab_machine() -> LabMachine:
    """This machine: for root as it is, for others by ssh."""
    if os.geteuid() == 0:
        return LabMachine(host=None)
    return LabMachine(
        ADDRESS, user="root", identity=FOLDER / "id_ecdsa", known_hosts=FOLDER / "known_hosts",
        this=True,
    )  # fmt: skip


def write_access() -> None:
    """Write the key, and the keys by which this machine's sshd is known; the same each time."""
    files.write(FOLDER / "id_ecdsa", _key().private)
    known = ""
    for path in sorted(HOST_KEYS.glob("ssh_host_*_key.pub")):
        kind, key, *_ = path.read_text().split()
        known += f"{ADDRESS} {kind} {key}\n"
    files.write(FOLDER / "known_hosts", known)


def authorized_line() -> str:
    """What lets the key in: a line of /root/.ssh/authorized_keys, sshd(8); from here alone."""
    return f'from="{ADDRESS}" {_key().public} rack-lab'


def _key() -> secrets.Key:
    return secrets.derive_key(files.seed(FOLDER), "root of this machine")
