"""What a rack takes of the lab machine: memory, disk and cores, machine by machine.

Owns the figures beside the topology's own, all measured. Leaves refusing a rack that doesn't
fit to `checks`, and showing the bill to `lab`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from config import names
from config.topology import BootServer, Guest, Machine, Node, StorageNode, Topology
from config.units import MIB

NODE_OVERHEAD = 72 * MIB  # a first-level qemu's own memory on the lab machine
GUEST_OVERHEAD = 56 * MIB  # a second-level qemu's own memory in its node
NODE_BASE = 256 * MIB  # a node's kernel, its image in RAM, libvirtd: 182 to 222 in use
LAB_BASE = 768 * MIB  # the lab machine's own services
BMC = 20 * MIB  # VirtualBMC, for each server
EXTENT = 4 * MIB  # LVM2's default physical extent, vgcreate(8)
# Shares of a core that idle machines cost where both levels are emulated.
IDLE_LAB, IDLE_NODE, IDLE_GUEST = 0.06, 0.005, 0.04


@dataclass(frozen=True)
class Entry:
    """One machine: its level, what it runs on, its memory and its qemu's own there, in bytes."""

    level: int
    on: str
    memory: int
    overhead: int


@dataclass(frozen=True)
class Bill:
    """`memory` and `disk`: bytes of the lab machine and of its volume group, all switched on.

    `cores`: processors of the first level; `idle`: cores that the idle rack costs, emulated.
    """

    entries: Mapping[str, Entry]
    memory: int
    disk: int
    cores: int
    idle: float


def bill(topology: Topology) -> Bill:
    """A rack's bill."""
    entries = {}
    for name, machine in topology.machines.items():
        if isinstance(machine, Guest):
            entries[name] = Entry(2, machine.node, machine.memory, GUEST_OVERHEAD)
        else:
            entries[name] = Entry(1, "the lab machine", machine.memory, NODE_OVERHEAD)
    nodes = topology.of(Node)
    first = [entry.memory + entry.overhead for entry in entries.values() if entry.level == 1]
    return Bill(
        entries=entries,
        memory=LAB_BASE + len(nodes) * BMC + sum(first),
        disk=sum(extents(size) for size in volume_sizes(topology).values()),
        cores=sum(node.cpus for node in nodes.values()),
        idle=IDLE_LAB + IDLE_NODE * len(nodes) + IDLE_GUEST * (len(entries) - len(nodes)),
    )


def volume_sizes(topology: Topology) -> dict[str, int]:
    """Bytes of the lab machine's logical volumes by name: storage nodes' disks, then sticks."""
    sizes = {
        names.node_volume(name, disk): size
        for name, node in topology.of(StorageNode).items()
        for disk, size in names.node_disks(node.disks).items()
    }
    for name, laptop in topology.of(BootServer).items():
        sizes[names.node_volume(name, "stick")] = laptop.stick
    return sizes


def inside(topology: Topology, node: str) -> dict[str, Machine]:
    """What a node must have memory for: its guests, and who moves into it."""
    visitors = {name: topology.machines[name] for name, to in topology.moves.items() if to == node}
    return {**topology.guests_on(node), **visitors}


def guests_need(topology: Topology, node: str) -> int:
    """Bytes that a node needs for itself and its guests; nothing if it has none."""
    guests = inside(topology, node).values()
    return NODE_BASE + sum(guest.memory + GUEST_OVERHEAD for guest in guests) if guests else 0


def extents(size: int) -> int:
    """A volume's bytes in whole extents."""
    return -(-size // EXTENT) * EXTENT


def summary(found: Bill, memory: int | None) -> str:
    """The bill in a line; `memory`: what the lab machine has, if it is known."""
    of = f" of {memory / (1 << 30):.1f}" if memory else ""
    return (
        f"{len(found.entries)} machines take {found.memory / (1 << 30):.1f}{of} GiB of memory and "
        f"{found.disk / (1 << 30):.1f} GiB of its volume group; idle about {found.idle:.1f} cores "
        "where all is emulated"
    )
