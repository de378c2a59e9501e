"""RaidVolume: from the lab machine's physical disks to a logical volume for each node disk.

Owns the md array, the volume group and its volumes. Leaves what lies in a volume to the
machine that gets it: no level assembles the arrays of the level above.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.command import lab_script
from components.lab import Lab
from config import names
from config.topology import Array


@dataclass(frozen=True)
class RaidVolumeArgs:
    """`volumes`: bytes of each logical volume by name."""

    array: Array
    volumes: Mapping[str, int]


class RaidVolume(pulumi.ComponentResource):
    """An mdadm array, an LVM2 volume group on it, and one logical volume per node disk."""

    paths: Mapping[str, str]
    volumes: Mapping[str, pulumi.Resource]

    def __init__(
        self, lab: Lab, args: RaidVolumeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("rack:lab:RaidVolume", "raid", None, opts)
        stack = lab.settings.stack
        group, tag = names.volume_group(stack), names.owner_tag(stack)
        array = lab_script(
            "array",
            lab.settings,
            "array",
            apply=[group, tag, args.array.level, *args.array.disks],
            remove=[group, tag, *args.array.disks],
            opts=pulumi.ResourceOptions(parent=self),
        )
        self.volumes = {
            name: lab_script(
                f"{name}-volume",
                lab.settings,
                "volume",
                apply=[group, name, tag, size],
                remove=[group, name, tag],
                opts=pulumi.ResourceOptions(parent=self, depends_on=[array]),
            )
            for name, size in args.volumes.items()
        }
        self.paths = {name: f"/dev/{group}/{name}" for name in args.volumes}
        self.register_outputs({"paths": dict(self.paths)})
