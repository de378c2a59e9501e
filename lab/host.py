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
from dataclasses import dataclass, field
from pathlib import Path

import equipment
from artefacts import CommandFailed, pack_tree, run, step
from artefacts.environment import users_environment
from config import access, local
from config.errors import ConfigError, Problem
from config.settings import Settings
from equipment import virtualbmc
from lab.finding import Change, Finding
from lab.remote import LOOK_S, ask
from lab.survey import silent

SCRIPT = equipment.FOLDER / "host.sh"
# The oldest that racks were raised with: Debian 12's.
OLDEST = {
    "libvirt-daemon-system": (9, 0),
    "qemu-system-x86": (7, 2),
    "openvswitch-switch": (3, 1),
    "lvm2": (2, 3, 16),
}
SYSTEMS = "Debian 12 and 13 and Ubuntu 24.04"
APT_SYSTEMS = ("debian", "ubuntu")
LEAST_PAGES = 65536


@dataclass
class Host:
    """What was found there, as equipment/host.sh tells it."""

    uid: int = -1
    system: tuple[str, str] = ("", "")  # ID, VERSION_ID of os-release(5)
    packages: dict[str, str] = field(default_factory=dict)  # versions
    removes: list[str] = field(default_factory=list)
    units: dict[str, str] = field(default_factory=dict)
    virtualisation: str = ""  # vmx, svm, or neither
    kvm: bool = False
    nesting: bool = False
    pages: int = 0
    files: dict[str, str] = field(default_factory=dict)  # sha256
    virtualbmc: bool = False
    scan_lvs: bool = False
    held: list[tuple[str, str]] = field(default_factory=list)  # volume, device
    racks: list[str] = field(default_factory=list)  # their stacks


def look(settings: Settings) -> Host:
    """Ask the lab machine.

    Raises:
        ConfigError: it doesn't answer; with what ssh said.
    """
    words = (virtualbmc.LAST_FILE, equipment.HOST_PACKAGES, equipment.HOST_UNITS, sums())
    texts = [each if isinstance(each, str) else " ".join(each) for each in words]
    try:
        return read(_do(settings, "look", *texts, timeout_s=LOOK_S).splitlines())
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
            case ["removes", name]:
                found.removes.append(name)
            case ["unit", name, state]:
                found.units[name] = state
            case ["kvm", flag, there, nesting]:
                found.virtualisation, found.kvm = flag, there == "yes"
                found.nesting = nesting in ("Y", "1")
            case ["pages", number]:
                found.pages = int(number)
            case ["file", path, sha256]:
                found.files[path] = sha256
            case ["virtualbmc" | "scan_lvs" as name, value]:
                setattr(found, name, value in ("yes", "1"))
            case ["held", volume, device]:
                found.held.append((volume, device))
            case ["rack", stack]:
                found.racks.append(stack)
    return found


def findings(settings: Settings, host: Host) -> Iterator[Finding]:
    """Each requirement, in the order in which they are met."""
    yield Finding(
        "root", host.uid == 0, f"its user has uid {host.uid}",
        f"name root: pulumi config set lab:machine ssh://root@{settings.lab.host} "
        f"--stack {settings.stack}" if settings.lab.host else "run this as root",
    )  # fmt: skip
    apt = host.system[0] in APT_SYSTEMS
    yield Finding("system", apt, " ".join(host.system).strip(), f"use one of {SYSTEMS}")
    yield from _packages(host)
    yield from _virtualisation(host)
    yield _files(host)
    yield Finding(
        "huge pages", host.pages >= LEAST_PAGES, f"vm.nr_overcommit_hugepages {host.pages}",
        f"it must be {LEAST_PAGES} or more", _LAY,
    )  # fmt: skip
    found = "VirtualBMC " + (
        virtualbmc.VERSION if host.virtualbmc else f"isn't in {virtualbmc.FOLDER}"
    )
    yield Finding("BMCs", host.virtualbmc, found, "it plays the servers' BMCs", _LAY)
    yield Finding(
        "LVM2", not host.scan_lvs, f"devices/scan_lvs = {int(host.scan_lvs)}",
        "LVM2 must not look into volumes for volume groups, as those are the racks' machines': "
        "set it to 0 in /etc/lvm/lvm.conf",
    )  # fmt: skip
    yield _held(host)


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
        Problem(each.about, each.found, each.remedy, prepare if each.change else each.remedy)
        for each in lacking(settings, look(settings))
    ]
    if problems:
        raise ConfigError(f"the lab machine {settings.lab.name}", problems)


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


def changes(settings: Settings, host: Host) -> list[Change]:
    """What would meet the requirements that aren't, each once, in the order to do it."""
    wanted = (each.change for each in lacking(settings, host))
    return list(dict.fromkeys(each for each in wanted if each))


def change(settings: Settings, wanted: Change) -> None:
    """Do it, and show for how long.

    Raises:
        CommandFailed: with the last words of what failed there.
    """
    if wanted.action == _ADMIT:
        run(["sudo", *_command(wanted.action, *wanted.words)], env=users_environment(), shown=True)
        settings.write_access()  # its sshd may be new
        return
    with step(wanted.title):
        stdin = tree() if wanted.action == _LAY.action else None
        _do(settings, wanted.action, *wanted.words, stdin=stdin)


def undoing(settings: Settings, host: Host) -> list[Change]:
    """What takes the changes back, packages last.

    Raises:
        ConfigError: a rack is there, which needs them.
    """
    if host.racks:
        rule = "no rack is on it; these are, by the names of their stacks"
        remedy = (
            "destroy them first: pulumi destroy --stack STACK; without their Pulumi state: "
            "lab --stack STACK clear"
        )
        problem = Problem("racks", ", ".join(host.racks), rule, remedy)
        raise ConfigError(f"the lab machine {settings.lab.name}", [problem])
    laid = (*sums(), virtualbmc.FOLDER)
    key = (local.authorized_line(),) if settings.lab.this else ()
    return [
        Change("removing the files, and setting huge pages back", "take", laid),
        Change(
            "removing the packages that were added, with what was removed for them", "purge", key
        ),
    ]


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
    if not host.kvm:
        found = f"no /dev/kvm; its CPU has {host.virtualisation or 'neither vmx nor svm'}"
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


def _files(host: Host) -> Finding:
    other = [path for path, sha256 in sums().items() if host.files.get(path) != sha256]
    return Finding(
        "files", not other,
        f"lacks, or has others: {', '.join(other)}" if other else "as they should be",
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
_LAY = Change("laying its files and VirtualBMC (the initramfs is made anew)", "lay")


def _do(
    settings: Settings,
    action: str,
    *words: str,
    stdin: bytes | None = None,
    timeout_s: float | None = None,
) -> str:
    command = _command(action, *words)
    return ask(settings, access.LAB_MACHINE, command, stdin=stdin, timeout_s=timeout_s)


def _command(action: str, *words: str) -> list[str]:
    return ["sh", "-c", SCRIPT.read_text(), "host.sh", action, *words]


def _numbers(version: str) -> tuple[int, ...]:
    """The upstream numbers of a Debian version, deb-version(7)."""
    upstream = version.rpartition(":")[2]
    found = re.match(r"[0-9.]*", upstream)
    return tuple(int(each) for each in (found[0] if found else "").split(".") if each)
