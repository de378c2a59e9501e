"""What the machine this runs on can do for a lab: each finding with its remedy.

Owns the findings. Looks only: it builds and fetches nothing, and ends within half a minute. Leaves
what a real lab machine must have to `host`, and trying whether KVM works to
`labmachine.accelerator`, which the virtual one's start does.
"""

import os
import platform
import re
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from artefacts.cache import cache_folder
from artefacts.environment import search_path
from config import profile, stacks
from config.bill import bill, summary
from config.errors import ConfigError
from config.labmachine import load_labmachine
from config.settings import PROJECT, Settings
from config.units import format_size
from lab import host, mirror
from lab.finding import Finding
from lab.snapshots import project_commit
from labmachine import accelerator, machine, process, saving
from labmachine.preconditions import QEMU_ROOM, available_memory, problems
from labmachine.qemu import Accelerator, cores_of
from labmachine.state import State
from plugins.build import plugins_in_use, users_own

# Programs the project calls, and the Debian package each is in; make up installs these.
PROGRAMS = {
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mksquashfs": "squashfs-tools",
    "mkfs.ext4": "e2fsprogs",
    "mcopy": "mtools",
    "syslinux": "syslinux",
    "mkfs.fat": "dosfstools",
    "xsltproc": "xsltproc",
    "ssh": "openssh-client",
    "dot": "graphviz",
}
LOOK_S = 30.0  # in which a real lab machine has connected and told what it has
BUILD_SPACE = 12 << 30  # artefacts of all kinds, while they are built
CHANGE_SPACE = 2 << 30  # when the cache has what takes most


def examine(settings: Settings) -> Iterator[Finding]:
    """The findings, quick ones first."""
    yield from _this_machine()
    yield from (_virtual(settings) if settings.virtual else _real(settings))
    yield from _profile(settings)


def report(settings: Settings) -> Iterator[str]:
    """What the project's makers need to know of a machine that they can't see, line by line.

    No name or address of a machine or mirror is in it, no words of ssh's, and no key.
    """
    cpu = Path("/proc/cpuinfo").read_text()
    yield f"project {project_commit() or 'unknown'}, Python {platform.python_version()}"
    system = platform.freedesktop_os_release().get("PRETTY_NAME", "unknown")
    yield f"this machine: {system}, Linux {platform.release()}"
    models = sorted(set(re.findall(r"^model name\s*: (.*)$", cpu, re.MULTILINE)))
    flags = sorted(set(re.findall(r"\b(?:vmx|svm|ept|npt|hypervisor|la57)\b", cpu)))
    yield f"CPU: {os.cpu_count()} x {', '.join(models)}; of its flags: {' '.join(flags)}"
    for parameter in sorted(Path("/sys/module").glob("kvm_*/parameters/nested")):
        yield f"{parameter.parts[3]}: nested={parameter.read_text().strip()}"
    state = State()
    if state.hardware.exists():
        yield f"the virtual lab machine is started with {state.hardware.read_text()}"
    yield f"lab:alpine is {mirror.kind(settings)}"
    for each in examine(settings):
        found = "(its words aren't told)" if each.private else each.found
        line = f"{'fine' if each.fine else 'NOT FINE'}: {each.about}: {found}"
        yield line.replace(str(PROJECT), ".").replace(str(Path.home()), "~")
    if not settings.virtual:
        with suppress(ConfigError):  # it doesn't answer, as a finding tells
            asked = host.look(settings, timeout_s=LOOK_S)
            found_there = replace(asked, uses=[], foreign=[], racks=[])
            yield f"the real lab machine has: {found_there}"


