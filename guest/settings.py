"""What /etc/rack tells each role to do, and the configuration files of its daemons.

Owns these files' contents, as pure functions of the topology. Leaves reading them to the
roles' scripts (`guest/roles/<role>/README` says what each key means).
"""

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address
from typing import Any

from config import addressing, bill, names, reach
from config.topology import (
    BootServer,
    ConsulServer,
    Firewall,
    Founder,
    Hypervisor,
    LxcHost,
    Machine,
    NbdUser,
    NfsServer,
    Router,
    San,
    StorageNode,
    Topology,
    VolumeUser,
)
from guest import network
from guest.templating import render

TREE = "/media/stick"  # where the boot server has its boot tree
STORE = f"{TREE}/kv"  # where a boot server without consul keeps what others have in consul
SHARE, VOLUME = "/srv/share", "/srv/volume"
BOOT_TREE = "/run/rack/tree"  # a founder's: it leads there, or into memory
CONSUL_STATE = "/var/lib/consul"  # a server's is on the stick or its volume
HUGE_PAGE = 2 << 20
DISKS_SHOW_S, SANS_SHOW_S = 30, 120  # how long a machine waits for all of an array's disks
POOL_NETWORKS = ("lan", "internet")  # where machines PXE-boot


@dataclass(frozen=True)
class Place:
    """A machine of a stack's topology."""

    stack: str
    topology: Topology
    name: str

    @property
    def machine(self) -> Machine:
        """The machine's entry."""
        return self.topology.machines[self.name]

    def address(self, of: str) -> IPv4Address:
        """The management address of a machine of the topology."""
        return addressing.management_address(self.topology, of)

    def device(self, net: str) -> str | None:
        """This machine's interface in a network."""
        return network.device(self.stack, self.topology, self.name, net)


Files = dict[str, str]


def files(stack: str, topology: Topology, name: str) -> Files:
    """The role's settings of a machine, `{path: text}`."""
    place = Place(stack, topology, name)
    machine = place.machine
    found: Files = {
        "etc/rack/machine.conf": _conf(
            name=name, role=topology.machines[name].role, stack=stack, owner=names.owner_tag(stack)
        )
    }
    for kind, make in MAKERS.items():
        if isinstance(machine, kind):
            found |= make(place, machine)
    return found


def _conf(**values: object) -> str:
    """`key=value` lines, to be read by sh."""
    return "".join(f"{key}={shlex.quote(str(value))}\n" for key, value in values.items())


def _boot_server(place: Place, machine: BootServer) -> Files:
    address = addressing.boot_address(place.topology).ip
    known = [
        {"mac": nic.mac, "address": nic.address.ip, "name": name}
        for name in place.topology.machines
        for nic in addressing.nics(place.stack, place.topology, name)[:1]
        if nic.network in POOL_NETWORKS
    ]
    found = {
        "etc/dnsmasq.conf": render(
            "dnsmasq.conf",
            address=address,
            hosts=known,
            pools=_pools(place.topology),
        ),
        "etc/radvd.conf": render("radvd.conf", device=place.device("lan")),
    }
    if not place.topology.founder:
        found["etc/rack/control-plane.json"] = _only_boot_server(place)
    if isinstance(machine, Founder) and machine.volume:
        found |= _volume_settings(place, machine, "", mirrored=True)
    return found


def as_json(value: Mapping[str, object]) -> str:
    """A file of JSON that a person can read."""
    return json.dumps(value, indent=1) + "\n"


def _only_boot_server(place: Place) -> str:
    """control-plane.json of a boot server without consul (controlplane/internal/config)."""
    told = {
        "name": place.name,
        "mac": addressing.boot_mac(place.stack, place.topology, place.name),
        "boot_address": str(addressing.boot_address(place.topology)),
        "tree": TREE,
        "directory": STORE,
    }
    return as_json(told)


def _pools(topology: Topology) -> list[Mapping[str, object]]:
    first, last = addressing.DYNAMIC_HOSTS
    return [
        {
            "network": net,
            "first": cidr[first],
            "last": cidr[last],
            "netmask": cidr.netmask,
            "gateway": addressing.gateway(topology, net),
        }
        for net, cidr in ((n, each.cidr) for n, each in topology.networks.items())
        if net in POOL_NETWORKS
    ]


