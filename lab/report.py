"""What the topology makes of names and numbers, in words: addresses, MACs, volumes, ways.

Owns the rows. Leaves the numbers to `config/`, showing them to `main`. Contacts nothing.
"""

from collections.abc import Iterator

from config import addressing, names
from config.bill import volume_sizes
from config.settings import Settings
from config.topology import (
    BootServer,
    Founder,
    LxcHost,
    NfsServer,
    San,
    Server,
    StorageNode,
    Topology,
    VolumeUser,
)
from config.units import format_size


def addresses(settings: Settings) -> Iterator[tuple[str, str, str, str]]:
    """Machine, network, address and MAC of every NIC, BMC and container."""
    stack, topology = settings.stack, settings.topology
    for name, machine in topology.machines.items():
        for nic in addressing.nics(stack, topology, name):
            yield name, nic.network, str(nic.address.ip), nic.mac
        if isinstance(machine, Server):
            yield f"{name}'s BMC", "ipmi", str(addressing.bmc(topology, machine).ip), "-"
        if isinstance(machine, LxcHost):
            for inner, container in machine.containers.items():
                mac = names.mac(stack, f"{name}.{inner}", "wan")
                yield inner, "wan", str(addressing.container(topology, container.host).ip), mac


def volumes(settings: Settings) -> Iterator[tuple[str, str, str]]:
    """Every logical volume: where, its name, its size; first the lab machine's, then the SANs'."""
    stack, topology = settings.stack, settings.topology
    group = names.volume_group(stack)
    for volume, size in volume_sizes(topology).items():
        yield f"labmachine {group}", volume, format_size(size)
    for name, san in topology.of(San).items():
        for volume, size in san.volumes.items():
            yield name, volume, format_size(size)


def ways(settings: Settings) -> Iterator[str]:
    """The way of each stick and SAN volume in use, from the physical disks to what it serves."""
    stack, topology = settings.stack, settings.topology
    physical = f"{'+'.join(topology.array.disks)} → raid{topology.array.level} → "
    physical += f"{names.volume_group(stack)} → "
    for name, laptop in topology.of(BootServer).items():
        state = " and consul's state" if isinstance(laptop, Founder) else ""
        yield f"{physical}{names.node_volume(name, 'stick')} → USB → {name}'s boot tree{state}"
    for name, machine in topology.of(VolumeUser).items():
        for san, volume in machine.legs:
            guest = topology.of(San)[san]
            node = topology.of(StorageNode)[guest.node]
            disks = "+".join(names.node_disks(node.disks))
            yield (
                f"{physical}{guest.node} {disks} → raid{node.array} → {san} vda → "
                f"{volume} → NBD → {_end(topology, name, machine)}"
            )


def _end(topology: Topology, name: str, machine: VolumeUser) -> str:
    """What a machine makes of its volume, or of the mirror of several."""
    if isinstance(machine, Founder):  # docs/control-plane.md, "Migration"
        return f"raid1 with memory → {name}'s consul state, and a copy of its boot tree"
    mirror = f"raid1 of {len(machine.legs)} → " if len(machine.legs) > 1 else ""
    kept = f"{mirror}ext4 on {name} → "
    if isinstance(machine, LxcHost):
        return f"{kept}{', '.join(machine.containers)} → http on wan"
    if isinstance(machine, NfsServer):
        hosts = [host for host in topology.of(LxcHost).values() if host.share == name]
        users = [container for host in hosts for container in host.containers]
        return f"{kept}NFS → {', '.join(users) or 'nobody'}"
    return f"{kept}consul's state"
