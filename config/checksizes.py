"""Checks of sizes: memory, disks, arrays, volumes, sticks; what is too small, and what doesn't fit.

Owns the least sizes, all of them measured. Leaves what a rack takes in all to `bill`.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from config.bill import EXTENT, NODE_BASE, extents, guests_need, inside
from config.errors import Problem
from config.topology import (
    BootServer,
    ConsulServer,
    Founder,
    NbdUser,
    Node,
    San,
    StorageNode,
    Topology,
)
from config.units import MIB, format_size

FEWEST_DISKS = {0: 2, 1: 2, 5: 3, 6: 4, 10: 2}  # mdadm(8), --raid-devices
# What a machine of each role was seen to run with (docs/status.md); a node's guests come on top.
LEAST_MEMORY: Mapping[str, int] = {
    "boot-server": 256 * MIB, "founder": 448 * MIB, "router": 192 * MIB, "firewall": 192 * MIB,
    "storage": NODE_BASE, "compute": NODE_BASE, "san": 192 * MIB, "nfs": 192 * MIB,
    "lxc": 224 * MIB, "consul": 448 * MIB,
}  # fmt: skip
LEAST_STICK = 256 * MIB  # twice the boot tree, while it is brought up to date
LEAST_DISK = 64 * MIB  # md's and LVM's own data, and something to keep
LEAST_VOLUME = 16 * MIB  # an ext4 with a journal
CONSUL_VOLUME = 96 * MIB  # raft's state and snapshots
MOVED = 256 * MIB  # of a boot server that moves: consul's state, and twice the boot tree


def problems(topology: Topology) -> Iterator[Problem]:
    """All that is too small, or too large for what holds it."""
    yield from _least(topology)
    yield from _volumes(topology)
    yield from _arrays(topology)
    yield from _guest_memory(topology)


def _least(topology: Topology) -> Iterator[Problem]:
    for name, machine in topology.machines.items():
        key, least = f"machines.{name}", LEAST_MEMORY[machine.role]
        yield from _at_least(f"{key}.memory", machine.memory, least, f"a {machine.role} runs with")
        if isinstance(machine, BootServer):
            yield from _at_least(f"{key}.stick", machine.stick, LEAST_STICK, "a boot tree takes")
        if isinstance(machine, StorageNode):
            smallest = min(machine.disks)
            yield from _at_least(f"{key}.disks", smallest, LEAST_DISK, "an array's disks have")


def _at_least(key: str, size: int, least: int, rule: str) -> Iterator[Problem]:
    if size < least:
        wanted = format_size(least)
        yield Problem(key, format_size(size), f"{rule} {wanted} or more", f"raise it to {wanted}")


def _volumes(topology: Topology) -> Iterator[Problem]:
    least: dict[tuple[str, str], tuple[int, str]] = {}
    for kind, size, rule in (
        (ConsulServer, CONSUL_VOLUME, "consul's state takes"),
        (Founder, MOVED, "the boot server's volume holds consul's state and the boot tree:"),
    ):
        for machine in topology.of(kind).values():
            least |= dict.fromkeys(machine.legs, (size, rule))
    for name, san in topology.of(San).items():
        for volume, size in san.volumes.items():
            wanted, rule = least.get((name, volume), (LEAST_VOLUME, "a file system takes"))
            yield from _at_least(f"machines.{name}.volumes.{volume}", size, wanted, rule)
    for name, user in topology.of(NbdUser).items():
        sans = [san for san, _ in user.legs]
        if len(set(sans)) < len(sans):
            yield Problem(
                f"machines.{name}.volume", ", ".join(user.volume),
                "a mirror's volumes are on different SANs, of which any may fail",
                "name a volume of another SAN, or one volume alone",
            )  # fmt: skip


def _arrays(topology: Topology) -> Iterator[Problem]:
    disks = topology.array.disks
    for disk in sorted(each for each, times in Counter(disks).items() if times > 1):
        yield Problem("array.disks", disk, "a disk is in an array once", "name it once")
    arrays = [("array", topology.array.level, len(disks))]
    for name, node in topology.of(StorageNode).items():
        arrays.append((f"machines.{name}", node.array, len(node.disks)))
        if len(set(node.disks)) > 1:
            yield Problem(
                f"machines.{name}.disks", ", ".join(format_size(size) for size in node.disks),
                "an array's disks have one size", "make them equal",
            )  # fmt: skip
    for key, level, count in arrays:
        if count < FEWEST_DISKS[level]:
            yield Problem(
                f"{key}.disks", count, f"raid{level} needs {FEWEST_DISKS[level]} disks or more",
                "add disks, or choose another level",
            )  # fmt: skip
    for name, san in topology.of(San).items():
        holder = topology.machines.get(san.node)
        if not isinstance(holder, StorageNode):
            continue
        enough = len(holder.disks) >= FEWEST_DISKS[holder.array]
        if enough and min(holder.disks) >= LEAST_DISK:
            room = usable(holder.array, holder.disks)
            need = sum(extents(size) for size in san.volumes.values())
            if need > room:
                yield Problem(
                    f"machines.{name}.volumes", format_size(need),
                    f"{san.node}'s array has room for {format_size(room)}",
                    "make the volumes smaller, or the node's disks larger",
                )  # fmt: skip


def usable(level: int, disks: Sequence[int]) -> int:
    """Room for extents on an array; two extents a disk are md's own (mdadm(8), data offset)."""
    each = min(disks) - 2 * EXTENT
    data_disks = {0: len(disks), 1: 1, 5: len(disks) - 1, 6: len(disks) - 2}
    total = each * len(disks) // 2 if level == 10 else each * data_disks[level]  # noqa: PLR2004
    return (total // EXTENT - 1) * EXTENT


def _guest_memory(topology: Topology) -> Iterator[Problem]:
    for name, node in topology.of(Node).items():
        need, guests = guests_need(topology, name), ", ".join(inside(topology, name))
        if need > node.memory:
            yield Problem(
                f"machines.{name}.memory", format_size(node.memory),
                f"its own needs and its guests ({guests}) take {format_size(need)}",
                f"raise it to {format_size(need)} or more, or make the guests smaller",
            )  # fmt: skip
