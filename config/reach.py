"""Who may start a connection to whom across networks, from the topology's `reach`.

Owns the rules that router and firewall load. Leaves their syntax to `guest/templates`. What
a machine needs to boot, and what the firewall publishes, is allowed beside `reach`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from config import addressing
from config.consul import GOSSIP_PORT, RPC_PORT
from config.topology import Firewall, Node, Topology

HTTP_PORT = 80  # the boot server's and the containers' (IANA: http)
NTP_PORT = 123  # IANA: ntp


@dataclass(frozen=True)
class Allowed:
    """Connections that may be started from a network to addresses in another.

    `target` is None for all that lies beyond the firewall; `port` None for any traffic.
    """

    source: str
    through: str
    target: IPv4Network | IPv4Address | None
    port: int | None = None
    protocol: str = "tcp"


@dataclass(frozen=True)
class Published:
    """A TCP port of the firewall on isp and the container it leads to."""

    port: int
    container: IPv4Address


def on_router(topology: Topology) -> tuple[Allowed, ...]:
    """What the router passes on, beside answers."""
    return tuple(dict.fromkeys([*_reach(topology), *_elsewhere(topology), *_from_isp(topology)]))


def to_isp(topology: Topology) -> tuple[IPv4Network, ...]:
    """The networks whose machines may go out through the firewall."""
    return tuple(
        topology.networks[source].cidr
        for source, targets in topology.reach.items()
        if "isp" in targets
    )


def published(topology: Topology, firewall: Firewall) -> tuple[Published, ...]:
    """A firewall's published ports."""
    return tuple(
        Published(port, addressing.container(topology, topology.containers[name].host).ip)
        for port, name in firewall.publish.items()
    )


def _reach(topology: Topology) -> Iterator[Allowed]:
    for source, targets in topology.reach.items():
        for target in targets:
            if target == "isp":
                if source != "internet":  # where the firewall itself stands
                    yield Allowed(source, "internet", None)
            else:
                yield Allowed(source, target, topology.networks[target].cidr)


def _elsewhere(topology: Topology) -> Iterator[Allowed]:
    """Machines that boot elsewhere than on lan: the boot server, the time, consul's agents."""
    for node in topology.of(Node).values():
        network = node.networks[0]
        if network != "lan":
            yield Allowed(network, "lan", addressing.boot_address(topology).ip, HTTP_PORT)
            yield Allowed(network, "lan", addressing.ntp(topology).ip, NTP_PORT, "udp")
            if topology.founder:
                lan = topology.networks["lan"].cidr
                yield Allowed(network, "lan", lan, RPC_PORT)
                yield Allowed(network, "lan", lan, GOSSIP_PORT)
                yield Allowed(network, "lan", lan, GOSSIP_PORT, "udp")


def _from_isp(topology: Topology) -> Iterator[Allowed]:
    for firewall in topology.of(Firewall).values():
        for each in published(topology, firewall):
            yield Allowed("internet", "wan", each.container, HTTP_PORT)
