"""Hosts of a test's own on the rack's networks, made as the equipment's stations are.

Owns making and removing them, and asking from them. Leaves what they should reach to the tests.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from racks import Rack

from config import access, addressing, names, stacks
from config.settings import Settings, load_settings
from config.topology import Firewall
from equipment import Equipment
from lab.remote import ask, equip, on_lab_machine

HOST = 199  # no machine's number
PXE_ASKS_S = 4 + 8 + 16 + 32  # that long a PXE client asks for DHCP (PXE 2.1: four time-outs)


@dataclass(frozen=True)
class Probe:
    """A namespace on the lab machine with a port on one network, at `address`."""

    settings: Settings
    network: str
    host: int = HOST

    @property
    def address(self) -> str:
        """Its address, without the prefix length."""
        return str(addressing.interface(self.settings.topology, self.network, self.host).ip)

    @property
    def name(self) -> str:
        """Its namespace and its port."""
        return f"{self.settings.stack}-{self.network}{self.host}"

    @property
    def station(self) -> Equipment:
        """What makes and removes it."""
        stack, topology = self.settings.stack, self.settings.topology
        own = (names.bridge(stack, self.network), self.name, names.owner_tag(stack))
        address = str(addressing.interface(topology, self.network, self.host))
        program = ("-", "sleep", "infinity")  # it listens at no port
        return Equipment(self.name, "station", (*own, self._gateway, address, *program), own)

    @property
    def _gateway(self) -> str:
        topology = self.settings.topology
        if self.network in ("isp", "internet"):
            for firewall in topology.of(Firewall).values():
                return str(addressing.interface(topology, self.network, firewall.host).ip)
        return str(addressing.gateway(topology, self.network) or "-")

    def run(self, script: str) -> str:
        """What a shell script says there."""
        return on_lab_machine(self.settings, f"ip netns exec {self.name} sh -c '{script}'")


@contextmanager
def probe(settings: Settings, network: str, host: int = HOST) -> Iterator[Probe]:
    """A host on a network for a while. One on internet knows the router as well."""
    made = Probe(settings, network, host)
    equip(settings, made.station)
    try:
        router = addressing.gateway(settings.topology, network)
        if network == "internet" and router:
            for other, each in settings.topology.networks.items():
                if other not in ("internet", "isp"):
                    made.run(f"ip route replace {each.cidr} via {router}")
        yield made
    finally:
        removing = made.station.removing
        ask(settings, access.LAB_MACHINE, removing, stdin=made.station.text.encode())


def settings_of(rack: Rack) -> Settings:
    """The settings of a stack under test, as the lab command has them."""
    settings = load_settings(rack.stack, stacks.options(rack.stack))
    settings.write_access()
    return settings
