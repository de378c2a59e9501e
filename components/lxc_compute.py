"""LxcCompute: a second-level guest that runs LXC containers over NBD and NFS data.

Owns the guest and the pages its containers serve. Leaves containers and mounts to
guest/roles/lxc.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi

from components.command import machine_command
from components.lab import Lab
from components.nbd_user import Nfs, grown
from components.second_level_guest import SecondLevelGuest, SecondLevelGuestArgs
from config import names
from config.topology import Container


@dataclass(frozen=True)
class LxcComputeArgs:
    """`volumes` (of `volume_size` bytes each) and `share` are what it mounts.

    `services` are the containers' URLs by name.
    """

    guest: SecondLevelGuestArgs
    volumes: Sequence[pulumi.Resource]
    volume_size: int
    share: Nfs
    containers: Mapping[str, Container]
    services: Mapping[str, str]


class LxcCompute(pulumi.ComponentResource):
    """`services` answer on wan when the component is there."""

    guest: SecondLevelGuest
    services: Mapping[str, str]

    def __init__(
        self,
        lab: Lab,
        args: LxcComputeArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = args.guest.machine.name
        super().__init__("rack:lab:LxcCompute", name, None, opts)
        self.guest = SecondLevelGuest(
            lab,
            args.guest,
            needs=[*args.volumes, args.share],
            opts=pulumi.ResourceOptions(parent=self),
        )
        grown(lab, name, self.guest, args.volume_size, self)
        for container, inside in args.containers.items():
            for place, pages in (("volume", inside.volume_pages), ("share", inside.share_pages)):
                for page, text in pages.items():
                    machine_command(
                        names.page_resource(container, page),
                        lab.settings,
                        name,
                        create=["container-page", "put", container, place, page],
                        delete=["container-page", "remove", container, place, page],
                        stdin=f"{text}\n",
                        opts=pulumi.ResourceOptions(
                            parent=self, depends_on=[self.guest], deleted_with=self.guest.domain
                        ),
                    )
        self.services = dict(args.services)
        self.register_outputs({"services": self.services})
