"""How a rack runs, emulated or on KVM, and everything that depends on which.

Owns the two profiles, which one a lab machine has, and how a stack's options replace single values.
Leaves what the values mean to who uses them: `components` (CPUs, huge pages, turns), `guest.consul`
(timing), `alpine` (kernel), `labmachine` (cores).
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Any, Self

from config.consul import PATIENT, PROMPT, Timing
from config.errors import ConfigError, Problem
from config.stacks import Option

REQUIRED, OPTIONAL = "+", "?"
CPU = re.compile(r"[A-Za-z0-9_.-]+(,[+?][a-z0-9_.-]+)*")
# A one-shot timer and an APIC that are one register write each: a periodic tick that is emulated
# slower than it comes, as at the second level, leaves a machine no time for anything else.
TIMERS = ("+tsc-deadline", "+x2apic")
# sha256, AES and CRC as instructions, which an emulator has as functions: sha256 is five times as
# fast. Checking images, TLS and ssh are much of what a booting machine does.
INSTRUCTIONS = (
    "+ssse3", "+sse4.1", "+sse4.2", "+popcnt", "+aes", "+pclmuldq", "+sha-ni"
)  # fmt: skip
# A node's CPU runs guests by what the lab machine's vendor has. Intel's models lack AMD's nested
# page tables, without which an emulated SVM starts no guest and each other one is slow.
VIRTUALISATION = ("?vmx", "?svm", "?npt", "?nrip-save")
GUESTS = ("vmx", "svm")  # by either of which a CPU runs guests
UNCHECKED = "none"  # libvirt's word for it
OF_THE_HOST = ("host", "host-passthrough", "host-model", "maximum", "max", "base")


@dataclass(frozen=True)
class Cpu:
    """A CPU as libvirt has it: a named model, features it must have, and those it may have.

    A named model is the same wherever a machine moves; the host's own isn't (libvirt,
    formatdomain, "CPU model and topology").
    """

    model: str
    features: tuple[tuple[str, str], ...] = ()  # name, libvirt's policy

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read "MODEL,+feature,?feature": + requires a feature, ? takes it where the host has it.

        Raises:
            ValueError: it is nothing like that, or not the same on each host.
        """
        model, *features = text.split(",")
        if not CPU.fullmatch(text) or model in OF_THE_HOST:
            raise ValueError(text)
        policies = {REQUIRED: "require", OPTIONAL: "optional"}
        return cls(model, tuple((each[1:], policies[each[0]]) for each in features))

    @classmethod
    def of_node(cls, text: str) -> Self:
        """The same, of a CPU that runs guests.

        Raises:
            ValueError: it lacks what runs them, or is nothing like that.
        """
        found = cls.parse(text)
        if not any(name in GUESTS for name, _ in found.features):
            raise ValueError(text)
        return found

    @property
    def xml(self) -> str:
        """As libvirt compares it with a host's (formatdomain, "CPU model and topology")."""
        features = (f'<feature policy="{policy}" name="{name}"/>' for name, policy in self.features)
        model = f'<model fallback="forbid">{self.model}</model>'
        return f'<cpu mode="custom" match="exact">{model}{"".join(features)}</cpu>'

    def __str__(self) -> str:
        marks = {"require": REQUIRED, "optional": OPTIONAL}
        return ",".join([self.model, *(f"{marks[policy]}{name}" for name, policy in self.features)])


class Kernel(StrEnum):
    """A machine's kernel: compiled for racks that are emulated, or Alpine's for virtual machines.

    Its 1000 ticks a second leave an emulated guest of a guest no time (docs/decisions/0004).
    """

    RACK = "rack"
    ALPINE = "linux-virt"


@dataclass(frozen=True)
class Profile:
    """What a lab machine's way of running decides; each value but the name is a `lab:` option."""

    name: str
    node_cpu: Cpu  # of first-level machines; can run guests
    guest_cpu: Cpu  # of guests, and of a machine that moves
    huge_pages: bool  # first-level machines' memory is on 2 MiB pages
    boots_at_once: int | None  # machines that may boot side by side; None: all
    timing: Timing
    kernel: Kernel
    # libvirt's check of a CPU at each start; emulated it would miss features that are there
    cpu_check: str

    def shown(self) -> Iterator[tuple[str, str]]:
        """Each value by its option, as the option is written."""
        yield "profile", self.name
        for option, key in KEYS.items():
            yield option, _written(getattr(self, key))


def _cpu(*words: str) -> Cpu:
    return Cpu.parse(",".join(words))


