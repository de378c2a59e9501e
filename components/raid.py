"""RaidVolume: from the lab machine's physical disks to a logical volume for each node disk.

Owns the md array, the volume group and its volumes. Leaves what lies in a volume to the
machine that gets it: no level assembles the arrays of the level above.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi

from components.command import equipment_command
from components.lab import Lab
from config import names
from equipment import Equipment


@dataclass(frozen=True)
class RaidVolumeArgs:
    """The array, and each logical volume by its name."""

    array: Equipment
    volumes: Mapping[str, Equipment]


class RaidVolume(pulumi.ComponentResource):
    """An mdadm array, an LVM2 volume group on it, and one logical volume per node disk."""

    paths: Mapping[str, str]
    volumes: Mapping[str, pulumi.Resource]

    def __init__(
        self, lab: Lab, args: RaidVolumeArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("rack:lab:RaidVolume", "raid", None, opts)
        group = names.volume_group(lab.settings.stack)
        array = equipment_command(lab.settings, args.array, pulumi.ResourceOptions(parent=self))
        self.volumes = {
            name: equipment_command(
                lab.settings, volume, pulumi.ResourceOptions(parent=self, depends_on=[array])
            )
            for name, volume in args.volumes.items()
        }
        self.paths = {name: f"/dev/{group}/{name}" for name in args.volumes}
        self.register_outputs({"paths": dict(self.paths)})
