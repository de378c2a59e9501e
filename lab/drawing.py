"""The rack as a picture, from the topology alone: networks, machines in machines, storage's way.

Owns what is drawn. Leaves the layout to Graphviz (SVG) and Mermaid; the two texts are
`templates/rack.dot.j2` and `templates/rack.mmd.j2`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from artefacts import run
from config.topology import (
    Guest,
    LxcHost,
    Machine,
    NbdUser,
    Node,
    San,
    StorageNode,
    Topology,
)

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    autoescape=False,  # noqa: S701 (names match the topology's patterns; no HTML)
)
ARRAY = "array"  # the lab machine's, with its volume group


@dataclass(frozen=True)
class Box:
    """A machine or container, with those inside it."""

    name: str
    label: str
    inside: tuple["Box", ...] = ()


@dataclass(frozen=True)
class Line:
    """From one box to another; `storage`: data's way up, else a plug in a network."""

    start: str
    end: str
    label: str = ""
    storage: bool = False


def mermaid(topology: Topology) -> str:
    """A Mermaid flowchart, for READMEs."""
    return _text("rack.mmd.j2", topology)


def svg(topology: Topology) -> str:
    """An SVG picture, laid out by Graphviz' `dot`.

    Raises:
        CommandFailed: dot isn't there or refuses.
    """
    text = _text("rack.dot.j2", topology)
    return run(["dot", "-Tsvg"], stdin=text.encode(), hint="apt-get install graphviz")


def _text(template: str, topology: Topology) -> str:
    return _TEMPLATES.get_template(template).render(
        networks=topology.networks,
        boxes=list(_boxes(topology)),
        lines=list(_lines(topology)),
        disks=topology.array.disks,
        level=topology.array.level,
        array=ARRAY,
    )


def _boxes(topology: Topology) -> Iterator[Box]:
    for name, node in topology.of(Node).items():
        guests = topology.guests_on(name).items()
        yield _box(name, node, tuple(_box(each, guest, ()) for each, guest in guests))


def _box(name: str, machine: Machine, inside: tuple[Box, ...]) -> Box:
    if isinstance(machine, LxcHost):
        inside = tuple(Box(each, each) for each in machine.containers)
    return Box(name, f"{name} ({machine.role})", inside)


def _lines(topology: Topology) -> Iterator[Line]:
    for disk in topology.array.disks:
        yield Line(disk, ARRAY, storage=True)
    for name, machine in topology.machines.items():
        for network in machine.networks if not isinstance(machine, Guest) else ():
            yield Line(name, network)
        yield from _storage(name, machine, topology)
        if isinstance(machine, LxcHost):
            for container in machine.containers:
                yield Line(container, "wan", "http")


def _storage(name: str, machine: Machine, topology: Topology) -> Iterator[Line]:
    if isinstance(machine, San):
        node = topology.of(StorageNode)[machine.node]
        label = f"{len(node.disks)} LVs, raid{node.array}, vda"
        yield Line(ARRAY, name, label, storage=True)
    elif isinstance(machine, NbdUser):
        for san, volume in machine.legs:
            yield Line(san, name, f"NBD {volume}", storage=True)
        if isinstance(machine, LxcHost):
            yield Line(machine.share, name, "NFS", storage=True)
