"""How the rack is reached: the lab machine's address and one ssh client configuration.

Owns the text of `ssh_config` and `known_hosts`, and libvirt's URIs that use them. Leaves what the
user's own ssh configuration says of a real lab machine to `users_ssh`, writing the files to
`settings`, addresses to `addressing`.
"""

import os
import re
import shlex
from collections.abc import Mapping, Sequence
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
CONNECT_TIMEOUT_S = 120  # emulated, a busy machine may not say a word for a minute
KEY_EXCHANGE = "curve25519-sha256"  # the post-quantum default doubles that


@dataclass(frozen=True)
class LabMachine:
    """The host of everything: this machine (`host` is None) or one reached over ssh.

    `identity` and `known_hosts` are given for the virtual one. A real one's `host` may be an alias
    of the user's ~/.ssh/config; `options` are what that says of it, as (key, value) of
    ssh_config(5). `port` and `user` are None where `lab:machine` names none. `this`: it is this
    machine all the same, reached over ssh (`config.local`).
    """

    host: str | None
    port: int | None = None
    user: str | None = None
    identity: Path | None = None
    known_hosts: Path | None = None
    options: tuple[tuple[str, str], ...] = ()
    this: bool = False

    @property
    def name(self) -> str:
        """What a person calls it: "local", or as `lab:machine` names it."""
        if self.host is None or self.this:
            return "local"
        host = f"[{self.host}]" if ":" in self.host else self.host
        user = f"{self.user}@" if self.user else ""
        return f"ssh://{user}{host}{f':{self.port}' if self.port else ''}"

    @classmethod
    def parse(cls, text: str, stack: str) -> Self:
        """Read a stack's `lab:machine` where it is "ssh://[user@]host[:port]".

        Raises:
            ConfigError: for anything else.
        """
        try:
            parts = urlsplit(text)
            port = parts.port  # ValueError: no number, or none of a port
        except ValueError:
            raise _no_machine(text, stack) from None
        # No option (-oProxyCommand=...), no blank: it is a word of ssh's command line.
        host, user = parts.hostname or "", parts.username
        words = [host, *([user] if user is not None else [])]
        odd = any(not word or word.startswith("-") or not word.isprintable() for word in words)
        odd = odd or any(set(word) & set(" \"'\\%$`;&|<>") for word in words)
        if parts.scheme != "ssh" or odd or port == 0 or parts.password is not None:
            raise _no_machine(text, stack)
        if parts.path not in ("", "/") or parts.query or parts.fragment:
            raise _no_machine(text, stack)
        # urlsplit's hostname is in lower case, an alias needn't be
        written = parts.netloc.rpartition("@")[2]
        at = written.lower().find(host)
        return cls(host=written[at : at + len(host)], port=port, user=user)


def _no_machine(text: str, stack: str) -> ConfigError:
    rule = "one of: virtual, local, ssh://[user@]host[:port]"
    remedy = f"pulumi config set lab:machine ssh://root@HOST --stack {stack}"
    text = re.sub("(//[^/]*:)[^/]*@", r"\1…@", text)  # no password is shown
    return ConfigError("the stack's settings", [Problem("lab:machine", text, rule, remedy)])


def ssh_config(lab: LabMachine, topology: Topology, folder: Path) -> str:
    """The client configuration that names every machine of the stack; no secret in it.

    `folder` holds the admin key `id_ecdsa` and `known_hosts`. The first value of an option counts
    (ssh_config(5)), and the lab machine's block is the first: no machine of the rack shadows it.

    Raises:
        ConfigError: the folder's path can't stand in such a file.
    """
    blocks = []
    if lab.host is not None:
        blocks.append(_block(LAB_MACHINE, _lab_machine(lab)))
    for name in topology.machines:
        machine = [
            ("HostName", addressing.management_address(topology, name)),
            ("HostKeyAlias", name),
            ("User", "root"),
            ("IdentityFile", quoted(folder / "id_ecdsa")),
            ("IdentitiesOnly", "yes"),
            ("UserKnownHostsFile", quoted(folder / "known_hosts")),
            ("StrictHostKeyChecking", "yes"),
            ("KexAlgorithms", KEY_EXCHANGE),
        ]
        if lab.host is not None:
            machine.append(("ProxyCommand", _through(folder / "ssh_config")))
        blocks.append(_block(name, machine))
    everyone = [
        ("BatchMode", "yes"),
        ("ConnectTimeout", CONNECT_TIMEOUT_S),
        ("ServerAliveInterval", 15),
        ("ServerAliveCountMax", 4),
        ("LogLevel", "ERROR"),
        *_sharing(folder),
    ]
    return "\n".join([*blocks, _block("*", everyone)])


