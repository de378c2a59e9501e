"""A guest that mounts an NBD volume, and grows its file system when the volume grows.

Owns that one step. Leaves mounting to guest/roles and the volume to `san`.
"""

import pulumi

from components.command import machine_command
from components.lab import Lab
from components.second_level_guest import SecondLevelGuest


def grown(
    lab: Lab, name: str, guest: SecondLevelGuest, size: int, parent: pulumi.Resource
) -> pulumi.Resource:
    """The guest's file system fills a volume of `size` bytes."""
    return machine_command(
        f"{name}-file-system",
        lab.settings,
        name,
        create=["nbd-volume", "grow", str(size)],
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[guest], deleted_with=guest.domain),
    )
