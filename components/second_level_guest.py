"""SecondLevelGuest: a KVM inside a first-level node, through the node's own libvirtd.

Owns its domain, its boot entry and the copy of its boot tree in the node. Leaves what it
does to its role; a node that is reset starts it again by itself.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_libvirt as libvirt

from alpine.kernel import ARGUMENTS
from components import machine
from components.command import machine_command
from components.first_level_node import FirstLevelNode
from components.lab import Lab
from components.machine import BootTree, MachineArgs

GUEST_TREES = "/media/ram/guests"  # guest/hypervisor keeps one boot tree a guest there
SHARE, IMAGES = "boot", "images"  # 9p mount tags, as guest/initramfs/init expects them


@dataclass(frozen=True)
class Host:
    """The node a guest lives in, and the provider of that node's libvirtd."""

    name: str
    node: FirstLevelNode
    provider: libvirt.Provider


@dataclass(frozen=True)
class SecondLevelGuestArgs:
    """A machine, the node it lives in, where its boot entry goes, what it is started after."""

    machine: MachineArgs
    host: Host
    tree: BootTree
    after: Sequence[pulumi.Resource] = ()


class SecondLevelGuest(pulumi.ComponentResource):
    """A diskless machine inside a node; `domain` exists as long as the node does."""

    domain: libvirt.Domain
    timeline: pulumi.Output[str]

    def __init__(
        self,
        lab: Lab,
        args: SecondLevelGuestArgs,
        *,
        disk: str | None = None,
        needs: Sequence[pulumi.Resource] = (),
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """`disk`: a device in the node that becomes vda. `needs`: what its services use."""
        name, host = args.machine.name, args.host
        super().__init__("rack:lab:SecondLevelGuest", name, None, opts)
        settings = lab.settings
        entry = machine.boot_entry(settings, args.machine, args.tree, self)
        sync = machine_command(
            f"{name}-boot-tree",
            settings,
            host.name,
            create=["rack-guest-sync", name, args.machine.mac_dashed],
            wanted=[args.machine.image_key, args.machine.overlay_sha256],
            opts=pulumi.ResourceOptions(
                parent=self, depends_on=[entry, host.node], deleted_with=host.node.domain
            ),
        )
        folder = f"{GUEST_TREES}/{name}"
        self.domain = machine.make_domain(
            settings,
            args.machine,
            {nic.network: nic.network for nic in args.machine.nics},
            machine.domain_opts(
                self, host.provider, [sync, *args.after], deleted_with=host.node.domain
            ),
            nested=True,
            kernel=f"{folder}/boot/vmlinux",
            initrd=f"{folder}/boot/initramfs",
            cmdlines=_kernel_line(args.machine.mac_dashed),
            filesystems=[
                libvirt.DomainFilesystemArgs(
                    source=source, target=share, readonly=True, accessmode="passthrough"
                )
                for share, source in ((SHARE, folder), (IMAGES, f"{folder}/images"))
            ],
            disks=[libvirt.DomainDiskArgs(block_device=disk)] if disk else [],
        )
        state = machine.ready(settings, args.machine, self.domain, self, [sync, *needs])
        self.timeline = state.stdout
        self.register_outputs({"domain": self.domain.name, "timeline": self.timeline})


def _kernel_line(mac: str) -> list[dict[str, str]]:
    """The kernel's arguments as the provider reads them back: those with a value, then the rest.

    In any other form they would be a difference, and a replacement, at every run.
    """
    tree = {"rack.tree": f"9p://{SHARE}", "rack.machine": mac}
    keyed = dict(word.split("=", 1) for word in ARGUMENTS if "=" in word)
    return [tree | keyed, {"_": " ".join(word for word in ARGUMENTS if "=" not in word)}]
