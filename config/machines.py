"""The machines of a rack: what each role has, as docs/topology.md tells.

Owns their schema. Leaves single values to `values`, and what machines are to each other to
`topology` and `checks`.
"""

from typing import Annotated, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field

from config.netem import Netem
from config.values import (
    HostNumber,
    Memory,
    Name,
    NetworkName,
    PageName,
    Port,
    RaidLevel,
    Size,
    Text,
    Volumes,
    Whole,
)


class Frozen(BaseModel):
    """Base of every entry: immutable, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Machine(Frozen):
    """What all machines have in common."""

    role: str = Field(description="What it is; the other keys depend on it.")
    host: HostNumber = Field(
        description="Its number in each of its networks: the last part of its addresses."
    )
    networks: tuple[NetworkName, ...] = Field(
        min_length=1,
        max_length=6,
        description="One NIC per network, eth0 first. eth0 is on lan, the firewall's on internet.",
    )
    memory: Memory = Field(description="Its RAM, in which its root file system lies.")
    cpus: Whole = Field(default=1, ge=1, le=8, description="Its virtual processors.")


class Node(Machine):
    """A first-level machine, directly on the lab machine."""

    netem: dict[NetworkName, Netem] = Field(
        default_factory=dict,
        description="By network, what the line of its NIC there does to packets.",
    )


class Server(Node):
    """A first-level machine that plays a physical server."""

    bmc: HostNumber = Field(description="Its BMC's number on ipmi.")


class Guest(Machine):
    """A second-level machine, inside a node."""

    node: Name = Field(description="The storage or compute node that it runs in.")

    @property
    def needs(self) -> tuple[str, ...]:
        """The guests whose services it uses."""
        return ()


class BootServer(Node):
    """The virtual laptop: boots from a USB stick, offers PXE on lan; has no BMC."""

    role: Literal["boot-server"]
    stick: Size = Field(description="Its USB stick: what it boots from, and what the others boot.")


class Firewall(Server):
    """Between internet and isp.

    The first one of the file is the router's way out. A further one only publishes: containers
    see its address in place of its clients' (answers must come back to it, not to the first).
    """

    role: Literal["firewall"]
    publish: dict[Port, Name] = Field(
        default_factory=dict,
        description="By TCP port of its address on isp, the container whose pages answer there.",
    )


class Router(Server):
    """Routes between its networks; default gateway of each."""

    role: Literal["router"]


class Hypervisor(Server):
    """A server that can run second-level guests.

    `guest_networks`: those it has bridges for, named after them, which guests' NICs join.
    """

    guest_networks: ClassVar[frozenset[NetworkName]]


class StorageNode(Hypervisor):
    """Assembles its disks with mdadm and hands the raw array to its SAN guest."""

    guest_networks: ClassVar[frozenset[NetworkName]] = frozenset({"lan"})

    role: Literal["storage"]
    disks: tuple[Size, ...] = Field(
        min_length=1, max_length=8, description="Its disks, sda first, all of one size."
    )
    array: RaidLevel = Field(1, description="The RAID level over its disks, as mdadm(8) has it.")


class ComputeNode(Hypervisor):
    """Runs all guests but SANs."""

    guest_networks: ClassVar[frozenset[NetworkName]] = frozenset({"lan", "wan"})

    role: Literal["compute"]


class San(Guest):
    """LVM2 on the array it gets as vda; each volume published over NBD."""

    role: Literal["san"]
    volumes: dict[Name, Size] = Field(
        min_length=1, description="Sizes by name; a volume can grow later, never shrink."
    )


class VolumeUser(Machine):
    """A machine that keeps something on an NBD volume, or on several alike."""

    volume: Volumes = Field(
        description="SAN/VOLUME, or a list of them on different SANs, all of one size: a mirror."
    )

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
    volume: Volumes = Field((), description="SAN/VOLUME of one that moves, 256MiB or larger.")
    node: Name | None = Field(None, description="The compute node that it moves into.")


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
    """An LXC container whose HTTP service answers on wan."""

    host: HostNumber = Field(description="Its number on wan.")
    volume_pages: dict[PageName, Text] = Field(
        default_factory=dict, description="Pages kept on the host's NBD volume: text by file name."
    )
    share_pages: dict[PageName, Text] = Field(
        default_factory=dict, description="Pages kept on the NFS share: text by file name."
    )


class LxcHost(NbdUser):
    """Mounts an NFS share besides its volume; runs containers over them."""

    role: Literal["lxc"]
    share: Name = Field(description="The NFS server whose share it mounts.")
    containers: dict[Name, Container] = Field(min_length=1, description="Its containers by name.")

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


def roles() -> dict[str, type[Machine]]:
    """The kinds of machines by role."""
    kinds: tuple[type[Machine], ...] = get_args(get_args(AnyMachine)[0])
    return {get_args(kind.model_fields["role"].annotation)[0]: kind for kind in kinds}
