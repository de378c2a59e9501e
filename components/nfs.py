"""Nfs: a second-level guest that exports a file system on an NBD volume over NFS.

Owns the guest. Leaves mounting and exporting to guest/roles/nfs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi

from components.lab import Lab
from components.nbd_user import grown
from components.second_level_guest import SecondLevelGuest, SecondLevelGuestArgs


@dataclass(frozen=True)
class NfsArgs:
    """`volumes` are what it mounts, `volume_size` the bytes of each."""

    guest: SecondLevelGuestArgs
    volumes: Sequence[pulumi.Resource]
    volume_size: int


class Nfs(pulumi.ComponentResource):
    """The share is exported when the component is there."""

    guest: SecondLevelGuest

    def __init__(
        self,
        lab: Lab,
        args: NfsArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = args.guest.machine.name
        super().__init__("rack:lab:Nfs", name, None, opts)
        self.guest = SecondLevelGuest(
            lab,
            args.guest,
            needs=args.volumes,
            opts=pulumi.ResourceOptions(parent=self),
        )
        grown(lab, name, self.guest, args.volume_size, self)
        self.register_outputs({"server": name})
