"""Who has which address.

Owns host numbers that are not a machine's own (the lab machine, NTP, the provider), the virtual lab
machine's uplink, and how a number becomes an address. Leaves the numbers of machines to the
topology file.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from config import names
from config.topology import BootServer, Router, Server, Topology

LAB_MACHINE_HOST = 254  # the lab machine's own number where it manages machines from:
LAB_MACHINE_NETWORKS = ("lan", "ipmi")
# The virtual lab machine's way to the machine it runs on: qemu's user network (qemu(1), -netdev).
LAB_UPLINK = IPv4Network("10.0.2.0/24")
BOOT_HOST = 253  # on lan, where there is a control plane: whoever is the boot server
NTP_HOST = 252  # on lan: the time, as the lab machine has it
PROVIDER_HOST = 254  # the stand-in host's on isp: what lies beyond the firewall
DYNAMIC_HOSTS = (200, 239)  # offered to MAC addresses the topology doesn't know


@dataclass(frozen=True)
class Nic:
    """One network interface of a machine: `device` as its kernel names it."""

    device: str
    network: str
    mac: str
    address: IPv4Interface

    @property
    def mac_dashed(self) -> str:
        """The MAC as the boot tree writes it, 52-54-00-aa-bb-cc."""
        return self.mac.replace(":", "-")


def interface(topology: Topology, network: str, host: int) -> IPv4Interface:
    """The address of host number `host` in a network, with the network's prefix length."""
    cidr = topology.networks[network].cidr  # type: ignore[index]
    return IPv4Interface(f"{cidr[host]}/{cidr.prefixlen}")


def nics(stack: str, topology: Topology, name: str) -> tuple[Nic, ...]:
    """A machine's interfaces, eth0 first, in the order of its `networks`."""
    machine = topology.machines[name]
    return tuple(
        Nic(
            device=f"eth{index}",
            network=network,
            mac=names.mac(stack, name, network),
            address=interface(topology, network, machine.host),
        )
        for index, network in enumerate(machine.networks)
    )


def boot_mac(stack: str, topology: Topology, name: str) -> str:
    """A machine's name in the boot tree: eth0's MAC, with dashes."""
    return nics(stack, topology, name)[0].mac_dashed


def plug(stack: str, topology: Topology, name: str, network: str) -> str:
    """The bridge on the lab machine that a first-level machine's NIC joins: its bad line's, or the
    network's."""
    if topology.line(name, network):  # type: ignore[arg-type]
        return names.line_bridge(stack, name, network)
    return names.bridge(stack, network)


def management_address(topology: Topology, name: str) -> IPv4Address:
    """Where a machine is reached from the lab machine: its eth0 (lan for all but the firewall)."""
    machine = topology.machines[name]
    return interface(topology, machine.networks[0], machine.host).ip


def boot_address(topology: Topology) -> IPv4Interface:
    """Where the boot server answers, on lan: with a control plane it moves with the leader."""
    if topology.founder:
        return interface(topology, "lan", BOOT_HOST)
    return interface(topology, "lan", next(iter(topology.of(BootServer).values())).host)


def gateway(topology: Topology, network: str) -> IPv4Address | None:
    """The router's address in a network, or None where no router stands."""
    for machine in topology.of(Router).values():
        if network in machine.networks:
            return interface(topology, network, machine.host).ip
    return None


def lab_machine(topology: Topology, network: str) -> IPv4Interface:
    """The lab machine's own address on lan or ipmi."""
    return interface(topology, network, LAB_MACHINE_HOST)


def bmc(topology: Topology, server: Server) -> IPv4Interface:
    """A server's BMC, on ipmi."""
    return interface(topology, "ipmi", server.bmc)


def ntp(topology: Topology) -> IPv4Interface:
    """The NTP server, on lan."""
    return interface(topology, "lan", NTP_HOST)


def provider(topology: Topology) -> IPv4Interface:
    """The stand-in host on isp."""
    return interface(topology, "isp", PROVIDER_HOST)


def container(topology: Topology, host: int) -> IPv4Interface:
    """A container's address on wan."""
    return interface(topology, "wan", host)
