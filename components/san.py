"""San: a second-level guest that gets a node's raw array and publishes volumes over NBD.

Owns the guest and one resource per published volume. Leaves LVM2 and nbd-server to
guest/roles/san.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.command import machine_command
from components.lab import Lab
from components.second_level_guest import SecondLevelGuest, SecondLevelGuestArgs
from config import names


@dataclass(frozen=True)
class SanArgs:
    """`array`: the device in the node; `volumes`: bytes by name."""

    guest: SecondLevelGuestArgs
    array: str
    volumes: Mapping[str, int]


class San(pulumi.ComponentResource):
    """`volumes` are there, published, when their resources are."""

    guest: SecondLevelGuest
    volumes: Mapping[str, pulumi.Resource]

    def __init__(
        self,
        lab: Lab,
        args: SanArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = args.guest.machine.name
        super().__init__("rack:lab:San", name, None, opts)
        self.guest = SecondLevelGuest(
            lab, args.guest, disk=args.array, opts=pulumi.ResourceOptions(parent=self)
        )
        self.volumes = {
            volume: machine_command(
                names.volume_resource(name, volume),
                lab.settings,
                name,
                create=["san-volume", "apply", volume, size],
                delete=["san-volume", "remove", volume],
                opts=pulumi.ResourceOptions(
                    parent=self, depends_on=[self.guest], deleted_with=self.guest.domain
                ),
            )
            for volume, size in args.volumes.items()
        }
        self.register_outputs({"volumes": list(self.volumes)})
