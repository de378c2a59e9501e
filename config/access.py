"""How the rack is reached: the lab machine's address and one ssh client configuration.

Owns the text of `ssh_config` and `known_hosts`, and libvirt's URIs that use them. Leaves
writing the files to `state`, addresses to `addressing`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from config import addressing
from config.errors import ConfigError, Problem
from config.topology import Topology

LAB_MACHINE = "labmachine"  # its alias in ssh_config
KEPT_S = 30  # how long a connection outlives its last command
SUN_PATH = 107  # bytes of a unix socket's path, unix(7)
CONNECTION_HASH, SOCKET_SUFFIX = 40, 17  # ssh's %C, and what it adds while it binds
CONNECT_TIMEOUT_S = 30  # a handshake takes seconds where every level is emulated
KEY_EXCHANGE = "curve25519-sha256"  # the post-quantum default doubles that


@dataclass(frozen=True)
class LabMachine:
    """The host of everything: this machine (`host` is None) or one reached over ssh.

    `identity` and `known_hosts` are given for the virtual one; a real one uses what the
    user's own ssh uses.
    """

    host: str | None
    port: int = 22
    user: str = "root"
    identity: Path | None = None
    known_hosts: Path | None = None

    @property
    def name(self) -> str:
        """What a person calls it: "local" or "ssh://user@host:port"."""
        return f"ssh://{self.user}@{self.host}:{self.port}" if self.host else "local"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `lab:machine`: "local" or "ssh://[user@]host[:port]".

        Raises:
            ConfigError: for anything else.
        """
        if text == "local":
            return cls(host=None)
        parts = urlsplit(text)
        if parts.scheme != "ssh" or not parts.hostname or parts.path not in ("", "/"):
            rule = "one of: virtual, local, ssh://[user@]host[:port]"
            remedy = "pulumi config set lab:machine ssh://root@HOST"
            raise ConfigError("the stack's settings", [Problem("lab:machine", text, rule, remedy)])
        return cls(host=parts.hostname, port=parts.port or 22, user=parts.username or "root")


def ssh_config(lab: LabMachine, topology: Topology, folder: Path) -> str:
    """The client configuration that names every machine of the stack; no secret in it.

    `folder` holds the admin key `id_ecdsa` and `known_hosts`.
    """
    blocks = []
    if lab.host is not None:
        own = {"HostName": lab.host, "Port": lab.port, "User": lab.user}
        if lab.identity:
            own |= {"IdentityFile": lab.identity, "IdentitiesOnly": "yes"}
        if lab.known_hosts:
            own |= {
                "UserKnownHostsFile": lab.known_hosts,
                "StrictHostKeyChecking": "yes",
                "KexAlgorithms": KEY_EXCHANGE,
            }
        blocks.append(_block(LAB_MACHINE, own))
    for name in topology.machines:
        machine: dict[str, object] = {
            "HostName": addressing.management_address(topology, name),
            "HostKeyAlias": name,
            "User": "root",
            "IdentityFile": folder / "id_ecdsa",
            "IdentitiesOnly": "yes",
            "UserKnownHostsFile": folder / "known_hosts",
            "StrictHostKeyChecking": "yes",
            "KexAlgorithms": KEY_EXCHANGE,
        }
        if lab.host is not None:
            machine["ProxyJump"] = LAB_MACHINE
        blocks.append(_block(name, machine))
    everyone: dict[str, object] = {
        "BatchMode": "yes",
        "ConnectTimeout": CONNECT_TIMEOUT_S,
        "ServerAliveInterval": 15,
        "ServerAliveCountMax": 4,
        "LogLevel": "ERROR",
        **_sharing(folder),
    }
    return "\n".join([*blocks, _block("*", everyone)])


def _sharing(folder: Path) -> dict[str, object]:
    """One connection for many commands: a handshake takes seconds under emulation.

    It is given up soon, so that a machine that lost its power isn't waited for; left out where
    its socket's path would be too long (sun_path in unix(7)).
    """
    socket = folder / "ssh-%C"
    if len(str(folder)) + len("/ssh-") + CONNECTION_HASH + SOCKET_SUFFIX > SUN_PATH:
        return {}
    return {"ControlMaster": "auto", "ControlPath": socket, "ControlPersist": KEPT_S}


def _block(host: str, options: Mapping[str, object]) -> str:
    return "".join([f"Host {host}\n", *(f"    {key} {value}\n" for key, value in options.items())])


def known_hosts(host_keys: Mapping[str, str]) -> str:
    """The public host keys by machine name, as sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""
    return "".join(f"{name} {key}\n" for name, key in host_keys.items())


def libvirt_uri(lab: LabMachine, machine: str, ssh_config_file: Path) -> str:
    """The libvirt URI of a machine's libvirtd, LAB_MACHINE or a first-level node."""
    if machine == LAB_MACHINE and lab.host is None:
        return "qemu:///system"
    return f"qemu+ssh://{machine}/system?ssh_config={ssh_config_file}"


def shell(lab: LabMachine, machine: str, ssh_config_file: Path) -> list[str]:
    """The argv that runs its last argument, a shell command, on a machine as root."""
    if machine == LAB_MACHINE and lab.host is None:
        return ["/bin/sh", "-c"]
    return ["ssh", "-F", str(ssh_config_file), "-T", machine]
