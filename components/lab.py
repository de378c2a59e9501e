"""Lab: what every component gets besides its own arguments.

Owns the one libvirt provider of each host (its race guards are per process: exactly one per
host). Leaves addresses to `config.access`.
"""

from dataclasses import dataclass

import pulumi
import pulumi_libvirt as libvirt

from config import access
from config.settings import Settings


@dataclass(frozen=True)
class Lab:
    """A stack's settings and the provider of the lab machine's libvirtd."""

    settings: Settings
    provider: libvirt.Provider


def open_lab(settings: Settings, opts: pulumi.ResourceOptions) -> Lab:
    """The lab of a stack; contacts nothing, providers connect when they first have to."""
    return Lab(settings, libvirt_provider(settings, access.LAB_MACHINE, opts))


def libvirt_provider(
    settings: Settings, machine: str, opts: pulumi.ResourceOptions
) -> libvirt.Provider:
    """The provider of a machine's libvirtd."""
    uri = access.libvirt_uri(settings.lab, machine, settings.ssh_config)
    return libvirt.Provider(f"{machine}-libvirt", uri=uri, opts=opts)
