"""Checks across the entries of a topology, and whether it fits the lab machine.

Owns the rules that no single entry can check. Leaves the schema to `topology`; sizes of a
real lab machine's disks are checked on that machine.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations

from config import names
from config.addressing import (
    BOOT_HOST,
    DYNAMIC_HOSTS,
    LAB_MACHINE_HOST,
    LAB_MACHINE_NETWORKS,
    PROVIDER_HOST,
)
from config.bill import EXTENT, bill, extents, guests_need, inside
from config.errors import Problem
from config.topology import (
    BootServer,
    ComputeNode,
    ConsulServer,
    Firewall,
    Founder,
    Guest,
    Hypervisor,
    LxcHost,
    NfsServer,
    Node,
    RaidLevel,
    Router,
    San,
    Server,
    StorageNode,
    Topology,
    VolumeUser,
)
from config.units import MIB, format_size

MOVED = (
    256 * MIB
)  # of a boot server: consul's state, and twice the tree while it is brought up to date
FEWEST_VOTES = 3  # servers, of which one may fail (controlplane/duties.go, grantVotes)
FEWEST_DISKS = {0: 2, 1: 2, 5: 3, 6: 4, 10: 2}  # mdadm(8), --raid-devices
PLACE: Mapping[type[Guest], type[Hypervisor]] = {
    San: StorageNode, NfsServer: ComputeNode, LxcHost: ComputeNode, ConsulServer: ComputeNode,
}  # fmt: skip


@dataclass(frozen=True)
class Hardware:
    """What a lab machine has, in bytes; disks by serial number."""

    memory: int
    disks: dict[str, int]


def problems(stack: str, topology: Topology) -> Iterator[Problem]:
    """Everything wrong with a topology that shows without knowing the lab machine."""
    yield from _networks(topology)
    yield from _numbers(topology)
    yield from _places(topology)
    yield from _references(topology)
    yield from _control_plane(topology)
    yield from _votes(topology)
    yield from _moving(topology)
    yield from _reach(topology)
    yield from _arrays(topology)
    yield from _guest_memory(topology)
    yield from _mac_addresses(stack, topology)


def misfits(topology: Topology, hardware: Hardware) -> Iterator[Problem]:
    """What doesn't fit the lab machine: memory, disks, volumes."""
    yield from _memory_bill(topology, hardware)
    missing = [disk for disk in topology.array.disks if disk not in hardware.disks]
    for disk in missing:
        yield Problem(
            "array.disks", disk, f"the lab machine has: {', '.join(hardware.disks)}",
            "name disks it has, or add one to config/labmachine.yaml",
        )  # fmt: skip
    if not missing:
        yield from _capacity(topology, [hardware.disks[disk] for disk in topology.array.disks])


def _networks(topology: Topology) -> Iterator[Problem]:
    for (one, first), (other, second) in combinations(topology.networks.items(), 2):
        if first.cidr.overlaps(second.cidr):
            yield Problem(
                f"networks.{other}.cidr", str(second.cidr), f"overlaps {one}, {first.cidr}",
                "give each network a range of its own",
            )  # fmt: skip
    for name, network in topology.networks.items():
        if not 16 <= network.cidr.prefixlen <= 24:  # noqa: PLR2004
            yield Problem(
                f"networks.{name}.cidr", str(network.cidr),
                "a network is a /16 to /24: host numbers from 1 to 254 or more",
                "write it as a.b.c.0/24",
            )  # fmt: skip


def _numbers(topology: Topology) -> Iterator[Problem]:
    taken = {(each, LAB_MACHINE_HOST): "the lab machine" for each in LAB_MACHINE_NETWORKS}
    taken["isp", PROVIDER_HOST] = "the provider"
    if topology.founder:
        taken["lan", BOOT_HOST] = "whoever is the boot server"
    for key, network, host in _hosts(topology):
        if network not in topology.networks:
            yield Problem(
                f"{key.rpartition('.')[0]}.networks", network,
                f"one of {', '.join(topology.networks)}",
                "use a network of the topology, or add it under `networks`",
            )  # fmt: skip
            continue
        most = topology.networks[network].cidr.num_addresses - 2
        if host > most:
            yield Problem(
                key,
                host,
                f"{network} has host numbers up to {most}",
                "choose a lower one",
            )
            continue
        first, last = DYNAMIC_HOSTS
        if first <= host <= last:
            yield Problem(
                key, host,
                f"{first} to {last} are for unknown machines",
                f"choose a number below {first}",
            )  # fmt: skip
        other = taken.setdefault((network, host), key)
        if other != key:
            yield Problem(key, host, f"already taken on {network} by {other}", "choose a free one")


