"""Checks of names: what two things of a rack, or of a lab machine, would share.

Owns which names exclude each other. Leaves a name's own letters to `values`, and the names that
are made of them to `names`.
"""

import re
from collections.abc import Iterator

from config import names
from config.errors import Problem
from config.topology import LxcHost, San, Topology

# A SAN's name is its volume group's, whose folder is /dev/<name> (lvm(8), VALID NAMES): what Linux
# has there already (Documentation/admin-guide/devices.txt).
DEV = re.compile(
    r"(autofs|block|bsg|bus|char|console|core|cpu|disk|fb|fd|full|fuse|hpet|hugepages|hwrng|initctl"
    r"|input|kmsg|kvm|log|loop|loop-control|mapper|mcelog|md|mem|mqueue|net|null|nvram|port|ppp|ptmx"
    r"|pts|random|raw|rtc|shm|snapshot|snd|stderr|stdin|stdout|tty|urandom|usbmon|vfio|vhost|watchdog"
    r"|zero)([0-9]*)|(dm-|hd|md|nbd|nvme|ram|sd|sg|sr|tty[sp]?|vcs[au]?|vd)[a-z0-9]{0,4}"
)


def problems(stack: str, topology: Topology) -> Iterator[Problem]:
    """Names that two things would share."""
    if wrong := names.stack_problem(stack):
        yield wrong
    yield from _hosts(topology)
    yield from _sans(topology)
    yield from _resources(topology)
    yield from _mac_addresses(stack, topology)
    yield from _lines(stack, topology)


def _hosts(topology: Topology) -> Iterator[Problem]:
    """Machines and containers are in one /etc/hosts, and `lab ssh` goes to either."""
    taken = {name: f"machines.{name}" for name in topology.machines}
    for host, machine in topology.of(LxcHost).items():
        for name in machine.containers:
            key = f"machines.{host}.containers.{name}"
            other = taken.setdefault(name, key)
            if other != key:
                rule = f"machines and containers have names of their own; {other} has that one"
                yield Problem(key, name, rule, "rename one of them")


def _sans(topology: Topology) -> Iterator[Problem]:
    for name, san in topology.of(San).items():
        if DEV.fullmatch(name):
            rule = f"a SAN's volumes are in /dev/{name}, which is something else in Linux"
            yield Problem(f"machines.{name}", name, rule, "rename it, e.g. san1")
        if "generic" in san.volumes:
            yield Problem(
                f"machines.{name}.volumes.generic", "generic",
                "nbd-server's configuration has a section of that name (nbd-server(5))",
                "rename the volume",
            )  # fmt: skip


def _resources(topology: Topology) -> Iterator[Problem]:
    """What Pulumi would know by one name."""
    taken: dict[str, str] = {}
    for san, machine in topology.of(San).items():
        for volume in machine.volumes:
            key = f"machines.{san}.volumes.{volume}"
            yield from _once(taken, names.volume_resource(san, volume), key, volume)
    taken = {}
    for host, lxc in topology.of(LxcHost).items():
        taken[names.file_system_resource(host)] = f"machines.{host}.volume"
        for name, container in lxc.containers.items():
            place = f"machines.{host}.containers.{name}"
            pages = {"volume_pages": container.volume_pages, "share_pages": container.share_pages}
            for where, each in pages.items():
                for page in each:
                    resource = names.page_resource(name, page)
                    yield from _once(taken, resource, f"{place}.{where}.{page}", page)


def _once(taken: dict[str, str], resource: str, key: str, value: str) -> Iterator[Problem]:
    other = taken.setdefault(resource, key)
    if other != key:
        rule = f"{other} is {resource} to Pulumi already"
        yield Problem(key, value, rule, "rename one of them")


def _mac_addresses(stack: str, topology: Topology) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    owners = [
        (f"machines.{name}", name, network)
        for name, machine in topology.machines.items()
        for network in machine.networks
    ]
    for host, lxc in topology.of(LxcHost).items():
        for inner in lxc.containers:
            owners.append((f"machines.{host}.containers.{inner}", f"{host}.{inner}", "wan"))
    for key, owner, network in owners:
        other = seen.setdefault(names.mac(stack, owner, network), owner)
        if other != owner:
            yield Problem(key, owner, f"its MAC address equals {other}'s", "rename it")


def _lines(stack: str, topology: Topology) -> Iterator[Problem]:
    seen: dict[str, str] = {}
    for name, network in topology.lines:
        other = seen.setdefault(names.line_bridge(stack, name, network), name)
        if other != name:
            rule = f"its bridge on the lab machine would have the name of {other}'s"
            yield Problem(f"machines.{name}.netem", network, rule, "rename the machine")
