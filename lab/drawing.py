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
    BootServer,
    Guest,
    LxcHost,
    Machine,
    Node,
    San,
    StorageNode,
    Topology,
    VolumeUser,
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
        LabError: dot isn't there or refuses.
    """
    text = _text("rack.dot.j2", topology)
    return run(["dot", "-Tsvg"], stdin=text.encode(), hint="apt-get install graphviz")


def _text(template: str, topology: Topology) -> str:
    return _TEMPLATES.get_template(template).render(
        networks={_network(name): name for name in topology.networks},
        boxes=list(_boxes(topology)),
        lines=list(_lines(topology)),
        disks=_disks(topology),
        level=topology.array.level,
        array=ARRAY,
    )


def _network(name: str) -> str:
    """A network's name in the picture's text; a machine may be called the same."""
    return f"network_{name}"


def _disks(topology: Topology) -> dict[str, str]:
    """The physical disks' serial numbers, by their names there."""
    return {f"disk_{index}": disk for index, disk in enumerate(topology.array.disks)}


def _machine(name: str) -> str:
    """A machine's or container's name there: no word of Mermaid's, as `end` is one."""
    return f"machine_{name.replace('-', '_')}"


def _boxes(topology: Topology) -> Iterator[Box]:
    for name, node in topology.of(Node).items():
        guests = topology.guests_on(name).items()
        yield _box(name, node, tuple(_box(each, guest, ()) for each, guest in guests))


def _box(name: str, machine: Machine, inside: tuple[Box, ...]) -> Box:
    if isinstance(machine, LxcHost):
        inside = tuple(Box(_machine(each), each) for each in machine.containers)
    return Box(_machine(name), f"{name} ({machine.role})", inside)


def _lines(topology: Topology) -> Iterator[Line]:
    for disk in _disks(topology):
        yield Line(disk, ARRAY, storage=True)
    for name, machine in topology.machines.items():
        for network in machine.networks if not isinstance(machine, Guest) else ():
            yield Line(_machine(name), _network(network))
        yield from _storage(name, machine, topology)
        if isinstance(machine, LxcHost):
            for container in machine.containers:
                yield Line(_machine(container), _network("wan"), "http")


def _storage(name: str, machine: Machine, topology: Topology) -> Iterator[Line]:
    here = _machine(name)
    if isinstance(machine, San):
        node = topology.of(StorageNode)[machine.node]
        label = f"{len(node.disks)} LVs, raid{node.array}, vda"
        yield Line(ARRAY, here, label, storage=True)
    elif isinstance(machine, StorageNode) and not topology.guests_on(name):
        yield Line(ARRAY, here, f"{len(machine.disks)} LVs, raid{machine.array}", storage=True)
    if isinstance(machine, BootServer):
        yield Line(ARRAY, here, "LV, USB stick", storage=True)
    if isinstance(machine, VolumeUser):
        for san, volume in machine.legs:
            yield Line(_machine(san), here, f"NBD {volume}", storage=True)
    if isinstance(machine, LxcHost):
        yield Line(_machine(machine.share), here, "NFS", storage=True)
