"""The topology file: which networks, disks and machines a rack has.

Owns the whole file's schema; docs/topology.md is made of its descriptions. Leaves machines to
`machines`, whose kinds it hands on, checks across entries to `checks`, addresses to `addressing`,
and names to `names`.
"""

from typing import Annotated, TypeVar

from pydantic import Field

from config.machines import (
    AnyMachine,
    BootServer,
    ComputeNode,
    ConsulServer,
    Container,
    Firewall,
    Founder,
    Frozen,
    Guest,
    Hypervisor,
    LxcHost,
    Machine,
    NbdUser,
    NfsServer,
    Node,
    Router,
    San,
    Server,
    StorageNode,
    VolumeUser,
    roles,
)
from config.netem import Netem
from config.values import Cidr, Name, NetworkName, RaidLevel, Serial

__all__ = [
    "Array",
    "BootServer",
    "ComputeNode",
    "ConsulServer",
    "Container",
    "Firewall",
    "Founder",
    "Guest",
    "Hypervisor",
    "Kind",
    "LxcHost",
    "Machine",
    "NbdUser",
    "Network",
    "NfsServer",
    "Node",
    "Router",
    "San",
    "Server",
    "StorageNode",
    "Topology",
    "VolumeUser",
    "roles",
]

Kind = TypeVar("Kind", bound=Machine)


class Network(Frozen):
    """One switch of the rack."""

    cidr: Cidr = Field(
        description="Its addresses: a /16 to /24 of the private ranges (RFC 1918, RFC 6598)."
    )
    netem: Netem | None = Field(
        None, description="What its line to the router does to packets; without it nothing."
    )


class Array(Frozen):
    """The md array on the lab machine's physical disks, and the volume group on it."""

    level: RaidLevel = Field(description="Its RAID level, as mdadm(8) has it.")
    disks: tuple[Serial, ...] = Field(
        min_length=1,
        max_length=64,
        description="The disks by their serial numbers; the virtual lab machine's are the names "
        "in config/labmachine.yaml.",
    )


class Topology(Frozen):
    """A whole rack, as read from a file in `config/`."""

    array: Array = Field(description="What the machines' disks are made of, on the lab machine.")
    networks: dict[NetworkName, Network] = Field(description="The switches of the rack.")
    reach: dict[NetworkName, Annotated[tuple[NetworkName, ...], Field(max_length=6)]] = Field(
        default_factory=dict,
        description="Which networks the machines of a network may start connections to; nothing "
        "else passes router and firewall, but what machines need to boot and what is published.",
    )
    machines: dict[Name, AnyMachine] = Field(description="All machines by name, at both levels.")

    def of(self, kind: type[Kind]) -> dict[str, Kind]:
        """The machines of one kind, in the file's order."""
        return {name: each for name, each in self.machines.items() if isinstance(each, kind)}

    def host_of_container(self, name: str) -> str | None:
        """The machine that runs a container; None: there is no such container."""
        hosts = self.of(LxcHost).items()
        return next((host for host, each in hosts if name in each.containers), None)

    @property
    def containers(self) -> dict[str, Container]:
        """Every LXC container, in the file's order."""
        return {
            name: container
            for host in self.of(LxcHost).values()
            for name, container in host.containers.items()
        }

    @property
    def founder(self) -> str | None:
        """The machine that starts the control plane; None in a rack that has none."""
        return next(iter(self.of(Founder)), None)

    @property
    def consul_servers(self) -> tuple[str, ...]:
        """The machines of which one leads and is the boot server, the founder first."""
        return self.boot_servers if self.founder else ()

    @property
    def boot_servers(self) -> tuple[str, ...]:
        """The machines that can be the boot server: the laptop, then the consul guests."""
        return (*self.of(BootServer), *self.of(ConsulServer))

    @property
    def moves(self) -> dict[str, str]:
        """The first-level machines that move, and the node each of them moves into."""
        return {name: each.node for name, each in self.of(Founder).items() if each.node}

    def line(self, name: str, network: NetworkName) -> Netem | None:
        """What the line between a machine's NIC and a network's switch does; None: nothing.

        A network's own bad line is its router's.
        """
        machine = self.machines[name]
        if isinstance(machine, Router) and (entry := self.networks.get(network)) and entry.netem:
            return entry.netem
        return machine.netem.get(network) if isinstance(machine, Node) else None

    @property
    def lines(self) -> dict[tuple[str, NetworkName], Netem]:
        """The bad lines, by machine and network."""
        return {
            (name, network): netem
            for name, node in self.of(Node).items()
            for network in node.networks
            if (netem := self.line(name, network))
        }

    def guests_on(self, node: str) -> dict[str, Guest]:
        """The second-level machines of a node, in the file's order."""
        return {name: guest for name, guest in self.of(Guest).items() if guest.node == node}
