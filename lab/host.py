"""What a real lab machine must have before a rack is raised on it, and making it so.

Owns each requirement: what was found, what is to be done. Leaves asking and doing it on the machine
to equipment/host.sh, which packages and files they are to `equipment`, other racks and networks
there to `survey`.
"""

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import equipment
from artefacts import CommandFailed, pack_tree, run, step
from artefacts.environment import users_environment
from config import access, local
from config.errors import ConfigError, Problem, Refused
from config.profile import KVM_DEADLINE_S, KVM_PROOF
from config.settings import Settings
from equipment import virtualbmc
from lab.finding import Change, Finding
from lab.remote import LOOK_S, ask
from lab.survey import last_words, silent

SCRIPT = equipment.FOLDER / "host.sh"
# The oldest that racks were raised with: Debian 12's.
OLDEST = {
    "libvirt-daemon-system": (9, 0),
    "qemu-system-x86": (7, 2),
    "openvswitch-switch": (3, 1),
    "lvm2": (2, 3, 16),
}
SYSTEMS = "Debian 12 and 13 and Ubuntu 24.04"
OLDEST_SYSTEMS = {"debian": (12,), "ubuntu": (24, 4)}  # by ID of os-release(5)
ARCHITECTURE = "x86_64"
# The kernel's module of each level of md, md(4).
MD_MODULES = {0: "raid0", 1: "raid1", 5: "raid456", 6: "raid456", 10: "raid10"}
LEAST_PAGES = 65536
SWITCHES = ("virtualbmc", "heeded", "laid", "scan_lvs", "synchronised", "unlisted")
LISTS = ("removes", "lacks", "foreign", "racks", "noted", "back", "purges")  # of host.sh's records


@dataclass
class Host:
    """What was found there, as equipment/host.sh tells it."""

    uid: int = -1
    architecture: str = ""
    system: tuple[str, str] = ("", "")  # ID, VERSION_ID of os-release(5)
    packages: dict[str, str] = field(default_factory=dict)  # versions
    removes: list[str] = field(default_factory=list)
    unlisted: bool = False  # what apt would remove can't be told
    lacks: list[str] = field(default_factory=list)  # modules of the kernel
    synchronised: bool = False  # its clock
    units: dict[str, str] = field(default_factory=dict)
    virtualisation: str = ""  # vmx, svm, or neither
    kvm: bool = False
    nesting: bool = False
    pages: int = 0
    files: dict[str, str] = field(default_factory=dict)  # sha256
    virtualbmc: bool = False
    laid: bool = False  # files were laid, or not yet taken back to the end
    heeded: bool = False  # udev and the initramfs have the files
    scan_lvs: bool = False
    held: list[tuple[str, str]] = field(default_factory=list)  # volume, device
    foreign: list[str] = field(default_factory=list)  # volume groups with a rack's name
    racks: list[str] = field(default_factory=list)  # their stacks
    noted: list[str] = field(default_factory=list)  # packages added for racks
    back: list[str] = field(default_factory=list)  # those removed for them
    purges: list[str] = field(default_factory=list)  # what goes when these are taken back
    uses: list[tuple[str, str]] = field(default_factory=list)  # package, what needs it

    @property
    def has_programs(self) -> bool:
        """Whether what racks are made with can be asked there."""
        return self.uid == 0 and all(each in self.packages for each in equipment.HOST_PACKAGES)


def look(settings: Settings, *, by_sudo: bool = False, timeout_s: float = LOOK_S) -> Host:
    """Ask the lab machine; `by_sudo`: this one, where it doesn't let the user in as root.

    Raises:
        ConfigError: it doesn't answer; with what ssh said.
    """
    words = (
        virtualbmc.LAST_FILE, equipment.HOST_PACKAGES, equipment.HOST_UNITS, sums(),
        modules(settings),
    )  # fmt: skip
    texts = [each if isinstance(each, str) else " ".join(each) for each in words]
    try:
        return read(
            _do(settings, "look", *texts, by_sudo=by_sudo, timeout_s=timeout_s).splitlines()
        )
    except CommandFailed as error:
        raise silent(settings, error) from error


def read(lines: Sequence[str]) -> Host:
    """What host.sh's records tell."""
    found = Host()
    for line in lines:
        match line.split("|"):
            case ["root", uid]:
                found.uid = int(uid)
            case ["system", name, version]:
                found.system = name, version
            case ["package", name, version]:
                found.packages[name] = version
            case ["architecture", name]:
                found.architecture = name
            case ["unit", name, state]:
                found.units[name] = state
            case ["kvm", flag, there, nesting]:
                found.virtualisation, found.kvm = flag, there == "yes"
                found.nesting = nesting in ("Y", "1")
            case ["pages", number]:
                found.pages = int(number)
            case ["file", path, sha256]:
                found.files[path] = sha256
            case [name, value] if name in SWITCHES:
                setattr(found, name, value in ("yes", "1"))
            case ["held" | "uses" as name, value, other]:
                getattr(found, name).append((value, other))
            case [name, value] if name in LISTS:
                getattr(found, name).append(value)
    return found


