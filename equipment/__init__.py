"""What stands on the lab machine around its machines: switches, array, volumes, isp's other end.

Owns the scripts of this folder and with which arguments each makes and removes what; they are
idempotent, so the same bring it back after the lab machine was off. Leaves when they run to
`components/` and `lab/`, names and numbers to `config/`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path

from config import addressing, names
from config.bill import volume_sizes
from config.topology import Firewall, Server, Topology
from equipment import virtualbmc

FOLDER = Path(__file__).parent
HOST_TREE = FOLDER / "host"  # the files of each lab machine, laid as they lie here
# The Debian and Ubuntu packages of each lab machine; python3-* are VirtualBMC's.
HOST_PACKAGES = (
    "libvirt-daemon-system", "libvirt-clients", "qemu-system-x86", "qemu-utils",
    "openvswitch-switch", "mdadm", "lvm2", "chrony", "ipmitool", "iproute2", "iputils-ping",
    "python3-libvirt", "python3-pyghmi", "python3-zmq", "python3-pbr",
)  # fmt: skip
# Not libvirtd.service: it ends when nobody asks it anything, and its socket starts it.
HOST_UNITS = ("libvirtd.socket", "openvswitch-switch.service")


@dataclass(frozen=True)
class Equipment:
    """One thing: the script that knows it, and its arguments for making and removing."""

    name: str
    script: str
    apply: tuple[str, ...]
    remove: tuple[str, ...]

    @property
    def applying(self) -> list[str]:
        """The command that makes it, or brings it back; the script is its standard input."""
        return ["sh", "-s", "--", "apply", *self.apply]

    @property
    def removing(self) -> list[str]:
        """The command that removes it; the script is its standard input."""
        return ["sh", "-s", "--", "remove", *self.remove]

    @property
    def text(self) -> str:
        """The script; it goes in by standard input: nothing is installed on a lab machine."""
        return (FOLDER / f"{self.script}.sh").read_text()


def switch(stack: str, topology: Topology, network: str) -> Equipment:
    """A network's OVS bridge, with the lab machine's address on lan and ipmi.

    On lan it also learns the router's ways to the networks where it has none.
    """
    bridge, tag = names.bridge(stack, network), names.owner_tag(stack)
    own = []
    if network in addressing.LAB_MACHINE_NETWORKS:
        own.append(str(addressing.lab_machine(topology, network)))
    if network == "lan":
        via = addressing.gateway(topology, network)
        own += [
            f"{other.cidr},{via}"
            for name, other in sorted(topology.networks.items())
            if via
            and name not in addressing.LAB_MACHINE_NETWORKS
            and addressing.gateway(topology, name)
        ]
    return Equipment(f"{network}-bridge", "bridge", (bridge, tag, *own), (bridge, tag))


def array(stack: str, topology: Topology) -> Equipment:
    """The md array over the physical disks, and the volume group on it."""
    group, tag, disks = names.volume_group(stack), names.owner_tag(stack), topology.array.disks
    level = str(topology.array.level)
    return Equipment("array", "array", (group, tag, level, *disks), (group, tag, *disks))


def volumes(stack: str, topology: Topology) -> dict[str, Equipment]:
    """By its name, each logical volume: a storage node's disks, a boot server's stick."""
    group, tag = names.volume_group(stack), names.owner_tag(stack)
    return {
        name: Equipment(
            f"{name}-volume", "volume", (group, name, tag, str(size)), (group, name, tag)
        )
        for name, size in volume_sizes(topology).items()
    }


def logs(stack: str) -> Equipment:
    """The folder of the first-level machines' boot logs."""
    folder = names.log_folder(stack)
    return Equipment("logs", "logs", (folder,), (folder,))


def lines(stack: str, topology: Topology, network: str) -> dict[str, Equipment]:
    """The bad lines of a network, by the machine whose NIC is at the far end."""
    bridge, tag = names.bridge(stack, network), names.owner_tag(stack)
    found = {}
    for (machine, at), netem in topology.lines.items():
        if at == network:
            own = (bridge, names.line_bridge(stack, machine, network), tag)
            name = f"{machine}-{network}-line"
            found[machine] = Equipment(name, "line", (*own, *netem.words), own)
    return found


