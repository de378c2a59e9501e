"""What one stack is: its topology, its lab machine, its folder and its seed.

Owns what a stack's options mean (`lab:topology`, `lab:machine`, …) and which files its
folder `.lab/stacks/<stack>/` has: the admin key, ssh_config, known_hosts, overlays. Leaves what
stands in them to `access` and `secrets`, writing them and the seed to `files`.
"""

import difflib
import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from config import access, checks, files, local, mirror, names, profile, secrets, stacks, users_ssh
from config.access import LabMachine
from config.errors import ConfigError, Problem, Refused
from config.labmachine import load_labmachine
from config.load import FOLDER, load_topology
from config.mirror import Mirror
from config.profile import Profile
from config.stacks import Option
from config.topology import Guest, Machine, Topology

PROJECT = stacks.PROJECT
MACHINE_FOLDER = PROJECT / ".lab" / "machine"  # labmachine/ keeps the virtual one's keys there
HARDWARE = "hardware.json"  # in it: what the virtual one is started with
VIRTUAL, LOCAL = "virtual", "local"
SWITCHES, ON_OR_OFF = ("start", "keep"), ("true", "false")  # the launcher acts on them
BMC_USER = "admin"


@dataclass(frozen=True)
class Settings:
    """One stack, validated whole; nothing is created before this exists."""

    stack: str
    topology: Topology
    lab: LabMachine
    profile: Profile
    seed: str
    memory: int | None = None  # bytes of the virtual lab machine; None: it is a real one
    mirror: Mirror | None = None  # where Alpine's packages are from; None: built offline

    @property
    def virtual(self) -> bool:
        """Whether the lab machine is this project's own."""
        return self.memory is not None

    @property
    def lab_machine_remedy(self) -> str:
        """What to do where the lab machine is silent."""
        if self.virtual:
            return "start it: lab machine up"
        if self.lab.name == "local":
            return (
                f"let this project in: lab --stack {self.stack} host prepare. Its sshd must listen "
                f"on {local.ADDRESS}:22 and take root's keys; where it has another port, and root "
                f"a key of yours: pulumi config set lab:machine ssh://root@localhost:PORT "
                f"--stack {self.stack}"
            )
        return (
            f"switch {self.lab.name} on and look with ssh, or name another: "
            f"pulumi config set lab:machine ssh://root@HOST --stack {self.stack}"
        )

    def machine(self, name: str) -> Machine:
        """The machine of that name.

        Raises:
            ConfigError: there is none.
        """
        if name not in self.topology.machines:
            raise self.unknown(name)
        return self.topology.machines[name]

    def host_of(self, name: str) -> str:
        """Where a machine's domain is defined: its node, or the lab machine.

        Raises:
            ConfigError: there is no such machine.
        """
        machine = self.machine(name)
        return machine.node if isinstance(machine, Guest) else access.LAB_MACHINE

    def hosts_of(self, name: str) -> tuple[str, ...]:
        """Where it may run: there, and where it moves to."""
        home, away = self.host_of(name), self.topology.moves.get(name)
        return (home, away) if away else (home,)

    def power_on(self, name: str) -> str:
        """The command that switches on the first-level machine that `name` is or lives in."""
        host = self.host_of(name)
        node = name if host == access.LAB_MACHINE else host
        return f"lab --stack {self.stack} power {node} on"

    def unknown(self, name: str) -> ConfigError:
        """The error for a name that no machine has."""
        rule, remedy = f"one of: {', '.join(self.topology.machines)}", "name one of these"
        if host := self.topology.host_of_container(name):
            rule = f"a machine; {name} is a container in {host}"
            remedy = f"lab --stack {self.stack} ssh {name}, or name {host}"
        elif near := difflib.get_close_matches(name, self.topology.machines, n=3):
            remedy = f"did you mean {' or '.join(near)}?"
        return Refused("the name", [Problem("machine", name, rule, remedy)])

    @property
    def folder(self) -> Path:
        """The stack's own folder, 0700."""
        return stack_folder(self.stack)

    @property
    def ssh_config(self) -> Path:
        """The ssh client configuration, relative to the project: it stands in Pulumi's state."""
        return (self.folder / "ssh_config").relative_to(PROJECT)

    @cached_property
    def admin_key(self) -> secrets.Key:
        """The operators' key, accepted by every machine of the stack."""
        return secrets.derive_key(self.seed, "admin")

    def host_key(self, machine: str) -> secrets.Key:
        """A machine's ssh host key."""
        return secrets.derive_key(self.seed, f"host {machine}")

    def bmc_password(self, server: str) -> str:
        """The password of a server's BMC, for BMC_USER."""
        return secrets.derive_password(self.seed, f"bmc {server}")

    def write_access(self) -> None:
        """Write the admin key, known_hosts and ssh_config; the same bytes every time."""
        files.write(self.folder / "id_ecdsa", self.admin_key.private)
        keys = {name: self.host_key(name).public for name in self.topology.machines}
        files.write(self.folder / "known_hosts", access.known_hosts(keys))
        if self.lab.this:
            local.write_access()
        lab = users_ssh.resolved(self.lab)
        config = access.ssh_config(lab, self.topology, self.folder)
        files.write(self.folder / "ssh_config", config)

    def keep_overlay(self, machine: str, content: bytes) -> None:
        """Keep a machine's overlay for `lab publish`, as the newest; `drop_overlays` drops others.

        For an `up` alone, of which a stack has one at a time: a preview of another topology beside
        it must not touch what it is about to publish.
        """
        path = self.overlay_file(machine, hashlib.sha256(content).hexdigest())
        files.write(path, content)
        os.utime(path)

    @property
    def was_raised(self) -> bool:
        """Whether an `up` of this clone ever kept an overlay of the stack's machines."""
        return self._overlays.is_dir()

    def newest_overlay(self, machine: str) -> tuple[str, Path]:
        """The sha256 and file of the overlay that the last `up` kept.

        Raises:
            ConfigError: none did on this machine.
        """
        kept = self.overlay_file(machine, "*")
        found = sorted(kept.parent.glob(kept.name), key=lambda each: each.stat().st_mtime_ns)
        if not found:
            rule = "`pulumi up` keeps a machine's overlay before it publishes it"
            remedy = f"pulumi up --stack {self.stack}"
            problem = Problem("overlay", machine, rule, remedy)
            raise ConfigError(f"stack {self.stack}", [problem])
        return found[-1].name.removeprefix("overlay-").removesuffix(".tar.gz"), found[-1]

    def drop_overlays(self, machine: str, published: str) -> None:
        """Drop what was kept of a machine before the overlay that is published now."""
        newest = self.overlay_file(machine, published)
        for old in newest.parent.glob("*.tar.gz"):
            if old != newest and old.stat().st_mtime_ns < newest.stat().st_mtime_ns:
                old.unlink(missing_ok=True)

    def console_log(self, machine: str, host: str | None = None) -> str:
        """The file its console is written to on a host, the lab machine or a node: on its own."""
        home = (host or self.host_of(machine)) == access.LAB_MACHINE
        folder = names.log_folder(self.stack) if home else names.NODE_LOG_FOLDER
        return f"{folder}/{machine}.log"

    def overlay_file(self, machine: str, sha256: str) -> Path:
        """Where a machine's overlay is kept on this side."""
        return self._overlays / machine / f"overlay-{sha256}.tar.gz"

    @property
    def _overlays(self) -> Path:
        return self.folder / "overlays"


