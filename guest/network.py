"""A machine's network files: interfaces, hosts, whom it asks for the time.

Owns which interface carries which address, bridge, gateway and route. Leaves the addresses
to `config.addressing`, and packet filters and DHCP to `settings`.
"""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Interface, IPv4Network

from config import addressing
from config.topology import Firewall, Hypervisor, LxcHost, Machine, Router, Topology
from guest.templating import render


@dataclass(frozen=True)
class Route:
    """A network behind another machine."""

    network: IPv4Network
    via: IPv4Address


@dataclass(frozen=True)
class Link:
    """One interface: with `bridge` it is a port of that bridge, which has the address then."""

    device: str
    mac: str
    bridge: str | None
    address: IPv4Interface | None
    gateway: IPv4Address | None
    routes: tuple[Route, ...] = ()

    @property
    def bridged(self) -> bool:
        """Whether it is a bridge's port."""
        return self.bridge is not None


def bridges(machine: Machine) -> frozenset[str]:
    """The networks a machine has bridges for, named after them: others join it there."""
    if isinstance(machine, Hypervisor):
        return machine.guest_networks & frozenset(machine.networks)
    if isinstance(machine, LxcHost):
        return frozenset({"wan"})
    return frozenset()


def device(stack: str, topology: Topology, name: str, network: str) -> str | None:
    """The interface that has a machine's address in a network; None where it isn't on it."""
    machine = topology.machines[name]
    for nic in addressing.nics(stack, topology, name):
        if nic.network == network:
            return network if network in bridges(machine) else nic.device
    return None


def firewall_address(topology: Topology) -> IPv4Address | None:
    """The firewall's address on internet, if there is one."""
    for machine in topology.of(Firewall).values():
        return addressing.interface(topology, "internet", machine.host).ip
    return None


def links(stack: str, topology: Topology, name: str) -> tuple[Link, ...]:
    """A machine's interfaces with their addresses, gateways and routes."""
    machine = topology.machines[name]
    with_bridge = bridges(machine)
    return tuple(
        Link(
            device=nic.device,
            mac=nic.mac,
            bridge=nic.network if nic.network in with_bridge else None,
            address=nic.address,
            gateway=_gateway(topology, machine, nic.network),
            routes=_routes(topology, machine, nic.network),
        )
        for nic in addressing.nics(stack, topology, name)
    )


def _gateway(topology: Topology, machine: Machine, network: str) -> IPv4Address | None:
    """The router on a machine's first network; from there the firewall, then the provider."""
    if isinstance(machine, Firewall):
        return addressing.provider(topology).ip if network == "isp" else None
    if isinstance(machine, Router):
        return firewall_address(topology) if network == "internet" else None
    return addressing.gateway(topology, network) if network == machine.networks[0] else None


def _routes(topology: Topology, machine: Machine, network: str) -> tuple[Route, ...]:
    """From the firewall back to what lies behind the router."""
    router = addressing.gateway(topology, network)
    if not isinstance(machine, Firewall) or router is None:
        return ()
    behind = {each for other in topology.of(Router).values() for each in other.networks}
    return tuple(
        Route(network=topology.networks[each].cidr, via=router)
        for each in topology.networks
        if each in behind - set(machine.networks)
    )


def interfaces(stack: str, topology: Topology, name: str) -> str:
    """/etc/network/interfaces, in ifupdown-ng's syntax."""
    return render("interfaces", links=links(stack, topology, name))


def hosts(topology: Topology) -> str:
    """/etc/hosts: every machine by its management address, containers by theirs."""
    lines = ["127.0.0.1 localhost", f"{addressing.lab_machine(topology, 'lan').ip} labmachine"]
    lines.append(f"{addressing.ntp(topology).ip} ntp")
    if "isp" in topology.networks:
        lines.append(f"{addressing.provider(topology).ip} provider")
    for name in topology.machines:
        lines.append(f"{addressing.management_address(topology, name)} {name}")
    for inner, container in topology.containers.items():
        lines.append(f"{addressing.container(topology, container.host).ip} {inner}")
    return "".join(f"{line}\n" for line in lines)


def chrony(topology: Topology) -> str:
    """/etc/chrony/chrony.conf: whom it asks for the time."""
    return render("chrony.conf", server=addressing.ntp(topology).ip)