def modules(settings: Settings) -> list[str]:
    """The kernel's modules that the stack's rack needs there."""
    level = MD_MODULES[settings.topology.array.level]
    return ["openvswitch", level, *(["sch_netem"] if settings.topology.lines else [])]


def findings(settings: Settings, host: Host) -> Iterator[Finding]:
    """Each requirement, in the order in which they are met; to who isn't root only that."""
    yield Finding(
        "root", host.uid == 0, f"its user has uid {host.uid}",
        _root(settings),
    )  # fmt: skip
    if host.uid != 0:
        return
    yield Finding(
        "architecture", host.architecture == ARCHITECTURE, host.architecture,
        f"racks' machines are {ARCHITECTURE}: use such a machine",
    )  # fmt: skip
    name, version = host.system
    least = OLDEST_SYSTEMS.get(name)
    known = least is not None and (not version or _numbers(version) >= least)
    yield Finding("system", known, f"{name} {version}".strip(), f"use one of {SYSTEMS}")
    yield from _packages(host)
    yield Finding(
        "kernel's modules", not host.lacks,
        f"lacks {', '.join(host.lacks)}" if host.lacks else "has all it needs",
        "boot a kernel that has them, as linux-image-amd64 or linux-image-generic",
    )  # fmt: skip
    yield Finding("time", True, "synchronised" if host.synchronised else _OWN_TIME)
    yield _groups(host)
    yield _files(host)
    yield Finding(
        "huge pages", host.pages >= LEAST_PAGES, f"vm.nr_overcommit_hugepages {host.pages}",
        f"it must be {LEAST_PAGES} or more", _LAY,
    )  # fmt: skip
    found = "VirtualBMC " + (
        virtualbmc.VERSION if host.virtualbmc else f"isn't in {virtualbmc.FOLDER}"
    )
    yield Finding("BMCs", host.virtualbmc, found, "it plays the servers' BMCs", _LAY)
    yield from _virtualisation(host)  # loaded again it heeds the files
    yield Finding(
        "LVM2", not host.scan_lvs, f"devices/scan_lvs = {int(host.scan_lvs)}",
        "LVM2 must not look into volumes for volume groups, as those are the racks' machines': "
        "set it to 0 in /etc/lvm/lvm.conf",
    )  # fmt: skip
    yield _held(host)


def _root(settings: Settings) -> str:
    """How root is asked for."""
    if not settings.lab.host:
        return "run this as root"
    name = replace(settings.lab, user="root").name
    return f"name root: pulumi config set lab:machine {name} --stack {settings.stack}"


def lacking(settings: Settings, host: Host) -> list[Finding]:
    """The requirements that aren't met."""
    return [each for each in findings(settings, host) if not each.fine]


def require_prepared(settings: Settings) -> None:
    """Refuse a real lab machine that lacks something; nothing was written there.

    Raises:
        ConfigError: with all that it lacks, or that it doesn't answer.
    """
    prepare = f"prepare it: lab --stack {settings.stack} host prepare"
    problems = [
        Problem(each.about, each.found, each.remedy, prepare) if each.change else _lasting(each)
        for each in lacking(settings, look(settings))
    ]
    if problems:
        raise ConfigError(f"the lab machine {settings.lab.name}", problems)


def boots(settings: Settings) -> Finding:
    """Whether a guest boots on its KVM, which is tried: within two seconds on silicon.

    That it opens proves nothing. To be asked where all else is fine.
    """
    try:
        _do(settings, "boots", KVM_PROOF, str(KVM_DEADLINE_S), timeout_s=LOOK_S + KVM_DEADLINE_S)
    except CommandFailed as error:
        remedy = "look at dmesg there, and whether its own hypervisor passes virtualisation on"
        return Finding("KVM's trial", False, last_words(error), remedy)
    return Finding("KVM's trial", True, "its own kernel booted as a guest")


def letting_in(settings: Settings) -> Change | None:
    """What lets the user be root of this machine, where it is the lab machine and he isn't yet."""
    if not settings.lab.this:
        return None
    try:
        ask(settings, access.LAB_MACHINE, ["true"], timeout_s=LOOK_S)
    except CommandFailed:
        title = f"letting this project's key in as root, from {local.ADDRESS} alone, by sudo"
        return Change(title, _ADMIT, (local.authorized_line(),))
    return None