def _hosts(topology: Topology) -> Iterator[tuple[str, str, int]]:
    for name, machine in topology.machines.items():
        for network in machine.networks:
            yield f"machines.{name}.host", network, machine.host
        if isinstance(machine, Server):
            yield f"machines.{name}.bmc", "ipmi", machine.bmc
        if isinstance(machine, LxcHost):
            for inner, container in machine.containers.items():
                yield f"machines.{name}.containers.{inner}.host", "wan", container.host


def _places(topology: Topology) -> Iterator[Problem]:
    for name, machine in topology.machines.items():
        if machine.networks[0] != "lan" and not isinstance(machine, Firewall):
            yield Problem(
                f"machines.{name}.networks", machine.networks[0],
                "eth0 is on lan for all but the firewall (seed)", "put lan first",
            )  # fmt: skip
        doubled = [network for network, n in Counter(machine.networks).items() if n > 1]
        if doubled:
            yield Problem(
                f"machines.{name}.networks", doubled[0], "one NIC a network", "name it once"
            )
    for name, guest in topology.of(Guest).items():
        wanted = PLACE[type(guest)]
        node = topology.machines.get(guest.node)
        if not isinstance(node, wanted):
            kind = "a storage node" if wanted is StorageNode else "a compute node"
            yield Problem(
                f"machines.{name}.node", guest.node, f"this role runs on {kind}",
                "name such a machine of the topology",
            )  # fmt: skip
        elif missing := set(guest.networks) - set(node.networks):
            yield Problem(
                f"machines.{name}.networks", sorted(missing)[0],
                f"its node {guest.node} is not on that network",
                f"add it to {guest.node}'s networks, or choose another node",
            )  # fmt: skip
    for kind_name, count in (("boot-server", len(topology.of(BootServer))),):
        if count != 1:
            yield Problem(
                "machines", f"{count} × role {kind_name}", "exactly one", "add or remove one"
            )
    per_node = Counter(san.node for san in topology.of(San).values())
    for node_name, count in per_node.items():
        if count > 1:
            yield Problem(
                f"machines.{node_name}", f"{count} SANs",
                "a storage node's array goes to one SAN whole", "remove one",
            )  # fmt: skip


def _control_plane(topology: Topology) -> Iterator[Problem]:
    servers = topology.of(ConsulServer)
    if servers and not topology.founder:
        yield Problem(
            f"machines.{next(iter(servers))}.role", "consul",
            "consul servers join the one that starts the cluster, the laptop",
            "give the laptop the role founder, or remove the consul servers",
        )  # fmt: skip
    if topology.founder and not servers:
        yield Problem(
            f"machines.{topology.founder}.role", "founder", "it takes over nobody's duty alone",
            "add a machine of role consul, or give it the role boot-server",
        )  # fmt: skip


def _votes(topology: Topology) -> Iterator[Problem]:
    """One failure must leave a majority of the votes (Raft dissertation, section 3.2).

    Of two servers the founder alone votes. Its own state is on its stick or mirrored with
    memory, and that of a guest on a mirror of several SANs outlives one of them.
    """
    servers = topology.consul_servers
    if len(servers) < FEWEST_VOTES:
        return
    held: dict[str, list[str]] = {}
    for name, server in topology.of(ConsulServer).items():
        for place in (server.node, *{san for san, _ in server.legs if len(server.legs) == 1}):
            held.setdefault(place, []).append(name)
    for name, node in topology.moves.items():
        held.setdefault(node, []).append(name)
    for place, names_there in held.items():
        if 2 * len(names_there) >= len(servers):
            yield Problem(
                f"machines.{place}", ", ".join(names_there),
                f"without {place} a majority of the {len(servers)} consul servers must go on",
                "have one of them on another node, with its volume on another SAN",
            )  # fmt: skip


def _moving(topology: Topology) -> Iterator[Problem]:
    for name, founder in topology.of(Founder).items():
        key = f"machines.{name}"
        if bool(founder.volume) != bool(founder.node) or len(founder.volume) > 1:
            yield Problem(
                f"{key}.volume", ", ".join(founder.volume) or "none",
                "who moves has one volume and one node to go to", "give both, or neither",
            )  # fmt: skip
        elif founder.node and not isinstance(topology.machines.get(founder.node), ComputeNode):
            yield Problem(
                f"{key}.node", founder.node, "the boot server moves into a compute node",
                "name such a machine of the topology",
            )  # fmt: skip
        for san, volume in founder.legs:
            size = topology.of(San)[san].volumes.get(volume) if san in topology.of(San) else None
            if size is not None and size < MOVED:
                yield Problem(
                    f"machines.{san}.volumes.{volume}", format_size(size),
                    "the boot server's volume holds consul's state and the boot tree",
                    f"make it {format_size(MOVED)} or larger",
                )  # fmt: skip


