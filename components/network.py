"""OvsNetwork: one switch of the rack.

Owns the OVS bridge and libvirt's network over it. Leaves ports to the domains that plug in.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_libvirt as libvirt

from components.command import equipment_command
from components.domain_xml import network_xslt
from components.lab import Lab
from config import names
from equipment import Equipment


@dataclass(frozen=True)
class OvsNetworkArgs:
    """The network, its bridge, and its bad lines."""

    network: str
    switch: Equipment
    lines: Sequence[Equipment] = ()


class OvsNetwork(pulumi.ComponentResource):
    """An OVS bridge on the lab machine, and a libvirt network with virtualport openvswitch."""

    bridge: str

    def __init__(
        self, lab: Lab, args: OvsNetworkArgs, opts: pulumi.ResourceOptions | None = None
    ) -> None:
        super().__init__("rack:lab:OvsNetwork", args.network, None, opts)
        stack = lab.settings.stack
        self.bridge = names.bridge(stack, args.network)
        tag = names.owner_tag(stack)
        bridge = pulumi.ResourceOptions(parent=self)
        switch = equipment_command(lab.settings, args.switch, bridge)
        libvirt.Network(
            f"{args.network}-network",
            name=self.bridge,
            mode="bridge",
            bridge=self.bridge,
            autostart=True,
            xml=libvirt.NetworkXmlArgs(xslt=network_xslt(tag)),
            opts=pulumi.ResourceOptions(parent=self, provider=lab.provider, depends_on=[switch]),
        )
        for line in args.lines:
            behind = pulumi.ResourceOptions(parent=self, depends_on=[switch])
            equipment_command(lab.settings, line, behind)
        self.register_outputs({"bridge": self.bridge})
