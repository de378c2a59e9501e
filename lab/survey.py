"""What stands on the lab machine, and whether a stack's rack can be raised there.

Owns what is asked before the first resource of an `up`: whose racks are there, what they take, and
whether Pulumi's state and the machine tell of the same rack. Leaves making anything to Pulumi, a
topology's own rules to `config.checks`.
"""

import ipaddress
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import IPv4Network
from typing import Any

import equipment
from artefacts import CommandFailed, LabError
from config import access, bill, names
from config.errors import ConfigError, Problem
from config.profile import UNCHECKED
from config.settings import Settings
from config.units import format_size
from lab.remote import LOOK_S, SSH_FAILED, VIRSH, ask

DOMAIN, COMMAND, STACK = (
    "libvirt:index/domain:Domain", "command:local:Command", "pulumi:pulumi:Stack"
)  # fmt: skip
LOST_POWER = "the lab machine was off: the rack's switches, array and volumes aren't started"
# The XML comes by a pipe: sshd's sockets can't be opened as /dev/stdin.
COMPARE = (
    "sh", "-c",
    f'printf %s "$1" | {VIRSH} hypervisor-cpu-compare --error --virttype kvm /dev/stdin', "sh",
)  # fmt: skip
KEYS = "admin_key"  # the stack's output that tells by which seed it was raised


@dataclass(frozen=True)
class Domain:
    """A machine that libvirt on the lab machine has defined: its owner's tag, bytes of memory."""

    owner: str
    memory: int


@dataclass
class Survey:
    """What was found, as equipment/survey.sh tells it. Owners are tags, "" for nobody's."""

    memory: int = 0
    kvm: bool = True
    virtualisation: str = ""
    domains: dict[str, Domain] = field(default_factory=dict)
    running: set[str] = field(default_factory=set)
    bridges: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    networks: list[tuple[str, IPv4Network]] = field(default_factory=list)  # by device
    disks: dict[str, tuple[str, str]] = field(default_factory=dict)  # type, label

    def has_rack(self, stack: str) -> bool:
        """Whether anything there carries the stack's tag."""
        tag = names.owner_tag(stack)
        owners = [each.owner for each in self.domains.values()]
        return tag in [*owners, *self.bridges.values(), *self.groups.values()]

    def lost_power(self, stack: str) -> bool:
        """Whether the stack's machines are defined there and their volumes aren't: it was off."""
        own = names.owner_tag(stack)
        defined = any(each.owner == own for each in self.domains.values())
        return defined and names.volume_group(stack) not in self.groups


def survey(settings: Settings) -> Survey:
    """Ask the lab machine.

    Raises:
        ConfigError: it doesn't answer; with what ssh or a program there said.
    """
    script = (equipment.FOLDER / "survey.sh").read_bytes()
    words = ["sh", "-s", "--", *settings.topology.array.disks]
    try:
        said = ask(settings, access.LAB_MACHINE, words, stdin=script, timeout_s=LOOK_S)
    except CommandFailed as error:
        raise silent(settings, error) from error
    return read(said.splitlines())


def silent(settings: Settings, error: CommandFailed) -> ConfigError:
    """The error that the lab machine doesn't answer; with what ssh or a program there said."""
    rule = f"the lab machine must answer: {last_words(error)}"
    problem = Problem("lab:machine", settings.lab.name, rule, settings.lab_machine_remedy)
    return ConfigError("the stack's settings", [problem])


def last_words(error: CommandFailed) -> str:
    """What a command that failed said last; ssh's own words whole: its last line tells little."""
    if error.code == SSH_FAILED:
        return "; ".join(error.lines) or "it is silent"
    return error.last_words


def require_rack(settings: Settings) -> Survey:
    """Refuse where the lab machine has nothing of the stack's; else what is there.

    Raises:
        ConfigError: the lab machine doesn't answer.
        LabError: it has nothing of the stack's rack.
    """
    found = survey(settings)
    if not found.has_rack(settings.stack):
        raise no_rack(settings)
    return found


def require_started(settings: Settings) -> None:
    """Refuse also where the lab machine was off since: nothing of the rack can be switched on.

    Raises:
        ConfigError: the lab machine doesn't answer.
        LabError: it has nothing of the stack's rack, or hasn't started its volumes.
    """
    if require_rack(settings).lost_power(settings.stack):
        raise LabError(f"{LOST_POWER}; bring it back: lab --stack {settings.stack} start")


def no_rack(settings: Settings) -> LabError:
    """The error that the lab machine has nothing of the stack's."""
    return LabError(
        f"{settings.lab.name} has nothing of stack {settings.stack}; raise it: "
        f"pulumi up --stack {settings.stack}"
    )