def _references(topology: Topology) -> Iterator[Problem]:
    users: dict[str, str] = {}
    for name, machine in topology.of(VolumeUser).items():
        sizes = set()
        for reference, (san, volume) in zip(machine.volume, machine.legs, strict=True):
            target = topology.machines.get(san)
            if not isinstance(target, San) or volume not in target.volumes:
                yield Problem(
                    f"machines.{name}.volume", reference, "SAN/VOLUME of this topology",
                    "add the volume to the SAN, or name one it has",
                )  # fmt: skip
            else:
                sizes.add(target.volumes[volume])
            if reference in users:
                yield Problem(
                    f"machines.{name}.volume", reference,
                    f"{users[reference]} mounts it: one machine a volume",
                    "give each a volume of its own",
                )  # fmt: skip
            users[reference] = name
        if len(sizes) > 1:
            yield Problem(
                f"machines.{name}.volume", ", ".join(format_size(size) for size in sorted(sizes)),
                "a mirror's volumes have one size", "make them equal",
            )  # fmt: skip
        if isinstance(machine, LxcHost) and not isinstance(
            topology.machines.get(machine.share), NfsServer
        ):
            yield Problem(
                f"machines.{name}.share", machine.share, "a machine with role nfs",
                "name an NFS server of the topology",
            )  # fmt: skip


def _reach(topology: Topology) -> Iterator[Problem]:
    routed = {each for router in topology.of(Router).values() for each in router.networks}
    firewalled = {each for wall in topology.of(Firewall).values() for each in wall.networks}
    for source, targets in topology.reach.items():
        for target in targets:
            key = f"reach.{source}"
            if target == source or source not in routed:
                yield Problem(
                    key, f"{source}: {target}",
                    f"from one to another of the router's networks: {', '.join(sorted(routed))}",
                    "remove it; what no rule lets through is refused",
                )  # fmt: skip
            elif target not in routed and not (target == "isp" and target in firewalled):
                yield Problem(
                    key, target, "no router leads there",
                    "name a network of the router, or isp where a firewall stands",
                )  # fmt: skip
    for name, machine in topology.of(Node).items():
        away = machine.networks[0]
        if away != "lan" and away not in topology.reach.get("lan", ()):
            yield Problem(
                "reach.lan", ", ".join(topology.reach.get("lan", ())),
                f"{name} is managed from lan at its address on {away}", f"add {away}",
            )  # fmt: skip
    for name, wall in topology.of(Firewall).items():
        for port, container in wall.publish.items():
            if container not in topology.containers:
                yield Problem(
                    f"machines.{name}.publish.{port}", container, "a container of the topology",
                    f"name one of: {', '.join(topology.containers)}",
                )  # fmt: skip


def _arrays(topology: Topology) -> Iterator[Problem]:
    arrays = [("array", topology.array.level, len(topology.array.disks))]
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
        node_machine = topology.machines.get(san.node)
        if isinstance(node_machine, StorageNode):
            room = _usable(node_machine.array, node_machine.disks)
            need = sum(extents(size) for size in san.volumes.values())
            if need > room:
                yield Problem(
                    f"machines.{name}.volumes", format_size(need),
                    f"{san.node}'s array has room for {format_size(room)}",
                    "make the volumes smaller, or the node's disks larger",
                )  # fmt: skip


def _usable(level: RaidLevel, disks: tuple[int, ...] | list[int]) -> int:
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


def _memory_bill(topology: Topology, hardware: Hardware) -> Iterator[Problem]:
    need = bill(topology).memory
    if need > hardware.memory:
        yield Problem(
            "machines.*.memory", format_size(need),
            f"the lab machine has {format_size(hardware.memory)}",
            "make machines smaller, or raise `memory` in config/labmachine.yaml",
        )  # fmt: skip


def _capacity(topology: Topology, disks: list[int]) -> Iterator[Problem]:
    room = _usable(topology.array.level, disks)
    need = bill(topology).disk
    if need > room:
        yield Problem(
            "machines.*.disks", format_size(need),
            f"the lab machine's volume group has room for {format_size(room)}",
            "make disks and stick smaller, or name more disks under `array`",
        )  # fmt: skip


def _mac_addresses(stack: str, topology: Topology) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, machine in topology.machines.items():
        for network in machine.networks:
            other = seen.setdefault(names.mac(stack, name, network), name)
            if other != name:
                yield Problem(
                    f"machines.{name}", name, f"its MAC address equals {other}'s", "rename it"
                )
