"""NbdUser: a second-level guest that mounts a file system on an NBD volume.

Owns the guest, and that its file system grows with the volume. Leaves mounting, and what lies on
it, to guest/roles, and the volume to `san`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import pulumi

from components.command import machine_command
from components.lab import Lab
from components.second_level_guest import SecondLevelGuest, SecondLevelGuestArgs
from config import names


@dataclass(frozen=True)
class NbdUserArgs:
    """`volumes` are what it mounts, `volume_size` the bytes of each."""

    guest: SecondLevelGuestArgs
    volumes: Sequence[pulumi.Resource]
    volume_size: int


class NbdUser(pulumi.ComponentResource):
    """Its service runs when the component is there; `kind` names it in the graph."""

    kind: ClassVar[str]
    guest: SecondLevelGuest

    def __init__(
        self,
        lab: Lab,
        args: NbdUserArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = args.guest.machine.name
        super().__init__(f"rack:lab:{self.kind}", name, None, opts)
        self.guest = SecondLevelGuest(
            lab,
            args.guest,
            needs=args.volumes,
            opts=pulumi.ResourceOptions(parent=self),
        )
        grown(lab, name, self.guest, args.volume_size, self)
        self.register_outputs({"server": name})


class Nfs(NbdUser):
    """Exports its file system over NFS (guest/roles/nfs)."""

    kind = "Nfs"


class ConsulServer(NbdUser):
    """Keeps consul's state there, and is the boot server while it leads (guest/roles/consul)."""

    kind = "ConsulServer"


def grown(
    lab: Lab, name: str, guest: SecondLevelGuest, size: int, parent: pulumi.Resource
) -> pulumi.Resource:
    """The guest's file system fills a volume of `size` bytes."""
    return machine_command(
        names.file_system_resource(name),
        lab.settings,
        name,
        create=["nbd-volume", "grow", str(size)],
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[guest], deleted_with=guest.domain),
    )