def _this_machine() -> Iterator[Finding]:
    for program, package in PROGRAMS.items():
        path = shutil.which(program, path=search_path())
        yield Finding(program, bool(path), path or "missing", f"apt-get install {package}")
    go = shutil.which("go", path=search_path())
    yield Finding("go", bool(go), go or "missing", "./setup.sh")
    yield Finding("pulumi", True, users_own().why)
    for name, origin in plugins_in_use().items():
        yield Finding(f"Pulumi's plug-in {name}", True, origin)
    cache = cache_folder()
    there = next(folder for folder in (cache, *cache.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    wanted = CHANGE_SPACE if (cache / "kernel").is_dir() else BUILD_SPACE
    yield Finding(
        "disk for artefacts", free >= wanted, f"{free >> 30} GiB free for {cache}",
        f"free {format_size(wanted)} (lab cache prune), or set LAB_CACHE to another disk",
    )  # fmt: skip


def _virtual(settings: Settings) -> Iterator[Finding]:
    hardware = load_labmachine()
    state = machine.status()
    running = state.state == "running"
    # What `lab machine up` would refuse; programs are told above.
    refused = {} if running else {each.key: each for each in problems(hardware, State())}
    yield Finding(
        "memory for the lab machine", "memory" not in refused,
        "it is running" if running else f"{available_memory() >> 20} MiB available",
        f"free {format_size(hardware.memory + QEMU_ROOM)}, or lower `memory` in labmachine.yaml",
    )  # fmt: skip
    for key in ("disks", "ssh_port"):
        if wrong := refused.get(key):
            found = f"{wrong.value}; needed: {wrong.rule}"
            yield Finding(f"{key} of the lab machine", False, found, wrong.remedy)
    if told := saving.unfinished(State()):
        found, remedy = told.split("; ", 1)
        yield Finding("the lab machine", False, found, remedy)
    elif running:
        before = "free disk space, then: " if state.guest == machine.DISK_FULL else ""
        fine, found = state.guest == process.RUNNING, state.guest or "its qemu doesn't answer"
        yield Finding("the lab machine", fine, found, f"{before}lab machine up")
    taken = bill(settings.topology)
    yield Finding(
        f"the rack {settings.stack} in it", taken.memory <= hardware.memory,
        summary(taken, hardware.memory),
        "make machines smaller, or raise `memory` in labmachine.yaml",
    )  # fmt: skip
    yield Finding("acceleration", True, _acceleration())
    if accelerator.opens() and (off := accelerator.nesting_off()):
        yield Finding(off.key, False, f"{off.value}: {off.rule}", off.remedy)
    # not the stack's profile, which `lab:profile` may have set
    on_kvm = profile.of_virtual(State().hardware, None).name == profile.KVM.name
    chosen: Accelerator = "kvm" if on_kvm else "tcg"
    why = "set in labmachine.yaml" if hardware.cores else f"best with {chosen}"
    preloaded = "svm.so, which mends emulated SVM" if chosen == "tcg" else "nothing"
    yield Finding("preloaded into its qemu", True, preloaded)
    yield Finding("cores of the lab machine", True, f"{cores_of(hardware, chosen)} ({why})")


def _acceleration() -> str:
    device = accelerator.DEVICE
    if not device.exists():
        return f"emulation: this machine has no {device}"
    if not accelerator.opens():
        group = device.group()
        return f"emulation: {device} can't be opened; who is in its group {group} gets KVM"
    return f"{device} opens; whether a guest boots on it, lab build and lab machine up try"


def _real(settings: Settings) -> Iterator[Finding]:
    about, name = "lab machine", settings.lab.name
    settings.write_access()
    try:
        found = host.look(settings, timeout_s=LOOK_S)
    except ConfigError as error:
        (problem,) = error.problems
        said = f"{name}: {problem.rule}"
        yield Finding(about, False, said, problem.remedy, private=True)
        return
    bad = host.lacking(settings, found)
    has = "reached" if bad else "reached, has all it needs"
    yield Finding(about, True, f"{name}: {has}", private=True)
    prepare = f"lab --stack {settings.stack} host prepare"
    for each in bad:
        remedy = prepare if each.change else each.remedy
        yield replace(each, about=f"{about}, {each.about}", remedy=remedy, change=None)


def _profile(settings: Settings) -> Iterator[Finding]:
    """How the rack runs: each value is one option of the stack."""
    yield _alpine(settings)
    option = stacks.options(settings.stack)
    for key, value in settings.profile.shown():
        if option(key) is not None:
            why = "set"
        else:
            why = _why(settings) if key == "profile" else f"of profile {settings.profile.name}"
        yield Finding(f"lab:{key}", True, f"{value} ({why})")


def _alpine(settings: Settings) -> Finding:
    trouble, remedy = mirror.trouble(settings)
    found = ". ".join(filter(None, (mirror.origin(settings), trouble)))
    return Finding("lab:alpine", not trouble, found, remedy, private=True)


def _why(settings: Settings) -> str:
    if not settings.virtual:
        return "a real lab machine has KVM"
    if State().hardware.exists():
        return "what the lab machine is started with"
    return "until lab build or lab machine up has tried KVM"
