"""What state every machine of a rack is in, asked over ssh, side by side.

Owns the report's shape. Leaves how it looks to `main`; a machine that can't be asked is
reported as such, never an error.
"""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from artefacts import CommandFailed
from config import access, addressing, names
from config.settings import Settings
from config.topology import Guest, LxcHost, NfsServer, Node, San
from lab.remote import VIRSH, ask

ASK_S = 60
DOMAINS = [*VIRSH.split(), "list", "--all", "--name", "--state-running"]


@dataclass(frozen=True)
class MachineStatus:
    """One machine or container: level 1, 2, or 3 for a container."""

    level: int
    role: str
    power: str  # on, off, unknown
    phase: str
    ready: bool
    addresses: dict[str, str]
    serves: list[str]


def rack_status(settings: Settings) -> dict[str, MachineStatus]:
    """Every machine's and container's state by name, in the topology's order."""
    topology = settings.topology
    running = {access.LAB_MACHINE: _running(settings, access.LAB_MACHINE)}
    hosts = {guest.node for guest in topology.of(Guest).values()}
    with ThreadPoolExecutor() as pool:
        on = [name for name in hosts if power_of(settings, name, running) == "on"]
        for node, found in zip(on, pool.map(lambda n: _running(settings, n), on), strict=True):
            running[node] = found
        phases = dict(
            zip(topology.machines, pool.map(lambda n: _phase(settings, n), topology.machines),
                strict=True)
        )  # fmt: skip
        report: dict[str, MachineStatus] = {}
        for name, machine in topology.machines.items():
            power = power_of(settings, name, running)
            phase = phases[name] if power == "on" else "-"
            report[name] = MachineStatus(
                level=1 if isinstance(machine, Node) else 2,
                role=machine.role,
                power=power,
                phase=phase,
                ready=phase == "ready",
                addresses={
                    nic.network: str(nic.address.ip)
                    for nic in addressing.nics(settings.stack, topology, name)
                },
                serves=_serves(settings, name),
            )
            if isinstance(machine, LxcHost):
                report |= _containers(settings, name, machine, report[name])
    return report


def power_of(settings: Settings, name: str, running: Mapping[str, set[str] | None]) -> str:
    """on, off or unknown; a guest of a node that is off is off."""
    machine = settings.topology.machines[name]
    host = settings.host_of(name)
    if isinstance(machine, Guest) and (above := power_of(settings, host, running)) != "on":
        return above
    found = running.get(host)
    if found is None:
        return "unknown"
    return "on" if names.domain(settings.stack, name) in found else "off"


def _running(settings: Settings, host: str) -> set[str] | None:
    """The domains that run on a host; None if it can't be asked."""
    try:
        return set(ask(settings, host, DOMAINS, timeout_s=ASK_S).split())
    except CommandFailed:
        return None


def _phase(settings: Settings, name: str) -> str:
    try:
        return ask(settings, name, ["cat", "/run/rack/phase"], timeout_s=ASK_S).strip()
    except CommandFailed:
        return "unreachable"


def _serves(settings: Settings, name: str) -> list[str]:
    machine = settings.topology.machines[name]
    address = addressing.management_address(settings.topology, name)
    if isinstance(machine, San):
        return [f"nbd://{address}/{volume}" for volume in machine.volumes]
    if isinstance(machine, NfsServer):
        return [f"nfs://{address}/"]
    if machine.role == "boot-server":
        return [f"http://{address}/", "dhcp", "tftp"]
    return []


def _containers(
    settings: Settings, host: str, machine: LxcHost, above: MachineStatus
) -> dict[str, MachineStatus]:
    running: set[str] = set()
    if above.power == "on":
        try:
            running = set(ask(settings, host, ["lxc-ls", "--running"], timeout_s=ASK_S).split())
        except CommandFailed:
            running = set()
    report = {}
    for name, inside in machine.containers.items():
        address = str(addressing.container(settings.topology, inside.host).ip)
        up = name in running
        report[name] = MachineStatus(
            level=3,
            role="container",
            power="on" if up else "off",
            phase="ready" if up else "-",
            ready=up,
            addresses={"wan": address},
            serves=[
                f"http://{address}/{page}" for page in (*inside.volume_pages, *inside.share_pages)
            ],
        )
    return report
