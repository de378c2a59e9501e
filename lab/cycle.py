"""Random faults, one after another, and whether the rack heals after each.

Owns the plan, which a seed makes replayable, and what healed means. Leaves making each fault and
mending it to `fault` and `power`. The seed text: "a script on the real physical lab machine driving
the life cycle of those KVMs".
"""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from artefacts import step
from config import access, addressing, names
from config.settings import Settings
from config.topology import Guest, LxcHost, Router, Server, StorageNode, Topology
from lab import fault
from lab.converge import wait_ready
from lab.power import Action, power
from lab.remote import ask, patiently

LASTS_S = (1, 60)
ANSWER_S = 300  # until a container answers, and arrays are whole, once all machines are ready
BEARING = (1, 5, 6, 10)  # levels of an array that go on without a disk, md(4)
WHOLE = ["sh", "-c", r"! grep '\[[U_]*_[U_]*\]' /proc/mdstat"]


class Kind(StrEnum):
    """What can happen."""

    POWER = "power"
    RESET = "reset"
    FREEZE = "freeze"
    LINK = "link"
    DISK = "disk"


TOLD = {
    Kind.POWER: "{machine} without power",
    Kind.RESET: "{machine} reset",
    Kind.FREEZE: "{machine} frozen",
    Kind.LINK: "{machine} without its link to {part}",
    Kind.DISK: "{machine} without {part}",
}


@dataclass(frozen=True)
class Fault:
    """What happens to a machine; `part`: its disk, or the network that its link leads to."""

    kind: Kind
    machine: str
    part: str = ""

    def __str__(self) -> str:
        return TOLD[self.kind].format(machine=self.machine, part=self.part)


def possible(topology: Topology) -> dict[Kind, list[Fault]]:
    """All that a rack must bear, by kind; kinds that it has nothing for are left out."""
    lab = topology.array
    found = {
        Kind.POWER: [Fault(Kind.POWER, name) for name in topology.of(Server)],
        Kind.RESET: [Fault(Kind.RESET, name) for name in topology.of(Guest)],
        Kind.FREEZE: [Fault(Kind.FREEZE, name) for name in topology.machines],
        Kind.LINK: [
            Fault(Kind.LINK, name, network)
            for name, machine in topology.machines.items()
            for network in machine.networks
        ],
        Kind.DISK: [
            Fault(Kind.DISK, name, disk)
            for name, node in topology.of(StorageNode).items()
            if node.array in BEARING
            for disk in names.node_disks(node.disks)
        ]
        + [Fault(Kind.DISK, access.LAB_MACHINE, d) for d in lab.disks if lab.level in BEARING],
    }
    return {kind: faults for kind, faults in found.items() if faults}


def plan(
    seed: int, topology: Topology, rounds: int, kinds: Sequence[Kind] = ()
) -> Iterator[tuple[Fault, int]]:
    """The faults of a seed and the seconds each lasts; `kinds`: these alone.

    The same for the same topology; more rounds go on from fewer.
    """
    chance = random.Random(seed)  # noqa: S311 (a replayable plan, no secret)
    there = possible(topology)
    chosen = [kind for kind in there if kind in kinds or not kinds]
    for _ in range(rounds):
        yield chance.choice(there[chance.choice(chosen)]), chance.randint(*LASTS_S)


def cycle(settings: Settings, seed: int, rounds: int, kinds: Sequence[Kind] = ()) -> None:
    """Carry out a plan; every round ends with a healed rack.

    Raises:
        LabError: it doesn't heal; with what was last seen.
    """
    planned = plan(seed, settings.topology, rounds, kinds)
    for number, (each, seconds) in enumerate(planned, 1):
        with step(f"{number} of {rounds}: {each} for {seconds} s"):
            try:
                _happen(settings, each, begins=True)
                time.sleep(seconds)
            finally:  # Ctrl-C too leaves no fault behind
                _happen(settings, each, begins=False)
            healed(settings)


def _happen(settings: Settings, each: Fault, *, begins: bool) -> None:
    name, repair = each.machine, not begins
    match each.kind:
        case Kind.POWER:
            power(settings, name, Action.OFF if begins else Action.ON)
        case Kind.RESET:
            if begins:
                power(settings, name, Action.RESET)
        case Kind.FREEZE:
            fault.freeze(settings, name, repair=repair)
        case Kind.LINK:
            fault.link(settings, name, each.part, repair=repair)
        case Kind.DISK:
            fault.disk(settings, name, each.part, repair=repair)


def healed(settings: Settings) -> None:
    """Wait until all machines are ready, every array is whole and every container answers.

    Raises:
        LabError: one doesn't in time.
    """
    topology = settings.topology
    for name in topology.machines:
        wait_ready(settings, name)
    mirrored = [name for name, host in topology.of(LxcHost).items() if len(host.legs) > 1]
    for name in (access.LAB_MACHINE, *topology.of(StorageNode), *mirrored):
        patiently(ANSWER_S)(ask, settings, name, WHOLE)
    router = next(iter(topology.of(Router)), None)
    if router is None:
        return
    for container in topology.containers.values():
        url = f"http://{addressing.container(topology, container.host).ip}/"
        pages = [*container.volume_pages, *container.share_pages]
        for page in pages:
            get = ["wget", "-q", "-T", "10", "-O", "/dev/null", f"{url}{page}"]
            patiently(ANSWER_S)(ask, settings, router, get)
