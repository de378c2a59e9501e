"""Checks across the entries of a topology, and whether it fits the lab machine.

Owns where guests may live, what refers to what, and the rules of the control plane. Leaves the
schema to `topology`, other checks to `checknames`, `checknetworks` and `checksizes`; sizes of a
real lab machine's disks are checked on that machine.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from config import checknames, checknetworks, checksizes
from config.addressing import LAB_UPLINK
from config.bill import bill
from config.checksizes import usable
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
    San,
    StorageNode,
    Topology,
    VolumeUser,
)
from config.units import format_size

FEWEST_VOTES = 3  # servers, of which one may fail (controlplane/internal/cluster, GrantVotes)
PLACE: Mapping[type[Guest], type[Hypervisor]] = {
    San: StorageNode, NfsServer: ComputeNode, LxcHost: ComputeNode, ConsulServer: ComputeNode,
}  # fmt: skip


@dataclass(frozen=True)
class Hardware:
    """What the virtual lab machine has, in bytes; disks by serial number."""

    memory: int
    disks: dict[str, int]


def problems(stack: str, topology: Topology) -> Iterator[Problem]:
    """Everything wrong with a topology that shows without knowing the lab machine."""
    yield from checknames.problems(stack, topology)
    yield from checknetworks.problems(topology)
    yield from _places(topology)
    yield from _references(topology)
    yield from _control_plane(topology)
    yield from _votes(topology)
    yield from _moving(topology)
    yield from checksizes.problems(topology)


def misfits(topology: Topology, hardware: Hardware) -> Iterator[Problem]:
    """What doesn't fit the virtual lab machine: memory, disks, volumes, its own uplink."""
    yield from _memory_bill(topology, hardware)
    for name, network in topology.networks.items():
        if network.cidr.overlaps(LAB_UPLINK):
            yield Problem(
                f"networks.{name}.cidr", str(network.cidr),
                f"the virtual lab machine's own uplink is {LAB_UPLINK}", "choose another range",
            )  # fmt: skip
    missing = [disk for disk in topology.array.disks if disk not in hardware.disks]
    for disk in missing:
        yield Problem(
            "array.disks", disk, f"the lab machine has: {', '.join(hardware.disks)}",
            "name disks it has, or add one to labmachine.yaml in the project's folder",
        )  # fmt: skip
    if not missing:
        yield from _capacity(topology, [hardware.disks[disk] for disk in topology.array.disks])


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
        elif isinstance(guest, LxcHost) and "wan" not in guest.networks:
            yield Problem(
                f"machines.{name}.networks", ", ".join(guest.networks),
                "its containers are on wan", "write it as [lan, wan]",
            )  # fmt: skip
        else:
            yield from _plugs_in(name, guest.networks, guest.node, node)
    servers = len(topology.of(BootServer))
    if servers != 1:
        what, rule = f"{servers} × role boot-server or founder", "exactly one"
        yield Problem("machines", what, rule, "add or remove one")
    per_node = Counter(san.node for san in topology.of(San).values())
    for node_name, count in per_node.items():
        if count > 1:
            yield Problem(
                f"machines.{node_name}", f"{count} SANs",
                "a storage node's array goes to one SAN whole", "remove one",
            )  # fmt: skip


def _plugs_in(
    name: str, networks: tuple[str, ...], node_name: str, node: Hypervisor
) -> Iterator[Problem]:
    """A guest's NICs join bridges of its node."""
    key = f"machines.{name}.networks"
    if missing := set(networks) - set(node.networks):
        yield Problem(
            key, sorted(missing)[0], f"its node {node_name} is not on that network",
            f"add it to {node_name}'s networks, or choose another node",
        )  # fmt: skip
    elif missing := set(networks) - node.guest_networks:
        known = ", ".join(sorted(node.guest_networks))
        rule = f"a {node.role} node's guests can be on {known}"
        yield Problem(key, sorted(missing)[0], rule, "remove it")


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
        elif founder.node:
            node = topology.machines.get(founder.node)
            if isinstance(node, ComputeNode):
                yield from _plugs_in(name, founder.networks, founder.node, node)
            else:
                yield Problem(
                    f"{key}.node", founder.node, "the boot server moves into a compute node",
                    "name such a machine of the topology",
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


def _memory_bill(topology: Topology, hardware: Hardware) -> Iterator[Problem]:
    need = bill(topology).memory
    if need > hardware.memory:
        yield Problem(
            "machines.*.memory", format_size(need),
            f"the lab machine has {format_size(hardware.memory)}",
            "make machines smaller, or raise `memory` in labmachine.yaml, in the project's folder",
        )  # fmt: skip


def _capacity(topology: Topology, disks: list[int]) -> Iterator[Problem]:
    room = usable(topology.array.level, disks)
    need = bill(topology).disk
    if need > room:
        yield Problem(
            "machines.*.disks", format_size(need),
            f"the lab machine's volume group has room for {format_size(room)}",
            "make disks and stick smaller, or name more disks under `array`",
        )  # fmt: skip