def _lab_machine(lab: LabMachine) -> list[tuple[str, object]]:
    own: list[tuple[str, object]] = [
        ("HostName", lab.host), ("Port", lab.port or 22), ("User", lab.user or "root")
    ]  # fmt: skip
    if lab.identity:
        own += [("IdentityFile", quoted(lab.identity)), ("IdentitiesOnly", "yes")]
    if lab.known_hosts:
        own += [
            ("UserKnownHostsFile", quoted(lab.known_hosts)),
            ("StrictHostKeyChecking", "yes"),
            ("KexAlgorithms", KEY_EXCHANGE),
        ]
    return [*own, *lab.options]


def _through(config: Path) -> str:
    """The way by the lab machine, as ProxyJump makes it.

    ssh itself passes on `-F FILE` without quotes (ssh.c, "-F "), so a blank ends that.
    """
    words = shlex.join(["ssh", "-F", str(config)]).replace("%", "%%")
    return f"{words} -W '[%h]:%p' {LAB_MACHINE}"


def quoted(path: Path) -> str:
    """A path as an argument of ssh_config(5): quoted, "%" isn't a token.

    Raises:
        ConfigError: it has what no quoting takes away: ssh puts in the environment's variables.
    """
    text = str(path)
    if "${" in text or not text.isprintable():
        problem = Problem(
            "folder", repr(text), "a path that ssh takes as it is: no ${ and no control characters",
            "rename the folder, or move the project",
        )  # fmt: skip
        raise ConfigError("ssh's configuration", [problem])
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def _sharing(folder: Path) -> list[tuple[str, object]]:
    """One connection for many commands: a handshake takes seconds under emulation.

    It is given up soon, so that a machine that lost its power isn't waited for; left out where
    its socket's path would be too long (sun_path in unix(7)).
    """
    if not shares(folder):
        return []
    path = f'{quoted(folder)[:-1]}/ssh-%C"'
    return [("ControlMaster", "auto"), ("ControlPath", path), ("ControlPersist", KEPT_S)]


def shares(folder: Path) -> bool:
    """Whether commands share connections whose sockets lie in this folder."""
    room = SUN_PATH - len("/ssh-") - CONNECTION_HASH - SOCKET_SUFFIX
    return len(os.fsencode(folder)) <= room


def _block(host: str, options: Sequence[tuple[str, object]]) -> str:
    return "".join([f"Host {host}\n", *(f"    {key} {value}\n" for key, value in options)])


def known_hosts(host_keys: Mapping[str, str]) -> str:
    """The public host keys by machine name, as sshd(8), SSH_KNOWN_HOSTS FILE FORMAT."""
    return "".join(f"{name} {key}\n" for name, key in host_keys.items())


def is_here(lab: LabMachine, machine: str) -> bool:
    """Whether a machine is the one that this runs on, which is reached without ssh."""
    return machine == LAB_MACHINE and lab.host is None


def libvirt_uri(lab: LabMachine, machine: str, ssh_config_file: Path) -> str:
    """The libvirt URI of a machine's libvirtd, LAB_MACHINE or a first-level node."""
    if is_here(lab, machine):
        return "qemu:///system"
    return f"qemu+ssh://{machine}/system?ssh_config={ssh_config_file}"


def shell(lab: LabMachine, machine: str, ssh_config_file: Path) -> list[str]:
    """The argv that runs its last argument, a shell command, on a machine as root."""
    if is_here(lab, machine):
        return ["/bin/sh", "-c"]
    return ["ssh", "-F", str(ssh_config_file), "-T", machine]


def is_connected(machine: str, ssh_config_file: Path) -> list[str]:
    """The argv that ends with 0 while there is a connection to share, ssh(1)."""
    return ["ssh", "-F", str(ssh_config_file), "-O", "check", machine]
