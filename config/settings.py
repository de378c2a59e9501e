"""What one stack is: its topology, its lab machine, its folder and its seed.

Owns reading a stack's settings (`lab:topology`, `lab:machine`) and the files of its folder
`.lab/stacks/<stack>/`: the seed, the admin key, ssh_config, known_hosts. Leaves what stands in the
files to `access` and `secrets`.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from config import access, checks, names, secrets
from config.access import LabMachine
from config.errors import ConfigError, Problem
from config.labmachine import load_labmachine
from config.load import FOLDER, load_topology, read_yaml
from config.topology import Guest, Machine, Topology

PROJECT = FOLDER.parent
MACHINE_FOLDER = PROJECT / ".lab" / "machine"  # labmachine/ keeps the virtual one's keys there
VIRTUAL = "virtual"
BMC_USER = "admin"
# A one-shot timer and an APIC that are one register write each: a periodic tick that is emulated
# slower than it comes, as at the second level, leaves a machine no time for anything else.
TIMERS = ("tsc-deadline", "x2apic")
# sha256, AES and CRC as instructions, which an emulator has as functions: sha256 is five times as
# fast. Checking images, TLS and ssh are much of what a booting machine does.
INSTRUCTIONS = ("ssse3", "sse4.1", "sse4.2", "popcnt", "aes", "pclmuldq", "sha-ni")
# CPU features added to qemu64 for nodes and for guests; None: the host's own CPU. -cpu host
# panics Alpine's kernel under emulation, and without npt nested entry fails (facts, section 4).
CPUS: dict[str, tuple[tuple[str, ...] | None, tuple[str, ...] | None]] = {
    "emulated": (("svm", "npt", *TIMERS, *INSTRUCTIONS), (*TIMERS, *INSTRUCTIONS)),
    "host": (None, None),
}


@dataclass(frozen=True)
class Settings:
    """One stack, validated whole; nothing is created before this exists."""

    stack: str
    topology: Topology
    lab: LabMachine
    cpu: str
    seed: str
    boots_at_once: int | None = None  # how many machines may boot side by side; None: all
    memory: int | None = None  # bytes of the virtual lab machine; None: it is a real one

    @property
    def virtual(self) -> bool:
        """Whether the lab machine is this project's own."""
        return self.memory is not None

    @property
    def node_cpu(self) -> tuple[str, ...] | None:
        """A first-level machine's CPU, as `domain_xml` takes it; it can run guests."""
        return CPUS[self.cpu][0]

    @property
    def guest_cpu(self) -> tuple[str, ...] | None:
        """A second-level machine's CPU, as `domain_xml` takes it."""
        return CPUS[self.cpu][1]

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
        known = ", ".join(self.topology.machines)
        problem = Problem("machine", name, f"one of: {known}", f"lab --stack {self.stack} status")
        return ConfigError(f"stack {self.stack}", [problem])

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
        _write(self.folder / "id_ecdsa", self.admin_key.private)
        keys = {name: self.host_key(name).public for name in self.topology.machines}
        _write(self.folder / "known_hosts", access.known_hosts(keys))
        _write(self.folder / "ssh_config", access.ssh_config(self.lab, self.topology, self.folder))

    def keep_overlay(self, machine: str, content: bytes) -> str:
        """Keep a machine's overlay for `lab publish`; returns its sha256. Drops older ones."""
        digest = hashlib.sha256(content).hexdigest()
        path = self.overlay_file(machine, digest)
        _write(path, content)
        for old in path.parent.glob("*.tar.gz"):
            if old != path:
                old.unlink()
        return digest

    def console_log(self, machine: str, host: str | None = None) -> str:
        """The file its console is written to on a host, the lab machine or a node: on its own."""
        home = (host or self.host_of(machine)) == access.LAB_MACHINE
        folder = names.log_folder(self.stack) if home else names.NODE_LOG_FOLDER
        return f"{folder}/{machine}.log"

    def overlay_file(self, machine: str, sha256: str) -> Path:
        """Where a machine's overlay is kept on this side."""
        return self.folder / "overlays" / machine / f"overlay-{sha256}.tar.gz"


def stack_folder(stack: str) -> Path:
    """The folder of a stack's own files."""
    return PROJECT / ".lab" / "stacks" / stack


def load_settings(stack: str, option: Callable[[str], str | None]) -> Settings:
    """Read and validate a stack's settings; `option` gives a value of the `lab:` namespace.

    Raises:
        ConfigError: with everything that is wrong; nothing was created then but the seed.
    """
    machine = option("machine") or VIRTUAL
    fitting: checks.Hardware | None = None
    memory: int | None = None
    boots_at_once: int | None = None
    if machine == VIRTUAL:
        virtual = load_labmachine()
        fitting = checks.Hardware(virtual.memory, dict(virtual.disks))
        boots_at_once, memory = virtual.cores, virtual.memory
        lab = LabMachine(
            host="127.0.0.1",
            port=virtual.ssh_port,
            identity=MACHINE_FOLDER / "id_ed25519",
            known_hosts=MACHINE_FOLDER / "known_hosts",
        )
    else:
        lab = LabMachine.parse(machine)
    cpu = option("cpu") or ("emulated" if machine == VIRTUAL else "host")
    if cpu not in CPUS:
        problem = Problem("lab:cpu", cpu, f"one of: {', '.join(CPUS)}", "pulumi config rm lab:cpu")
        raise ConfigError("the stack's settings", [problem])
    topology = load_topology(FOLDER / f"{option('topology') or stack}.yaml", stack, fitting)
    seed = option("seed") or _seed(stack_folder(stack))
    return Settings(stack, topology, lab, cpu, seed, boots_at_once, memory)


def stack_options(stack: str) -> Callable[[str], str | None]:
    """The `lab:` options of a stack as its Pulumi.<stack>.yaml has them, without Pulumi.

    Raises:
        ConfigError: when there is no such file.
    """
    data = read_yaml(PROJECT / f"Pulumi.{stack}.yaml") or {}
    values = data.get("config", {})

    def option(key: str) -> str | None:
        value = values.get(f"lab:{key}")
        return value if isinstance(value, str) else None

    return option


def _seed(folder: Path) -> str:
    path = folder / "seed"
    if not path.exists():
        _write(path, secrets.new_seed())
    return path.read_text()


def _write(path: Path, content: str | bytes) -> None:
    """Whole or not at all, readable by the owner only; untouched when it is right already."""
    data = content.encode() if isinstance(content, str) else content
    if path.exists() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    fresh = path.with_name(f".{path.name}.new")
    fresh.touch(mode=0o600)
    fresh.chmod(0o600)
    fresh.write_bytes(data)
    fresh.replace(path)
