"""What pulumi-libvirt has no argument for, as XSLT over the XML it makes.

Owns the CPU model, hugepages, OVS ports, the console's log and the owner's mark of a domain.
Leaves everything that is an argument of Domain to the components. Needs `xsltproc` where
Pulumi runs.
"""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from config.profile import Cpu

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
    cpu: Cpu,
    cpu_check: str,
    huge_pages: bool,
    pxe: bool = False,
    usb_disk: bool = False,
) -> str:
    """The stylesheet of one domain.

    `log`: the file its serial console is also written to. `cpu_check`: libvirt's, at each start.
    `huge_pages`: its memory is on 2 MiB pages. `pxe`: its first NIC boots. `usb_disk`: its disk is
    a stick.
    """
    return _TEMPLATES.get_template("domain.xslt.j2").render(
        owner=owner,
        log=log,
        openvswitch=openvswitch,
        cpu=cpu,
        cpu_check=cpu_check,
        huge_pages=huge_pages,
        pxe=pxe,
        usb_disk=usb_disk,
    )


def network_xslt(owner: str) -> str:
    """The stylesheet of a libvirt network over an OVS bridge (libvirt, formatnetwork)."""
    return _TEMPLATES.get_template("network.xslt.j2").render(owner=owner)