def require_usable(settings: Settings, host: Host) -> None:
    """Refuse to prepare a machine that would lack something all the same.

    Raises:
        ConfigError: with what nothing can be done about from here.
    """
    problems = [_lasting(each) for each in lacking(settings, host) if not each.change]
    if problems:
        raise Refused(f"preparing {settings.lab.name}", problems)


def _lasting(finding: Finding) -> Problem:
    rule = "what prepare can't change must be there"
    return Problem(finding.about, finding.found, rule, finding.remedy)


def changes(settings: Settings, host: Host, *, listed: bool = False) -> list[Change]:
    """What would meet the requirements that aren't, each once, in the order to do it.

    Where apt's lists are empty or old only that these are fetched: what follows from it is told by
    the next look. `listed`: they were.
    """
    if host.unlisted and not listed:
        return [_LIST]
    wanted = (each.change for each in lacking(settings, host))
    return list(dict.fromkeys(each for each in wanted if each))


def change(settings: Settings, wanted: Change, *, by_sudo: bool = False) -> None:
    """Do it, and show for how long; `by_sudo`: on this machine.

    Raises:
        LabError: with the last words of what failed there.
        ConfigError: there is no sudo, by which the user is let in.
    """
    if wanted.action == _ADMIT:
        _sudo(wanted.action, *wanted.words)
        settings.write_access()  # its sshd may be new
        return
    with step(wanted.title):
        stdin = tree() if wanted.action == _LAY.action else None
        _do(settings, wanted.action, *wanted.words, stdin=stdin, by_sudo=by_sudo)


def undoing(settings: Settings, host: Host) -> list[Change]:
    """What takes the changes back, packages last; nothing where nothing was changed.

    Raises:
        ConfigError: a rack, or something of the user's own, is there and needs them.
    """
    if host.uid != 0:
        raise _kept(settings, Problem("root", f"uid {host.uid}", "root does it", _root(settings)))
    if host.racks:
        rule = "no rack is on it; these are, by the names of their stacks"
        remedy = (
            "destroy them first: pulumi destroy --stack STACK; without their Pulumi state: "
            "lab --stack STACK clear"
        )
        raise _kept(settings, Problem("racks", ", ".join(host.racks), rule, remedy))
    if used := [thing for package, thing in host.uses if package in host.noted]:
        rule = "nothing is there that needs the packages which were added for racks"
        remedy = "remove it first, or keep the packages"
        raise _kept(settings, Problem("packages", ", ".join(used), rule, remedy))
    undo = []
    if host.files or host.virtualbmc or host.laid:
        laid = (*sums(), virtualbmc.FOLDER)
        undo.append(Change("removing the files, and setting huge pages back", "take", laid))
    titles = []
    if host.noted:
        titles.append(f"removing the packages that were added: {', '.join(host.noted)}")
    if others := sorted({*host.purges} - {*host.noted}):
        titles.append(f"with them apt removes, as they need these: {', '.join(others)}")
    if host.back:
        titles.append(f"installing what was removed for them: {', '.join(host.back)}")
    key: tuple[str, ...] = ()
    if settings.lab.this:
        key = (local.authorized_line(),)
        titles.append("letting this project's key in no more")
    if titles:
        undo.append(Change("; ".join(titles), "purge", key))
    return undo


def _kept(settings: Settings, problem: Problem) -> Refused:
    return Refused(f"taking back what was changed on {settings.lab.name}", [problem])


def sums() -> dict[str, str]:
    """By path there the sha256 of each of `equipment`'s files for a host."""
    tree = equipment.HOST_TREE
    return {
        f"/{path.relative_to(tree)}": hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(tree.rglob("*"))
        if path.is_file()
    }


def tree() -> bytes:
    """A tar of these files and of VirtualBMC, whose last file tells that all is there."""
    with tempfile.TemporaryDirectory() as scratch:
        files, packed = Path(scratch) / "files", Path(scratch) / "files.tar"
        shutil.copytree(equipment.HOST_TREE, files)
        shutil.copytree(virtualbmc.modules(), files / virtualbmc.FOLDER.lstrip("/"))
        pack_tree(files, packed)
        return packed.read_bytes()


