"""FirstLevelNode: a KVM on the lab machine that plays a physical server.

Owns its domain and boot entry. Leaves its disks to `raid`, its inside to its overlay, and
its power to the BMC once it exists.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_libvirt as libvirt

from components import machine
from components.lab import Lab
from components.machine import BootTree, MachineArgs


@dataclass(frozen=True)
class FirstLevelNodeArgs:
    """`disks`: devices on the lab machine, sda first; `needs`: what it waits for."""

    machine: MachineArgs
    tree: BootTree
    bridges: Mapping[str, str]
    disks: tuple[str, ...]
    needs: Sequence[pulumi.Resource]


class FirstLevelNode(pulumi.ComponentResource):
    """A diskless machine that PXE-boots into RAM; `domain` is ready when the component is."""

    domain: libvirt.Domain
    timeline: pulumi.Output[str]

    def __init__(
        self,
        lab: Lab,
        args: FirstLevelNodeArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = args.machine.name
        super().__init__("rack:lab:FirstLevelNode", name, None, opts)
        settings = lab.settings
        entry = machine.boot_entry(settings, args.machine, args.tree, self)
        self.domain = machine.make_domain(
            settings,
            args.machine,
            args.bridges,
            machine.domain_opts(self, lab.provider, [entry, *args.needs]),
            pxe=True,
            boot_devices=[libvirt.DomainBootDeviceArgs(devs=["network"])],
            disks=[libvirt.DomainDiskArgs(block_device=device, scsi=True) for device in args.disks],
        )
        state = machine.ready(settings, args.machine, self.domain, self, [entry])
        self.timeline = state.stdout
        self.register_outputs({"domain": self.domain.name, "timeline": self.timeline})
