"""What the topology makes of names and numbers, in words: addresses, MACs, volumes, ways.

Owns the rows. Leaves the numbers to `config/`, showing them to `main`. Contacts nothing.
"""

from collections.abc import Iterator

from config import addressing, names
from config.bill import volume_sizes
from config.settings import Settings
from config.topology import LxcHost, NbdUser, San, Server, StorageNode
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
    """The way of each SAN volume in use, from the physical disks to what it serves."""
    stack, topology = settings.stack, settings.topology
    physical = f"{'+'.join(topology.array.disks)} → raid{topology.array.level} → "
    physical += f"{names.volume_group(stack)} → "
    shared: dict[str, list[str]] = {}
    for host in topology.of(LxcHost).values():
        shared.setdefault(host.share, []).extend(host.containers)
    for name, machine in topology.of(NbdUser).items():
        mirror = f" → raid1 of {len(machine.legs)}" if len(machine.legs) > 1 else ""
        if isinstance(machine, LxcHost):
            end = f"{name} → {', '.join(machine.containers)} → http on wan"
        else:
            end = f"{name} → NFS → {', '.join(shared.get(name, [])) or 'nobody'}"
        for san, volume in machine.legs:
            guest = topology.of(San)[san]
            node = topology.of(StorageNode)[guest.node]
            disks = "+".join(names.node_disks(node.disks))
            yield (
                f"{physical}{guest.node} {disks} → raid{node.array} → {san} vda → "
                f"{volume} → NBD{mirror} → ext4 on {end}"
            )
