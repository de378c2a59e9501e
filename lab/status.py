"""What state every machine of a rack is in, asked over ssh, side by side.

Owns the report's shape. Leaves how it looks to `main`; a machine that can't be asked is
reported as such, never an error.
"""

from collections.abc import Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass

import equipment
from artefacts import CommandFailed
from config import access, addressing, bill, names
from config.settings import Settings
from config.topology import Guest, LxcHost, NfsServer, San
from lab.remote import LOOK_S, VIRSH, ask

ASKED_AT_ONCE = 4  # emulated, each costs its machine seconds: more would all take longer
DOMAINS = f"{VIRSH} list --all --name --state-running"
CONTAINERS = "lxc-ls -1 --running"
BOOTS = "boots"  # what a consul server says of itself while it is the boot server
SAYS = "/run/control-plane/status.json"
SERVING = f"grep -qs serving.:true {SAYS}"
SILENT = "?"  # a service that doesn't tell what it runs


@dataclass(frozen=True)
class MachineStatus:
    """One machine or container: level 1, 2, or 3 for a container.

    `why`: the error where it is on and can't be asked, else "".
    """

    level: int
    role: str
    power: str  # on, off, unknown
    phase: str
    ready: bool
    addresses: dict[str, str]
    serves: list[str]
    why: str = ""


@dataclass(frozen=True)
class Answer:
    """What a machine says of itself; `runs`: its guests' domains, or containers; None: no word."""

    phase: str
    runs: set[str] | None
    why: str = ""


UNASKED = Answer("-", None)


class RackWatch:
    """What is known of a rack's machines, asked in rounds."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._answers: dict[str, Answer] = {}

    def round(self) -> Iterator[dict[str, MachineStatus]]:
        """Every machine's and container's state by name, again after each answer.

        One question a machine; what a host says is off isn't asked. Until a machine answers,
        what it said in the round before counts.
        """
        settings = self._settings
        with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
            asked = {pool.submit(_asked, settings, access.LAB_MACHINE): access.LAB_MACHINE}
            waiting = set(settings.topology.machines)
            while asked:
                for future in wait(asked, return_when=FIRST_COMPLETED).done:
                    host = asked.pop(future)
                    self._answers[host] = future.result()
                    runs = self._runs()
                    for name in sorted(waiting):
                        here = host in settings.hosts_of(name)
                        if here and power_of(settings, name, runs) == "on":
                            asked[pool.submit(_asked, settings, name)] = name
                            waiting.remove(name)
                yield self._report()

    def _runs(self) -> dict[str, set[str] | None]:
        return {name: answer.runs for name, answer in self._answers.items()}

    def _report(self) -> dict[str, MachineStatus]:
        settings, topology, runs = self._settings, self._settings.topology, self._runs()
        report: dict[str, MachineStatus] = {}
        for name, machine in topology.machines.items():
            power = power_of(settings, name, runs)
            answer = self._answers.get(name, UNASKED) if power == "on" else UNASKED
            report[name] = MachineStatus(
                level=_level(settings, name, runs),
                role=machine.role,
                power=power,
                phase=answer.phase,
                ready=answer.phase == "ready",
                addresses={
                    nic.network: str(nic.address.ip)
                    for nic in addressing.nics(settings.stack, topology, name)
                },
                serves=_serves(settings, name, answer.runs or set()),
                why=answer.why,
            )
            if isinstance(machine, LxcHost):
                inside = set() if power == "off" else answer.runs
                report |= _containers(settings, machine, inside)
        return report


def rack_status(settings: Settings) -> dict[str, MachineStatus]:
    """Every machine's and container's state by name, in the topology's order; one round."""
    *_, report = RackWatch(settings).round()
    return report


def rogue_dhcp_servers(settings: Settings) -> list[str]:
    """The MACs of those on lan whose DHCP replies the switch stopped in the last hour.

    Nobody is named while the lab machine is silent.
    """
    guard = equipment.dhcp_guard(settings.stack, settings.topology)
    command = equipment.rogues(settings.stack)
    try:
        said = ask(
            settings, access.LAB_MACHINE, command, stdin=guard.text.encode(), timeout_s=LOOK_S
        )
    except CommandFailed:
        return []
    return said.split()


def power_of(settings: Settings, name: str, running: Mapping[str, set[str] | None]) -> str:
    """on, off or unknown; a guest of a node that is off is off."""
    machine = settings.topology.machines[name]
    host = settings.host_of(name)
    if isinstance(machine, Guest) and (above := power_of(settings, host, running)) != "on":
        return above
    if host_now(settings, name, running):
        return "on"
    return "unknown" if running.get(host) is None else "off"


def host_now(settings: Settings, name: str, running: Mapping[str, set[str] | None]) -> str | None:
    """Which of the hosts that a machine may be on says that it runs there."""
    domain = names.domain(settings.stack, name)
    for host in settings.hosts_of(name):
        if domain in (running.get(host) or ()):
            return host
    return None


def _level(settings: Settings, name: str, running: Mapping[str, set[str] | None]) -> int:
    """A first-level machine that has moved into another one is at the second level."""
    if isinstance(settings.topology.machines[name], Guest):
        return 2
    return 1 if host_now(settings, name, running) in (None, access.LAB_MACHINE) else 2


def _question(settings: Settings, name: str) -> str:
    """The script that tells a machine's phase and, a line each, what runs in it."""
    if name == access.LAB_MACHINE:
        return f"echo; {DOMAINS}"
    phase = "cat /run/rack/phase; echo"
    if isinstance(settings.topology.machines[name], LxcHost):
        return f"{phase}; {CONTAINERS} || echo '{SILENT}'"
    if name in settings.topology.consul_servers:
        return f"{phase}; {SERVING} && echo {BOOTS} || true"
    if bill.inside(settings.topology, name):
        return f"{phase}; {DOMAINS} || echo '{SILENT}'"
    return phase


def _asked(settings: Settings, name: str) -> Answer:
    try:
        said = ask(settings, name, ["sh", "-c", _question(settings, name)], timeout_s=LOOK_S)
    except CommandFailed as error:
        return Answer("unreachable", None, str(error))
    phase, *inside = said.split("\n")
    runs = {line.strip() for line in inside} - {""}
    return Answer(phase.strip(), None if SILENT in runs else runs)


def _serves(settings: Settings, name: str, runs: set[str]) -> list[str]:
    machine = settings.topology.machines[name]
    address = addressing.management_address(settings.topology, name)
    if isinstance(machine, San):
        return [f"nbd://{address}/{volume}" for volume in machine.volumes]
    if isinstance(machine, NfsServer):
        return [f"nfs://{address}/"]
    if machine.role == "boot-server" or BOOTS in runs:
        return [f"http://{addressing.boot_address(settings.topology).ip}/", "dhcp"]
    return []


def _containers(
    settings: Settings, machine: LxcHost, running: set[str] | None
) -> dict[str, MachineStatus]:
    """A host's containers; None of `running`: the host doesn't tell."""
    report = {}
    for name, inside in machine.containers.items():
        address = str(addressing.container(settings.topology, inside.host).ip)
        up = running is not None and name in running
        report[name] = MachineStatus(
            level=3,
            role="container",
            power="unknown" if running is None else "on" if up else "off",
            phase="ready" if up else "-",
            ready=up,
            addresses={"wan": address},
            serves=[
                f"http://{address}/{page}" for page in (*inside.volume_pages, *inside.share_pages)
            ],
        )
    return report
