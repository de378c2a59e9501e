"""What pulumi-libvirt has no argument for, as XSLT over the XML it makes.

Owns the CPU model, hugepages, OVS ports, the console's log and the owner's mark of a domain.
Leaves everything that is an argument of Domain to the components. Needs `xsltproc` where
Pulumi runs.
"""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def domain_xslt(
    *,
    owner: str,
    log: str,
    openvswitch: bool,
    cpu_features: Sequence[str] | None,
    pxe: bool = False,
    usb_disk: bool = False,
) -> str:
    """The stylesheet of one domain.

    `log`: the file its serial console is also written to. `cpu_features`: added to qemu64,
    or None for the host's own CPU. `pxe`: its first NIC boots. `usb_disk`: its disk is a stick.
    """
    return _TEMPLATES.get_template("domain.xslt.j2").render(
        owner=owner,
        log=log,
        openvswitch=openvswitch,
        cpu_features=cpu_features,
        pxe=pxe,
        usb_disk=usb_disk,
    )


def network_xslt(owner: str) -> str:
    """The stylesheet of a libvirt network over an OVS bridge (libvirt, formatnetwork)."""
    return _TEMPLATES.get_template("network.xslt.j2").render(owner=owner)
