"""OvsNetwork: one switch of the rack.

Owns the OVS bridge and libvirt's network over it. Leaves ports to the domains that plug in.
"""

from dataclasses import dataclass
from ipaddress import IPv4Interface, IPv4Network

import pulumi
import pulumi_libvirt as libvirt

from components.command import lab_script
from components.domain_xml import network_xslt
from components.lab import Lab
from config import names


@dataclass(frozen=True)
class OvsNetworkArgs:
    """`address`: the lab machine's own on this network; `routes`: networks behind a gateway."""

    network: str
    address: IPv4Interface | None = None
    routes: tuple[tuple[IPv4Network, object], ...] = ()


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
        address = [args.address] if args.address else []
        routes = [f"{cidr},{via}" for cidr, via in args.routes]
        switch = lab_script(
            f"{args.network}-bridge",
            lab.settings,
            "bridge",
            apply=[self.bridge, tag, *address, *routes],
            remove=[self.bridge, tag],
            opts=pulumi.ResourceOptions(parent=self),
        )
        libvirt.Network(
            f"{args.network}-network",
            name=self.bridge,
            mode="bridge",
            bridge=self.bridge,
            autostart=True,
            xml=libvirt.NetworkXmlArgs(xslt=network_xslt(tag)),
            opts=pulumi.ResourceOptions(parent=self, provider=lab.provider, depends_on=[switch]),
        )
        self.register_outputs({"bridge": self.bridge})
