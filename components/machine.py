"""What every machine of the rack has, at both levels: an image, an overlay, a boot entry.

Owns what all domains share and the steps around one: its entry on the boot server before, its
readiness after. Leaves disks and what is booted to the components.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pulumi
import pulumi_libvirt as libvirt
from pulumi_command import local

from components.command import lab_command
from components.domain_xml import domain_xslt
from config import names
from config.addressing import Nic
from config.settings import Settings
from config.units import MIB


@dataclass(frozen=True)
class MachineArgs:
    """One machine: memory in bytes, NICs eth0 first, and what it boots."""

    name: str
    role: str
    memory: int
    cpus: int
    nics: tuple[Nic, ...]
    image_key: str
    overlay_sha256: str

    @property
    def mac_dashed(self) -> str:
        """Its name in the boot tree: eth0's MAC."""
        return self.nics[0].mac_dashed


@dataclass(frozen=True)
class BootTree:
    """What publishing on the boot server needs: its domain, and the images there by role."""

    domain: libvirt.Domain
    images: Mapping[str, pulumi.Resource]


def boot_entry(
    settings: Settings, args: MachineArgs, tree: BootTree, parent: pulumi.Resource
) -> local.Command:
    """The machine's entry on the boot server; it goes with the boot server."""
    return lab_command(
        f"{args.name}-boot-entry",
        settings,
        create=["publish", "entry", args.name, args.image_key, args.overlay_sha256],
        delete=["unpublish", args.mac_dashed],
        opts=pulumi.ResourceOptions(
            parent=parent, depends_on=[tree.images[args.role]], deleted_with=tree.domain
        ),
    )


def ready(
    settings: Settings,
    args: MachineArgs,
    domain: libvirt.Domain,
    parent: pulumi.Resource,
    depends_on: Sequence[pulumi.Resource],
) -> local.Command:
    """The machine runs what its boot entry says; stdout is its timeline as JSON."""
    return lab_command(
        f"{args.name}-ready",
        settings,
        create=["converge", args.name, args.image_key, args.overlay_sha256],
        wanted=[domain.id],
        opts=pulumi.ResourceOptions(
            parent=parent, depends_on=[domain, *depends_on], deleted_with=domain
        ),
    )


def make_domain(
    settings: Settings,
    args: MachineArgs,
    bridges: Mapping[str, str],
    opts: pulumi.ResourceOptions,
    *,
    nested: bool = False,
    moves: bool = False,
    pxe: bool = False,
    usb_disk: bool = False,
    **hardware: Any,
) -> libvirt.Domain:
    """A machine's KVM, on the lab machine or (`nested`) in a node, or there later (`moves`).

    `hardware`: arguments of Domain that only this kind of machine has. `pxe` and `usb_disk` are
    what it boots from, where that takes more than such an argument.
    """
    profile = settings.profile
    return libvirt.Domain(
        args.name,
        name=names.domain(settings.stack, args.name),
        memory=args.memory // MIB,
        vcpu=args.cpus,
        machine="pc",  # a q35 has ten root ports, and a kernel's look at them is 17,000 exits
        autostart=nested,  # what comes on by itself: a node's guests; the rest by `lab start`
        running=True,
        network_interfaces=[
            libvirt.DomainNetworkInterfaceArgs(bridge=bridges[nic.network], mac=nic.mac.upper())
            for nic in args.nics
        ],
        consoles=[SERIAL_CONSOLE],
        xml=libvirt.DomainXmlArgs(
            xslt=domain_xslt(
                owner=names.owner_tag(settings.stack),
                log=settings.console_log(args.name),
                openvswitch=not nested,
                cpu=profile.guest_cpu if nested or moves else profile.node_cpu,
                cpu_check=profile.cpu_check,
                huge_pages=nested or profile.huge_pages,
                pxe=pxe,
                usb_disk=usb_disk,
            )
        ),
        opts=opts,
        **hardware,
    )


def domain_opts(
    parent: pulumi.Resource,
    provider: libvirt.Provider,
    depends_on: Sequence[pulumi.Resource],
    deleted_with: pulumi.Resource | None = None,
) -> pulumi.ResourceOptions:
    """A domain's options. Power is the BMC's business, so a domain that is off is no diff."""
    return pulumi.ResourceOptions(
        parent=parent,
        provider=provider,
        depends_on=list(depends_on),
        deleted_with=deleted_with,
        ignore_changes=["running"],
        delete_before_replace=True,
    )


SERIAL_CONSOLE = libvirt.DomainConsoleArgs(type="pty", target_type="serial", target_port="0")
