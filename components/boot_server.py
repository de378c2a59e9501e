"""BootServer: the virtual laptop, booted from a USB stick, that offers PXE on lan.

Owns the stick, the laptop's domain and the images on the stick. Leaves the stick's content
to `alpine/` and the services to guest/roles/boot-server.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_libvirt as libvirt

from components import machine
from components.command import lab_command
from components.lab import Lab
from components.machine import BootTree, MachineArgs


@dataclass(frozen=True)
class BootServerArgs:
    """`stick`: the device on the lab machine; `image_keys`: of every role in use.

    `common_key` stands for kernel, initramfs and quarantine image; `moves`: into a node, once
    that is there; `needs` is waited for.
    """

    machine: MachineArgs
    bridges: Mapping[str, str]
    stick: str
    image_keys: Mapping[str, str]
    common_key: str
    moves: bool
    needs: Sequence[pulumi.Resource]


class BootServer(pulumi.ComponentResource):
    """The laptop; `tree` is where machines get their boot entries."""

    tree: BootTree
    domain: libvirt.Domain

    def __init__(
        self,
        lab: Lab,
        args: BootServerArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        name = args.machine.name
        super().__init__("rack:lab:BootServer", name, None, opts)
        settings = lab.settings
        stick = lab_command(
            f"{name}-stick",
            settings,
            create=["publish", "stick", name, args.stick],
            opts=pulumi.ResourceOptions(parent=self, depends_on=list(args.needs)),
        )
        self.domain = machine.make_domain(
            settings,
            args.machine,
            args.bridges,
            machine.domain_opts(self, lab.provider, [stick]),
            moves=args.moves,
            usb_disk=True,
            boot_devices=[libvirt.DomainBootDeviceArgs(devs=["hd"])],
            disks=[libvirt.DomainDiskArgs(block_device=args.stick)],
        )
        self._publish(lab, args)
        self.register_outputs({"domain": self.domain.name})

    def _publish(self, lab: Lab, args: BootServerArgs) -> None:
        """Kernel, initramfs and images go to the running laptop, then its own entry."""
        name = args.machine.name

        def step(
            suffix: str,
            words: Sequence[str],
            after: pulumi.Resource,
            wanted: Sequence[pulumi.Input[str]] = (),
        ) -> pulumi.Resource:
            return lab_command(
                f"{name}-{suffix}",
                lab.settings,
                create=words,
                wanted=wanted,
                opts=pulumi.ResourceOptions(
                    parent=self, depends_on=[after], deleted_with=self.domain
                ),
            )

        up = step("up", ["wait", name], self.domain, [self.domain.id])
        boot = step("boot-files", ["publish", "boot", args.common_key], up)
        images = {
            role: step(f"image-{role}", ["publish", "image", role, key], boot)
            for role, key in args.image_keys.items()
        }
        self.tree = BootTree(self.domain, images)
        entry = machine.boot_entry(lab.settings, args.machine, self.tree, self)
        machine.ready(lab.settings, args.machine, self.domain, self, [entry])
