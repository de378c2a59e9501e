"""The topology file: which networks, disks and machines a rack has.

Owns the schema and the checks inside one entry. Leaves checks across entries to `checks`,
addresses to `addressing`, and names to `names`.
"""

import re
from ipaddress import IPv4Network
from typing import Annotated, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from config.units import parse_size

Size = Annotated[int, BeforeValidator(parse_size)]
NetworkName = Literal["isp", "internet", "lan", "storage", "wan", "ipmi"]
RaidLevel = Literal[0, 1, 5, 6, 10]

NAME_RULE = "a name is a lower-case letter, then letters, digits or dashes, at most 15 in all"


def _name(value: str) -> str:
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,14}", value):
        raise ValueError(f"{NAME_RULE}; rename it, e.g. storage1")
    return value


def _memory(value: int) -> int:
    if value % (2 << 20):
        raise ValueError("memory is given in whole 2 MiB pages; round it, e.g. 192MiB")
    return value


def _page_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", value):
        raise ValueError("a page is a plain file name; rename it, e.g. index.txt")
    return value


def _netem(value: str) -> str:
    if not re.fullmatch(
        r"(delay|loss|duplicate|corrupt|rate)( [0-9.]+[a-z%]*)+( [a-z]+( [0-9.]+[a-z%]*)+)*", value
    ):
        raise ValueError("netem is words of tc-netem(8); write it like: delay 40ms loss 1%")
    return value


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


Name = Annotated[str, AfterValidator(_name)]
Memory = Annotated[Size, AfterValidator(_memory)]
PageName = Annotated[str, AfterValidator(_page_name)]
Netem = Annotated[str, AfterValidator(_netem)]
HostNumber = Annotated[int, Field(ge=1, le=65533)]
Port = Annotated[int, Field(ge=1, le=65535)]
VolumeRef = Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9-]+$")]
Volumes = Annotated[
    tuple[VolumeRef, ...], BeforeValidator(_listed), Field(min_length=1, max_length=4)
]


class Frozen(BaseModel):
    """Base of every entry: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Network(Frozen):
    """One switch of the rack. `netem`: what its line to the router does, in tc-netem(8)'s words."""

    cidr: IPv4Network
    netem: Netem | None = None


class Array(Frozen):
    """The md array on the lab machine's physical disks, named by their serial numbers."""

    level: RaidLevel
    disks: tuple[str, ...] = Field(min_length=1)


class Machine(Frozen):
    """What all machines have in common. `host` is its number in each of its networks."""

    role: str
    host: HostNumber
    networks: tuple[NetworkName, ...] = Field(min_length=1)
    memory: Memory
    cpus: int = Field(default=1, ge=1, le=8)


class Node(Machine):
    """A first-level machine, directly on the lab machine."""


class Server(Node):
    """A first-level machine that plays a physical server; `bmc` is its BMC's number on ipmi."""

    bmc: HostNumber


class Guest(Machine):
    """A second-level machine, inside a `node`."""

    node: Name

    @property
    def needs(self) -> tuple[str, ...]:
        """The guests whose services it uses."""
        return ()


class BootServer(Node):
    """The virtual laptop: boots from a USB stick, offers PXE on lan; has no BMC."""

    role: Literal["boot-server"]
    stick: Size


class Firewall(Server):
    """Between internet and isp. `publish`: which container a TCP port on isp leads to."""

    role: Literal["firewall"]
    publish: dict[Port, Name] = Field(default_factory=dict)


class Router(Server):
    """Routes between its networks; default gateway of each."""

    role: Literal["router"]


class Hypervisor(Server):
    """A server that can run second-level guests."""


class StorageNode(Hypervisor):
    """Assembles its disks with mdadm and hands the raw array to its SAN guest."""

    role: Literal["storage"]
    disks: tuple[Size, ...] = Field(min_length=1, max_length=8)
    array: RaidLevel = 1


class ComputeNode(Hypervisor):
    """Runs all guests but SANs."""

    role: Literal["compute"]


class San(Guest):
    """LVM2 on the array it gets as vda; each volume published over NBD."""

    role: Literal["san"]
    volumes: dict[Name, Size] = Field(min_length=1)


class VolumeUser(Machine):
    """A machine that keeps something on an NBD volume (`san/volume`), or on several alike."""

    volume: Volumes

    @property
    def legs(self) -> tuple[tuple[str, str], ...]:
        """The volumes: SAN, and its name there."""
        pairs = (each.partition("/") for each in self.volume)
        return tuple((san, volume) for san, _, volume in pairs)


class Founder(BootServer, VolumeUser):
    """The laptop of a rack with a control plane: the consul server that starts the cluster.

    With a `volume` and a `node` it leaves its stick for the volume, and moves into that compute
    node (seed: "reproduce himself ... then live-migrate").
    """

    role: Literal["founder"]  # type: ignore[assignment]
    volume: Volumes = ()
    node: Name | None = None


class NbdUser(Guest, VolumeUser):
    """A guest with a file system on its volume; of several: on their mirror."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Its SANs."""
        return tuple(san for san, _ in self.legs)


class NfsServer(NbdUser):
    """Exports its file system over NFS."""

    role: Literal["nfs"]


class Container(Frozen):
    """An LXC container whose HTTP service answers on wan.

    `volume_pages` are files served from the NBD volume, `share_pages` from the NFS share.
    """

    host: HostNumber
    volume_pages: dict[PageName, str] = Field(default_factory=dict)
    share_pages: dict[PageName, str] = Field(default_factory=dict)


class LxcHost(NbdUser):
    """Mounts an NFS share besides its volume; runs containers over them."""

    role: Literal["lxc"]
    share: Name
    containers: dict[Name, Container] = Field(min_length=1)

    @property
    def needs(self) -> tuple[str, ...]:
        """Its SANs and its NFS server."""
        return (*super().needs, self.share)


class ConsulServer(NbdUser):
    """A consul server with its state on a volume; the boot server while it leads."""

    role: Literal["consul"]


AnyMachine = Annotated[
    BootServer
    | Founder
    | Firewall
    | Router
    | StorageNode
    | ComputeNode
    | San
    | NfsServer
    | LxcHost
    | ConsulServer,
    Field(discriminator="role"),
]  # fmt: skip


Kind = TypeVar("Kind", bound=Machine)


class Topology(Frozen):
    """A whole rack, as read from a file in `config/`.

    `reach`: the networks that a network's machines may start connections to.
    """

    array: Array
    networks: dict[NetworkName, Network]
    reach: dict[NetworkName, tuple[NetworkName, ...]] = Field(default_factory=dict)
    machines: dict[Name, AnyMachine]

    def of(self, kind: type[Kind]) -> dict[str, Kind]:
        """The machines of one kind, in the file's order."""
        return {name: each for name, each in self.machines.items() if isinstance(each, kind)}

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

    def guests_on(self, node: str) -> dict[str, Guest]:
        """The second-level machines of a node, in the file's order."""
        return {name: guest for name, guest in self.of(Guest).items() if guest.node == node}