def _packages(host: Host) -> Iterator[Finding]:
    missing = [each for each in equipment.HOST_PACKAGES if each not in host.packages]
    removes = f"; apt removes {', '.join(host.removes)} for them" if host.removes else ""
    yield Finding(
        "packages", not missing,
        f"lacks {', '.join(missing)}{removes}" if missing else "has all it needs",
        "install them",
        Change(f"installing {', '.join(missing)}{removes}", "install", tuple(missing)),
    )  # fmt: skip
    for name, least in OLDEST.items():
        version = host.packages.get(name, "")
        if version and _numbers(version) < least:
            oldest = ".".join(map(str, least))
            remedy = f"{oldest} is the oldest that racks were raised with: use {SYSTEMS}"
            yield Finding(name, False, version, remedy)
    if missing:
        return  # they start what they bring
    off = [name for name in equipment.HOST_UNITS if host.units.get(name) != "active"]
    states = ", ".join(f"{name} is {host.units.get(name) or 'absent'}" for name in off)
    yield Finding(
        "services", not off, states or "run", "start them",
        Change(f"starting {', '.join(off)}", "start", tuple(off)),
    )  # fmt: skip


def _virtualisation(host: Host) -> Iterator[Finding]:
    module = {"vmx": "kvm_intel", "svm": "kvm_amd"}.get(host.virtualisation, "kvm")
    if not (host.kvm and host.virtualisation):
        device = "/dev/kvm" if host.kvm else "no /dev/kvm"
        found = f"{device}; its CPU has {host.virtualisation or 'neither vmx nor svm'}"
        remedy = (
            f"switch virtualisation on in its firmware, then: modprobe {module}"
            if host.virtualisation
            else "use another machine; on this one a virtual lab machine, emulated, raises racks"
        )
        yield Finding("KVM", False, found, remedy)
        return
    yield Finding("KVM", True, f"/dev/kvm, {module}")
    yield Finding(
        "nesting", host.nesting, f"{module} nested={'1' if host.nesting else '0'}",
        "nodes run guests of their own, which needs it",
        Change(f"loading {module} again, with nested=1", "nest"),
    )  # fmt: skip


def _groups(host: Host) -> Finding:
    """A volume group of the user's own with a rack's name, whose volumes udev would hide."""
    names = ", ".join(host.foreign)
    return Finding(
        "volume groups", not host.foreign,
        f"{names}, and not of a rack" if names else "none with a rack's name that isn't one's",
        f"rename it, whatever mounts it too: vgrename {next(iter(host.foreign), '')} NAME",
        private=True,
    )  # fmt: skip


def _files(host: Host) -> Finding:
    other = [path for path, sha256 in sums().items() if host.files.get(path) != sha256]
    found = f"lacks, or has others: {', '.join(other)}"
    if not other:
        found = "as they should be" if host.heeded else "not in its initramfs yet"
    return Finding(
        "files", not other and host.heeded, found,
        "without them it takes the disks of the racks' machines for its own",
        _LAY,
    )  # fmt: skip


def _held(host: Host) -> Finding:
    volumes = ", ".join(f"{volume} by {device}" for volume, device in host.held)
    devices = tuple(dict.fromkeys(device for _, device in host.held))
    return Finding(
        "racks' volumes", not devices, f"held: {volumes}" if devices else "nothing holds them",
        "the lab machine has assembled what belongs to a rack's machines",
        Change(f"stopping {', '.join(devices)}", "release", devices),
    )  # fmt: skip


_ADMIT = "admit"
_LIST = Change("fetching apt's lists of packages, which lack what is needed", "update")
_OWN_TIME = "not synchronised: the rack has this machine's time, as it is"
_LAY = Change("laying its files and VirtualBMC (the initramfs is made anew)", "lay")


def _do(
    settings: Settings,
    action: str,
    *words: str,
    stdin: bytes | None = None,
    by_sudo: bool = False,
    timeout_s: float | None = None,
) -> str:
    if by_sudo:
        return _sudo(action, *words)
    command = _command(action, *words)
    return ask(settings, access.LAB_MACHINE, command, stdin=stdin, timeout_s=timeout_s)


def _sudo(action: str, *words: str) -> str:
    """Have it done on this machine; sudo asks for its password on the terminal.

    Raises:
        ConfigError: there is no sudo.
    """
    if not shutil.which("sudo"):
        rule = "sudo, by which this project's key is let in as root once"
        remedy = f"as root add to /root/.ssh/authorized_keys: {local.authorized_line()}"
        raise Refused("lab:machine local", [Problem("sudo", "not installed", rule, remedy)])
    return run(["sudo", *_command(action, *words)], env=users_environment(), shown=True)


def _command(action: str, *words: str) -> list[str]:
    return ["sh", "-c", SCRIPT.read_text(), "host.sh", action, *words]


def _numbers(version: str) -> tuple[int, ...]:
    """The upstream numbers of a Debian version, deb-version(7)."""
    upstream = version.rpartition(":")[2]
    found = re.match(r"[0-9.]*", upstream)
    return tuple(int(each) for each in (found[0] if found else "").split(".") if each)