def dhcp_guard(stack: str, topology: Topology) -> Equipment:
    """On lan, nobody's DHCP replies pass but those of the machines that can be the boot server."""
    bridge, tag = names.bridge(stack, "lan"), names.owner_tag(stack)
    macs = (names.mac(stack, name, "lan") for name in topology.boot_servers)
    return Equipment("lan-dhcp-guard", "dhcpguard", (bridge, tag, *macs), (bridge, tag))


def rogues(stack: str) -> list[str]:
    """The command that lists the MACs of those it stopped; the script is its standard input."""
    return ["sh", "-s", "--", "rogues", names.bridge(stack, "lan")]


def bmcs(stack: str, topology: Topology) -> Equipment | None:
    """VirtualBMC for all servers, one address on ipmi each; `lab/bmcs.py` gives it its settings."""
    servers = topology.of(Server).values()
    if not servers or "ipmi" not in topology.networks:
        return None
    name = names.bmcs(stack)
    addresses = ",".join(str(addressing.bmc(topology, server)) for server in servers)
    settings = f"VIRTUALBMC_CONFIG=/var/lib/{name}/virtualbmc.conf"
    modules = f"PYTHONPATH={virtualbmc.FOLDER}"
    program = ("env", settings, modules, "python3", "-m", "virtualbmc.cmd.vbmcd", "--foreground")
    gateway, port = addressing.gateway(topology, "ipmi"), f"tcp/{virtualbmc.PORT}"
    return _station("bmcs", stack, ("ipmi", name), gateway, addresses, port, *program)


def provider(stack: str, topology: Topology) -> Equipment | None:
    """The stand-in host on isp, which answers pings and HTTP; None where no firewall leads there.

    It sends all it knows no way for to the firewall: what gets in is the firewall's decision.
    """
    for firewall in topology.of(Firewall).values():
        address = addressing.provider(topology)
        gateway = addressing.interface(topology, "isp", firewall.host).ip
        server = ("python3", "-m", "http.server", "80")
        place = ("isp", names.provider(stack))
        return _station("provider", stack, place, gateway, str(address), "tcp/80", *server)
    return None


def ntp(stack: str, topology: Topology) -> Equipment:
    """The rack's NTP server: the lab machine's time on lan (chronyd(8), -x: it sets no clock).

    Whoever isn't on lan asks by the router.
    """
    name = names.ntp(stack)
    # Beside the files of the lab machine's own chronyd: AppArmor lets it have none elsewhere.
    files = (f"pidfile /run/chrony/{name}.pid", f"bindcmdaddress /run/chrony/{name}.sock")
    program = ("chronyd", "-x", "-d", "allow", "local stratum 10", "cmdport 0", *files)
    gateway, address = addressing.gateway(topology, "lan"), addressing.ntp(topology)
    return _station("ntp", stack, ("lan", name), gateway, str(address), "udp/123", *program)


def _station(
    what: str,
    stack: str,
    place: tuple[str, str],
    gateway: IPv4Address | None,
    *served: str,
) -> Equipment:
    """A program that has a network namespace to itself.

    `place`: its network, the namespace; `served`: addresses, with commas, the port where it
    listens, and the program's argv.
    """
    network, name = place
    own = (names.bridge(stack, network), name, names.owner_tag(stack))
    return Equipment(what, "station", (*own, str(gateway or "-"), *served), own)


def everything(stack: str, topology: Topology) -> Iterator[Equipment]:
    """All of it, each after what it stands on."""
    for network in topology.networks:
        yield switch(stack, topology, network)
        yield from lines(stack, topology, network).values()
    yield dhcp_guard(stack, topology)
    yield ntp(stack, topology)
    yield from filter(None, (provider(stack, topology), bmcs(stack, topology)))
    yield array(stack, topology)
    yield from volumes(stack, topology).values()
    yield logs(stack)