def _router(place: Place, machine: Router) -> Files:
    devices: dict[str, str | None] = {each: place.device(each) for each in machine.networks}
    found = {
        "etc/nftables.nft": render(
            "router.nft",
            nics=[
                {"device": nic.device, "address": nic.address.ip}
                for nic in addressing.nics(place.stack, place.topology, place.name)
            ],
            rules=[
                {
                    "source": devices[rule.source],
                    "through": devices[rule.through],
                    "target": rule.target,
                    "port": rule.port,
                    "protocol": rule.protocol,
                }
                for rule in reach.on_router(place.topology)
            ],
            inside=[each.cidr for name, each in place.topology.networks.items() if name != "isp"],
        )
    }
    own = addressing.gateway(place.topology, "internet")
    if own is not None:
        boot_server = addressing.boot_address(place.topology).ip
        found["etc/rack/dhcp-relay.conf"] = _conf(local=own, server=boot_server)
        found["etc/radvd.conf"] = render("radvd.conf", device=devices["internet"])
    return found


def _firewall(place: Place, machine: Firewall) -> Files:
    text = render(
        "firewall.nft",
        inside=place.device("internet"),
        outside=place.device("isp"),
        address=addressing.interface(place.topology, "isp", machine.host).ip,
        sources=reach.to_isp(place.topology),
        published=reach.published(place.topology, machine),
        http=reach.HTTP_PORT,
        way_out=place.name == next(iter(place.topology.of(Firewall))),
    )
    return {"etc/nftables.nft": text}


def _storage(place: Place, machine: StorageNode) -> Files:
    disks = [f"/dev/{disk}" for disk in names.node_disks(machine.disks)]
    return _array(place, machine.array, disks, DISKS_SHOW_S)


def _array(place: Place, level: int, disks: Sequence[str], patience: int) -> Files:
    # "host:name" in md's superblock is cut at 32 bytes, hence the short prefix.
    settings = _conf(
        homehost=f"rack-{names.prefix(place.stack)}",
        name=place.name,
        level=level,
        disks=" ".join(disks),
        patience=patience,
    )
    return {"etc/rack/array.conf": settings}


def _hypervisor(place: Place, _machine: Hypervisor) -> Files:
    guests = place.topology.guests_on(place.name)
    in_memory = bill.inside(place.topology, place.name)
    records = [
        f"{name} {addressing.boot_mac(place.stack, place.topology, name)}\n" for name in guests
    ]
    pages = sum(-(-guest.memory // HUGE_PAGE) for guest in in_memory.values())
    return {
        "etc/rack/guests": "".join(records),
        "etc/rack/hugepages.conf": _conf(pages=pages),
    }


def _san(place: Place, _machine: San) -> Files:
    settings = _conf(
        vg=place.name,
        disk="/dev/" + names.disk_letter(0, level=2),
        owner=names.owner_tag(place.stack),
        address=place.address(place.name),
    )
    return {"etc/rack/san.conf": settings}


def _volume(place: Place, machine: NbdUser, mount: str) -> Files:
    mirrored = len(machine.legs) > 1
    found = _volume_settings(place, machine, mount, mirrored=mirrored)
    if mirrored:
        disks = [f"/dev/mapper/leg{index}" for index in range(len(machine.legs))]
        found |= _array(place, 1, disks, SANS_SHOW_S)
    return found


def _volume_settings(place: Place, machine: VolumeUser, mount: str, *, mirrored: bool) -> Files:
    """What guest/nbd reads."""
    legs = [f"{place.address(san)}/{export}" for san, export in machine.legs]
    mirror = "yes" if mirrored else ""
    return {"etc/rack/volume.conf": _conf(legs=" ".join(legs), mirror=mirror, mount=mount)}


def _consul(place: Place, machine: ConsulServer) -> Files:
    radvd = render("radvd.conf", device=place.device("lan"))
    return {**_volume(place, machine, CONSUL_STATE), "etc/radvd.conf": radvd}


def _nfs(place: Place, machine: NfsServer) -> Files:
    lan = place.topology.networks["lan"].cidr
    return {
        **_volume(place, machine, SHARE),
        "etc/rack/nfs.conf": _conf(folder=SHARE),
        "etc/exports": f"{SHARE} {lan}(rw,sync,no_subtree_check,no_root_squash,fsid=0)\n",
    }


def _lxc(place: Place, machine: LxcHost) -> Files:
    gateway = addressing.gateway(place.topology, "wan") or "-"
    records = []
    for name, container in machine.containers.items():
        mac = names.mac(place.stack, f"{place.name}.{name}", "wan")
        address = addressing.container(place.topology, container.host)
        records.append(f"{name} {mac} {address} {gateway}\n")
    return {
        **_volume(place, machine, VOLUME),
        "etc/rack/share.conf": _conf(server=place.address(machine.share), mount=SHARE),
        "etc/rack/containers": "".join(records),
    }


MAKERS: Mapping[type[Machine], Callable[[Place, Any], Files]] = {
    BootServer: _boot_server,
    Router: _router,
    Firewall: _firewall,
    Hypervisor: _hypervisor,
    StorageNode: _storage,
    San: _san,
    ConsulServer: _consul,
    NfsServer: _nfs,
    LxcHost: _lxc,
}
