"""Checks of networks: ranges, numbers, the router, firewalls, who reaches whom, bad lines.

Owns the rules that no single entry can check. Leaves names to `checknames`, and where guests
plug in to `checks`.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import combinations

from config.addressing import (
    BOOT_HOST,
    DYNAMIC_HOSTS,
    LAB_MACHINE_HOST,
    LAB_MACHINE_NETWORKS,
    NTP_HOST,
    PROVIDER_HOST,
)
from config.errors import Problem, shown
from config.netem import Netem
from config.topology import BootServer, Firewall, LxcHost, Node, Router, Server, Topology
from config.units import format_duration, format_rate
from config.values import NetworkName

# Private, and shared address space: all else belongs to somebody, or isn't for hosts at all.
PRIVATE = (
    *map(IPv4Network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")),  # RFC 1918
    IPv4Network("100.64.0.0/10"),  # RFC 6598
)
# Over a line that is worse a machine's 40 MB don't come within the 900 s that a boot may take:
# TCP gets 1.2 segments / (round trip * sqrt(loss)), Mathis et al. 1997; here 60 KB/s. Estimated.
# The rate is what NBD does where all is emulated (docs/status.md).
BOOT_DELAY, BOOT_LOSS, BOOT_RATE = 100_000, 2, 10_000_000  # microseconds, percent, bits/s


def problems(topology: Topology) -> Iterator[Problem]:
    """All that is wrong with networks."""
    yield from _ranges(topology)
    yield from _numbers(topology)
    yield from _router(topology)
    yield from _firewalls(topology)
    yield from _reach(topology)
    yield from _lines(topology)


def _ranges(topology: Topology) -> Iterator[Problem]:
    for (one, first), (other, second) in combinations(topology.networks.items(), 2):
        if first.cidr.overlaps(second.cidr):
            yield Problem(
                f"networks.{other}.cidr", str(second.cidr), f"overlaps {one}, {first.cidr}",
                "give each network a range of its own",
            )  # fmt: skip
    for name, network in topology.networks.items():
        key, cidr = f"networks.{name}.cidr", network.cidr
        if not 16 <= cidr.prefixlen <= 24:  # noqa: PLR2004
            yield Problem(
                key, str(cidr), "a network is a /16 to /24: host numbers from 1 to 254 or more",
                "write it as a.b.c.0/24",
            )  # fmt: skip
        elif not any(cidr.subnet_of(each) for each in PRIVATE):
            yield Problem(
                key, str(cidr), "a rack has private addresses (RFC 1918, RFC 6598)",
                f"choose a range in {', '.join(map(str, PRIVATE))}",
            )  # fmt: skip


def _numbers(topology: Topology) -> Iterator[Problem]:
    taken = {(each, LAB_MACHINE_HOST): "the lab machine" for each in LAB_MACHINE_NETWORKS}
    taken["lan", NTP_HOST] = "the NTP server"
    taken["isp", PROVIDER_HOST] = "the provider"
    if topology.founder:
        taken["lan", BOOT_HOST] = "whoever is the boot server"
    first, last = DYNAMIC_HOSTS
    for key, network, host in _hosts(topology):
        if network not in topology.networks:
            yield Problem(
                f"{key.rpartition('.')[0]}.networks", network,
                f"one of {', '.join(topology.networks)}",
                "use a network of the topology, or add it under `networks`",
            )  # fmt: skip
            continue
        most = topology.networks[network].cidr.num_addresses - 2
        if host > most:
            rule = f"{network} has host numbers up to {most}"
            yield Problem(key, host, rule, "choose a lower one")
            continue
        if first <= host <= last:
            yield Problem(
                key, host, f"{first} to {last} are for unknown machines",
                f"choose a number below {first}",
            )  # fmt: skip
        other = taken.setdefault((network, host), key)
        if other != key:
            yield Problem(key, host, f"already taken on {network} by {other}", "choose a free one")


def _hosts(topology: Topology) -> Iterator[tuple[str, str, int]]:
    for name, machine in topology.machines.items():
        for network in dict.fromkeys(machine.networks):
            yield f"machines.{name}.host", network, machine.host
        if isinstance(machine, Server):
            yield f"machines.{name}.bmc", "ipmi", machine.bmc
        if isinstance(machine, LxcHost):
            for inner, container in machine.containers.items():
                yield f"machines.{name}.containers.{inner}.host", "wan", container.host


def _router(topology: Topology) -> Iterator[Problem]:
    routers = topology.of(Router)
    if len(routers) != 1:
        rule = "exactly one: it is the gateway of its networks"
        yield Problem("machines", f"{len(routers)} × role router", rule, "add or remove one")
    for name, router in routers.items():
        if "isp" in router.networks:
            yield Problem(
                f"machines.{name}.networks", "isp", "only firewalls stand between isp and the rack",
                "remove isp; add a firewall",
            )  # fmt: skip
    routed = {each for router in routers.values() for each in router.networks}
    for name in topology.of(LxcHost):
        if routers and "wan" not in routed:
            yield Problem(
                f"machines.{name}.containers", "wan", "no router leads to its containers",
                f"add wan to the networks of {next(iter(routers))}",
            )  # fmt: skip


def _firewalls(topology: Topology) -> Iterator[Problem]:
    for index, (name, wall) in enumerate(topology.of(Firewall).items()):
        if wall.networks != ("internet", "isp"):
            yield Problem(
                f"machines.{name}.networks", ", ".join(wall.networks),
                "a firewall stands between internet, where it boots, and isp",
                "write it as [internet, isp]",
            )  # fmt: skip
        if index and not wall.publish:
            yield Problem(
                f"machines.{name}.publish", "none",
                "the first firewall is the way out; a further one does nothing but publish",
                "have it publish a container, or remove it",
            )  # fmt: skip
        for port, container in wall.publish.items():
            if container not in topology.containers:
                known = ", ".join(topology.containers) or "none; add an lxc machine"
                yield Problem(
                    f"machines.{name}.publish.{port}", container, "a container of the topology",
                    f"name one of: {known}",
                )  # fmt: skip


def _reach(topology: Topology) -> Iterator[Problem]:
    routed = {each for router in topology.of(Router).values() for each in router.networks}
    firewalled = {each for wall in topology.of(Firewall).values() for each in wall.networks}
    for source, targets in topology.reach.items():
        key = f"reach.{source}"
        for target in dict.fromkeys(targets):
            if targets.count(target) > 1:
                yield Problem(key, target, "a network is named once", "name it once")
            if target == source or source not in routed:
                yield Problem(
                    key, target,
                    f"from one to another of the router's networks: {', '.join(sorted(routed))}",
                    "remove it; what no rule lets through is refused",
                )  # fmt: skip
            elif target not in routed and not (target == "isp" and target in firewalled):
                yield Problem(
                    key, target, "no router leads there",
                    "name a network of the router, or isp where a firewall stands",
                )  # fmt: skip
    for name, machine in topology.of(Node).items():
        away = machine.networks[0]
        if away != "lan" and away not in topology.reach.get("lan", ()):
            yield Problem(
                "reach.lan", shown(list(topology.reach.get("lan", ()))),
                f"{name} is managed from lan at its address on {away}", f"add {away}",
            )  # fmt: skip


def _lines(topology: Topology) -> Iterator[Problem]:
    routed = {each for router in topology.of(Router).values() for each in router.networks}
    for network, entry in topology.networks.items():
        if entry.netem and network not in routed:
            yield Problem(
                f"networks.{network}.netem", network,
                "it is the line to the router, and no router is on that network",
                f"give it to a machine's NIC: machines.NAME.netem.{network}",
            )  # fmt: skip
    for name, machine in topology.of(Node).items():
        for network, line in machine.netem.items():
            key = f"machines.{name}.netem.{network}"
            if network not in machine.networks:
                yield Problem(
                    key, network, "the machine has no NIC there",
                    f"name one of: {', '.join(machine.networks)}",
                )  # fmt: skip
            elif isinstance(machine, Router) and topology.networks[network].netem:
                rule = f"networks.{network}.netem is that line already"
                yield Problem(key, network, rule, "remove one of them")
            if network == machine.networks[0]:
                yield from _boots_over(key, line)
    for network, entry in topology.networks.items():  # the router boots on lan, behind it firewalls
        boots = network == "lan" or (network == "internet" and topology.of(Firewall))
        if entry.netem and boots:
            yield from _boots_over(f"networks.{network}.netem", entry.netem)
    for name, lines in _boot_ways(topology):
        if not any(list(_boots_over(key, line)) for key, line in lines.items()):
            yield from _add_up(name, lines)


def _boot_ways(topology: Topology) -> Iterator[tuple[str, dict[str, Netem]]]:
    """The bad lines between a boot server and each machine that boots from it, by their keys."""
    routers = {
        network: line
        for name, router in topology.of(Router).items()
        for network in router.networks
        for line in (_own_line(topology, name, network), _network_line(topology, network))
        if line
    }
    for start in topology.of(BootServer):
        for name, machine in topology.of(Server).items():
            last = machine.networks[0]
            crossed = [] if last == "lan" else [routers.get("lan"), routers.get(last)]
            if isinstance(machine, Router):
                crossed.append(routers.get(last))
            lines = [_own_line(topology, start, "lan"), *crossed, _own_line(topology, name, last)]
            yield name, dict(filter(None, lines))


def _own_line(topology: Topology, name: str, network: NetworkName) -> tuple[str, Netem] | None:
    machine = topology.machines[name]
    found = machine.netem.get(network) if isinstance(machine, Node) else None
    return (f"machines.{name}.netem.{network}", found) if found else None


def _network_line(topology: Topology, network: NetworkName) -> tuple[str, Netem] | None:
    found = topology.networks[network].netem if network in topology.networks else None
    return (f"networks.{network}.netem", found) if found else None


def _add_up(name: str, lines: dict[str, Netem]) -> Iterator[Problem]:
    """Lines that are good enough each can be too bad together."""
    delay = sum((line.delay or 0) + (line.jitter or 0) for line in lines.values())
    loss = sum((line.loss or 0) + (line.corrupt or 0) for line in lines.values())
    longest = format_duration(BOOT_DELAY)
    for what, found, told, most in (
        ("delay and jitter", delay > BOOT_DELAY, format_duration(delay), longest),
        ("loss and corrupt", loss > BOOT_LOSS, f"{loss:g}%", f"{BOOT_LOSS}%"),
    ):
        if found:
            yield Problem(
                next(reversed(lines)), told,
                f"{what} are {most} at most, of all lines that {name} boots over: "
                f"{', '.join(lines)}", "make these lines better",
            )  # fmt: skip


def _boots_over(key: str, line: Netem) -> Iterator[Problem]:
    """A machine that boots from the network must still get through."""
    remedy = "a machine boots over that line: choose a better one, or another network"
    if (line.delay or 0) + (line.jitter or 0) > BOOT_DELAY:
        rule = f"delay and jitter are {format_duration(BOOT_DELAY)} at most together"
        yield Problem(f"{key}.delay", format_duration(line.delay or 0), rule, remedy)
    for name, share in (("loss", line.loss), ("corrupt", line.corrupt)):
        if share and share > BOOT_LOSS:
            yield Problem(f"{key}.{name}", f"{share:g}%", f"{BOOT_LOSS}% at most", remedy)
    if line.rate and line.rate < BOOT_RATE:
        rule = f"{format_rate(BOOT_RATE)} at least"
        yield Problem(f"{key}.rate", format_rate(line.rate), rule, remedy)