def read(lines: Sequence[str]) -> Survey:
    """The survey that survey.sh's records tell."""
    found = Survey()
    for line in lines:
        kind, *rest = line.split("|")
        match kind, rest:
            case "memory", [kib]:
                found.memory = int(kib) << 10
            case "virtualisation", [flag]:
                found.virtualisation = flag
            case "kvm", _:
                found.kvm = False
            case "domain", [name, owner, kib]:
                found.domains[name] = Domain(owner, int(kib) << 10)
            case "running", [name]:
                found.running.add(name)
            case "bridge", [name, owner]:
                found.bridges[name] = owner
            case "group", [name, tags]:
                found.groups[name] = next((tag for tag in tags.split(",") if _stack_of(tag)), "")
            case "address", [device, address]:
                found.networks.append((device, ipaddress.IPv4Interface(address).network))
            case "route", [destination, device] if destination != "default":
                found.networks.append((device, IPv4Network(destination)))
            case "disk", [serial, type_, label]:
                found.disks[serial] = type_, label.rpartition(":")[2]
    return found


def conflicts(settings: Settings, found: Survey) -> Iterator[Problem]:
    """What of other racks, or of the lab machine's own, this stack's rack would collide with."""
    if not found.kvm:
        rule = "it runs the rack's machines on KVM, whose own machines run guests"
        remedy = "switch nesting on in this machine's KVM or hypervisor (docs/hardware.md)"
        yield Problem("KVM", f"{settings.lab.name} has no /dev/kvm", rule, remedy)
    yield from _names(settings, found)
    yield from _networks(settings, found)
    yield from _disks(settings, found)
    yield from _memory(settings, found)


def cpus(settings: Settings, found: Survey) -> Iterator[Problem]:
    """The CPUs of the stack's profile that KVM on the lab machine doesn't have.

    Asked of its libvirt (virsh(1), hypervisor-cpu-compare), but of an emulated lab machine's, which
    would miss what is there.
    """
    profile, runs = settings.profile, found.virtualisation
    if runs and runs not in (name for name, _ in profile.node_cpu.features):
        rule = f"nodes run guests by {runs}, as the lab machine's CPU does"
        remedy = f"pulumi config set lab:nodeCpu MODEL,?{runs} --stack {settings.stack}"
        yield Problem("lab:nodeCpu", str(profile.node_cpu), rule, remedy)
    if settings.virtual and profile.cpu_check == UNCHECKED:
        return
    for key, cpu in (("nodeCpu", profile.node_cpu), ("guestCpu", profile.guest_cpu)):
        try:
            ask(settings, access.LAB_MACHINE, [*COMPARE, cpu.xml], timeout_s=LOOK_S)
        except CommandFailed as error:
            remedy = f"choose one: pulumi config set lab:{key} MODEL --stack {settings.stack}"
            rule = f"its KVM has each of them: {last_words(error)}"
            yield Problem(f"lab:{key}", str(cpu), rule, f"{remedy} (docs/hardware.md)")


def mismatches(settings: Settings, found: Survey, state: Mapping[str, Any]) -> Iterator[Problem]:
    """Where Pulumi's state and the machine don't tell of the same rack, or not of the same keys.

    `state`: the deployment that `pulumi stack export` gives.
    """
    resources = state.get("resources") or []
    stack, where = settings.stack, settings.lab.name
    known = any(_is_of_rack(each) for each in resources)
    there = found.has_rack(stack)
    if there and not known and not state.get("pending_operations"):
        yield Problem(
            "stack", stack,
            f"a rack of this name is on {where}, and this Pulumi state doesn't have it: it was "
            "raised from another clone or backend, or the state is lost",
            f"use that state (PULUMI_BACKEND_URL, pulumi login); or remove the rack without it: "
            f"lab --stack {stack} clear; or give the stack another name",
        )  # fmt: skip
    if known and not there:
        yield Problem(
            "stack", stack,
            f"Pulumi's state has its rack, and {where} has nothing of it: it was reset, or it is "
            "another machine",
            f"forget the state: pulumi state delete --all --force --yes --stack {stack}; "
            "or name the right machine: lab:machine",
        )  # fmt: skip
    raised_by = _outputs(resources).get(KEYS)
    if known and raised_by not in (None, settings.admin_key.public):
        seed = settings.folder / "seed"
        yield Problem(
            "stack", stack, f"it was raised with another seed than {seed}, and no key of it fits",
            "copy that file from the clone that raised it; if it is lost: "
            f"pulumi destroy --stack {stack}, then up",
        )  # fmt: skip


def nodes_off(settings: Settings, found: Survey) -> list[str]:
    """The first-level machines that are defined and don't run on the lab machine."""
    return [
        name
        for name in settings.topology.machines
        if (domain := names.domain(settings.stack, name)) in found.domains
        and domain not in found.running
    ]