EMULATED_CORES = 1  # of the virtual lab machine: a second one makes all slower (decision 0005)
# Emulated: without npt nested entry fails (facts of qemu's SVM), and each model's own features are
# those that qemu64 lacks and an emulator is quick at. One boot at a time, as one core carries all.
EMULATED = Profile(
    "emulated",
    node_cpu=_cpu("qemu64", "+svm", "+npt", *TIMERS, *INSTRUCTIONS),
    guest_cpu=_cpu("qemu64", *TIMERS, *INSTRUCTIONS),
    huge_pages=True,
    boots_at_once=EMULATED_CORES,
    timing=PATIENT,
    kernel=Kernel.RACK,
    cpu_check=UNCHECKED,
)
# Westmere is the newest of qemu's models whose features Intel's and AMD's CPUs since 2011 all have
# (qemu, docs/system/cpu-models-x86-abi.csv: x86-64-v2), with AES beside them; the vendor is the
# host's under KVM. Guests and nodes take the same of the rest, so a machine can move between them.
_ON_KVM = ("Westmere", *(each.replace(REQUIRED, OPTIONAL) for each in (*TIMERS, "+sha-ni")))
KVM = Profile(
    "kvm",
    node_cpu=_cpu(*_ON_KVM, *VIRTUALISATION),
    guest_cpu=_cpu(*_ON_KVM),
    huge_pages=True,
    boots_at_once=None,
    timing=PROMPT,
    kernel=Kernel.ALPINE,
    cpu_check="partial",
)
PROFILES = {each.name: each for each in (EMULATED, KVM)}
TIMINGS = {each.name: each for each in (PATIENT, PROMPT)}
SWITCHES = {"true": True, "false": False}
ALL = "all"
# Opening /dev/kvm proves nothing: a guest is booted on it, until it says this, a kernel's last
# words without a disk. A KVM whose silicon is emulated is slow, and far faster than TCG in there.
KVM_PROOF = "Unable to mount root fs"
KVM_DEADLINE_S = 180

# Options of the namespace `lab:`, and the value of a profile that each replaces.
KEYS = {
    "nodeCpu": "node_cpu",
    "guestCpu": "guest_cpu",
    "hugePages": "huge_pages",
    "bootsAtOnce": "boots_at_once",
    "timing": "timing",
    "kernel": "kernel",
}
READ: dict[str, tuple[Callable[[str], Any], str]] = {
    "nodeCpu": (
        Cpu.of_node,
        "a model of libvirt's, no host-…, and features, vmx or svm among them, like Westmere,+vmx",
    ),
    "guestCpu": (Cpu.parse, "a model of libvirt's, no host-…, and features, like Westmere,?sha-ni"),
    "hugePages": (SWITCHES.__getitem__, "one of: true, false"),
    "bootsAtOnce": (lambda text: None if text == ALL else _count(text), "1 or more, or all"),
    "timing": (TIMINGS.__getitem__, f"one of: {', '.join(TIMINGS)}"),
    "kernel": (Kernel, f"one of: {', '.join(Kernel)}"),
}


def of_stack(stack: str, option: Option, found: Profile) -> Profile:
    """The profile that a stack's options make of the one that was found.

    Raises:
        ConfigError: an option's value can't be used.
    """
    problems = []
    if (named := option("profile")) is not None:
        if named in PROFILES:
            found = PROFILES[named]
        else:
            problems.append(_problem(stack, "profile", named, f"one of: {', '.join(PROFILES)}"))
    for key, (read, rule) in READ.items():
        if (text := option(key)) is not None:
            try:
                found = replace(found, **{KEYS[key]: read(text)})
            except (KeyError, ValueError):
                problems.append(_problem(stack, key, text, rule))
    if problems:
        raise ConfigError("the stack's settings", problems)
    return found


def of_virtual(hardware: Path, cores: int | None) -> Profile:
    """The virtual lab machine's: that of the accelerator it is started with.

    `hardware`: the file in which its start notes that, or a build before. Emulated without it, and
    where it can't be read: that runs everywhere. `cores`: of its own, where they are set;
    emulated as many machines boot side by side.
    """
    with suppress(OSError, ValueError, KeyError, TypeError):
        if json.loads(hardware.read_text())["accelerator"] == "kvm":
            return KVM
    return replace(EMULATED, boots_at_once=cores or EMULATED_CORES)


def _problem(stack: str, key: str, value: str, rule: str) -> Problem:
    return Problem(f"lab:{key}", value, rule, f"pulumi config rm lab:{key} --stack {stack}")


def _count(text: str) -> int:
    if not re.fullmatch("[1-9][0-9]{0,3}", text):
        raise ValueError(text)
    return int(text)


def _written(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case None:
            return ALL
        case Timing():
            return value.name
    return str(value)