def stack_folder(stack: str) -> Path:
    """The folder of a stack's own files."""
    return PROJECT / ".lab" / "stacks" / stack


def machine_of(option: Option) -> str:
    """The `lab:machine` of a stack with these options, VIRTUAL where it names none."""
    named = option("machine")
    return VIRTUAL if named is None else named


def load_settings(stack: str, option: Option, *, keep: bool = True) -> Settings:
    """Read and validate a stack's settings; `option` gives a value of the `lab:` namespace.

    `keep`: a stack without a seed gets one. Without it nothing is written, and the keys of such a
    stack are good for a look only.

    Raises:
        ConfigError: with everything that is wrong; nothing was created then.
    """
    stacks.check_name(stack)
    machine = machine_of(option)
    fitting: checks.Hardware | None = None
    memory: int | None = None
    if machine == VIRTUAL:
        virtual = load_labmachine()
        fitting = checks.Hardware(virtual.memory, dict(virtual.disks))
        memory = virtual.memory
        found = profile.of_virtual(MACHINE_FOLDER / HARDWARE, virtual.cores)
        lab = LabMachine(
            host="127.0.0.1",
            port=virtual.ssh_port,
            user="root",
            identity=MACHINE_FOLDER / "id_ed25519",
            known_hosts=MACHINE_FOLDER / "known_hosts",
        )
    else:
        here = machine == LOCAL
        lab = local.lab_machine() if here else LabMachine.parse(machine, stack)
        found = profile.KVM
    found = profile.of_stack(stack, option, found)
    for name in SWITCHES:
        if (value := option(name) or "false") not in ON_OR_OFF:
            remedy = f"pulumi config set lab:{name} true --stack {stack}"
            problem = Problem(f"lab:{name}", value, f"one of: {', '.join(ON_OR_OFF)}", remedy)
            raise ConfigError("the stack's settings", [problem])
    if option("seed") is not None:
        raise ConfigError("the stack's settings", [_seed_elsewhere(stack)])
    packages = mirror.of_stack(stack, option)
    topology = load_topology(FOLDER / f"{option('topology') or stack}.yaml", stack, fitting)
    seed = files.seed(stack_folder(stack), keep=keep)
    return Settings(stack, topology, lab, found, seed, memory, packages)


def _seed_elsewhere(stack: str) -> Problem:
    place = (stack_folder(stack) / "seed").relative_to(PROJECT)
    rule = f"the seed is in {place} and nowhere else; to share the stack, copy that file"
    return Problem("lab:seed", "(set)", rule, f"pulumi config rm lab:seed --stack {stack}")