def _names(settings: Settings, found: Survey) -> Iterator[Problem]:
    tag = names.owner_tag(settings.stack)
    for name in settings.topology.machines:
        domain = found.domains.get(names.domain(settings.stack, name))
        if domain and domain.owner != tag and settings.host_of(name) == access.LAB_MACHINE:
            yield _collision(
                settings, f"machines.{name}", names.domain(settings.stack, name),
                owner=domain.owner, rule="libvirt has a domain of that name",
                remedy="rename the machine",
            )  # fmt: skip


def _networks(settings: Settings, found: Survey) -> Iterator[Problem]:
    tag = names.owner_tag(settings.stack)
    own = {bridge for bridge, owner in found.bridges.items() if owner == tag}
    for name, network in settings.topology.networks.items():
        for device, other in found.networks:
            if device not in own and other.overlaps(network.cidr):
                yield _collision(
                    settings, f"networks.{name}.cidr", str(network.cidr),
                    owner=found.bridges.get(device, ""),
                    rule=f"{other} is on {device} of the lab machine",
                    remedy="give the stack other networks",
                )  # fmt: skip
                break  # its address and its route say the same


def _disks(settings: Settings, found: Survey) -> Iterator[Problem]:
    own = names.volume_group(settings.stack)
    for serial in settings.topology.array.disks:
        if serial not in found.disks and not found.has_rack(settings.stack):
            yield Problem(
                "array.disks", serial, "the lab machine has a disk with that serial number",
                "name the array's disks by theirs; there, lsblk -o NAME,SERIAL lists them",
            )  # fmt: skip
        type_, label = found.disks.get(serial, ("", ""))
        if not type_ or label == own:
            continue
        other = label.removeprefix("rack-") if label.startswith("rack-") else None
        yield _collision(
            settings, "array.disks", serial,
            owner=names.owner_tag(other) if other else "",
            rule=f"the disk holds {type_}{f' {label!r}' if label else ''}",
            remedy="name other disks of the lab machine"
            + ("" if other else ", or, if its data may go, wipe it there: wipefs --all DISK"),
        )  # fmt: skip


def _memory(settings: Settings, found: Survey) -> Iterator[Problem]:
    has = settings.memory or found.memory
    own = names.owner_tag(settings.stack)
    others: dict[str, int] = {}
    for name, domain in found.domains.items():
        # A rack's machine that is off will be switched on; what others have off is their business.
        if domain.owner != own and (domain.owner or name in found.running):
            taken = domain.memory + bill.NODE_OVERHEAD
            others[domain.owner] = others.get(domain.owner, 0) + taken
    need = bill.bill(settings.topology).memory
    if has and need + sum(others.values()) > has:
        shares = [
            f"{_stack_of(owner) or 'machines of no rack'} {format_size(_kib(size))}"
            for owner, size in sorted(others.items())
        ]
        owner = max(others, key=lambda each: others[each], default="")
        yield _collision(
            settings, "machines.*.memory", format_size(_kib(need)), owner=owner,
            rule=f"with what others have there ({', '.join(shares) or 'nothing'}) at most the "
            f"{format_size(_kib(has))} of the lab machine", remedy="make machines smaller",
        )  # fmt: skip


def _collision(
    settings: Settings, key: str, value: str, *, owner: str, rule: str, remedy: str
) -> Problem:
    """A problem that names both stacks and the way out."""
    other = _stack_of(owner)
    if other is None:
        return Problem(key, value, f"{rule}, and isn't a rack's", remedy)
    return Problem(
        key, value, f"{rule}: it is stack {other}'s, beside which {settings.stack} can't be",
        f"destroy that one: pulumi destroy --stack {other}; or {remedy}",
    )  # fmt: skip


def _stack_of(tag: str) -> str | None:
    """The stack of an owner's tag; of "rack-lab.blank", which marks a group, none."""
    prefix = names.owner_tag("")
    stack = tag.removeprefix(prefix)
    return stack if tag.startswith(prefix) and stack not in ("", "blank") else None


def _is_of_rack(resource: Mapping[str, Any]) -> bool:
    """Whether it stands for something that a survey sees on the lab machine."""
    name = str(resource.get("urn", "")).rsplit("::", 1)[-1]
    if resource.get("type") == COMMAND:
        return name == "array" or name.endswith("-bridge")
    return resource.get("type") == DOMAIN


def _outputs(resources: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    for each in resources:
        if each.get("type") == STACK:
            found = each.get("outputs") or {}
            return found if isinstance(found, dict) else {}
    return {}


def _kib(size: int) -> int:
    return size // 1024 * 1024
