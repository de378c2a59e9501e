"""Breaking the control plane, and seeing who serves meanwhile.

Owns killing, stopping and cutting off consul servers, and the record of who answered DHCP. Leaves
what should happen to the tests.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from probes import Probe, probe, settings_of
from racks import Rack

from artefacts import LabError
from config import access, addressing, names
from config.settings import Settings
from config.topology import ConsulServer
from lab.power import where
from lab.remote import ask, on_lab_machine
from lab.status import BOOTS, SAYS

WATCH = Path(__file__).with_name("dhcp_watch.py")
HEALED_S = 600  # a killed server boots, its volume and consul come back; emulated


@dataclass(frozen=True)
class Answer:
    """An offer of the boot server: when (the lab machine's clock, s), and which machine sent it."""

    at: float
    server: str


@dataclass(frozen=True)
class Watch:
    """A probe on lan that asks for an address once a second."""

    settings: Settings
    host: Probe
    file: str

    def now(self) -> float:
        """The lab machine's clock, seconds since the epoch."""
        return float(on_lab_machine(self.settings, "date +%s.%N"))

    def answers(self, since: float = 0) -> list[Answer]:
        """What came in so far, in order."""
        servers = {_mac(self.settings, name): name for name in _servers(self.settings)}
        text = on_lab_machine(self.settings, f"cat {self.file}")
        pairs = [line.split() for line in text.splitlines()]
        found = [Answer(float(at), servers.get(mac, mac)) for at, mac in pairs]
        return [each for each in found if each.at >= since]

    def gaps(self, since: float) -> list[tuple[float, float]]:
        """The times without an answer since then, longest first: length and begin, seconds."""
        times = [since, *(each.at for each in self.answers(since)), self.now()]
        gaps = [(after - before, before - since) for before, after in pairwise(times)]
        return sorted(gaps, reverse=True)

    def first_of_another(self, than: str, since: float, seconds: float) -> Answer:
        """Waits until a server other than `than` answers."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for each in self.answers(since):
                if each.server != than:
                    return each
            time.sleep(1)
        raise AssertionError(f"nobody but {than} answered for {seconds} s: {_told(self.settings)}")


ELECTED = """
said=$(grep -h 'election won' /var/log/consul.log | tail -n 1)
day=${said%%T*} clock=${said#*T}
date -u -d "$day ${clock%%.*}" +%s
read -r up rest </proc/uptime
serves='s/^uptime=\\([0-9]*\\).* msg=serving why=leads$/\\1/p'
serving=$(sed -n "$serves" /var/log/control-plane.log | tail -n 1)
echo $(($(date +%s) - ${up%.*} + serving))
"""


def phases(rack: Rack, server: str) -> tuple[int, int]:
    """When the server last won an election, and opened its gate: its own clock, whole seconds."""
    elected, served = ask(settings_of(rack), server, ["sh", "-euc", ELECTED]).split()
    return int(elected), int(served)


@contextmanager
def watch(rack: Rack) -> Iterator[Watch]:
    """Somebody asks for an address each second, until the end."""
    settings = settings_of(rack)
    known = _mac(settings, "router")
    with probe(settings, "lan") as host:
        file = f"/run/{host.name}.answers"
        program = f"ip netns exec {host.name} python3 /run/dhcp_watch.py {host.name} {known} {file}"
        ask(
            settings,
            access.LAB_MACHINE,
            ["sh", "-c", "cat >/run/dhcp_watch.py"],
            stdin=WATCH.read_bytes(),
        )
        on_lab_machine(
            settings, f"rm -f {file}; : >{file}; setsid {program} >{file}.log 2>&1 </dev/null &"
        )
        yield Watch(settings, host, file)  # the namespace's end is its processes' end


def _servers(settings: Settings) -> tuple[str, ...]:
    return settings.topology.consul_servers


def _mac(settings: Settings, name: str) -> str:
    return addressing.nics(settings.stack, settings.topology, name)[0].mac


def _told(settings: Settings) -> dict[str, str]:
    """What each server that can be asked says of itself."""
    told = {}
    for name in _servers(settings):
        look = [
            "sh",
            "-c",
            f"cat {SAYS}; tail -n 3 /var/log/control-plane.log",
        ]
        try:
            told[name] = ask(settings, name, look, timeout_s=60)
        except LabError as error:
            told[name] = str(error)[:200]
    return told


def leader(rack: Rack) -> str:
    """The one boot server; exactly one, waited for."""
    return _look(rack)[0]


def _look(rack: Rack) -> tuple[str, list[str]]:
    """The one boot server, waited for, and the machines that aren't ready."""
    settings = settings_of(rack)
    address = f"http://{addressing.boot_address(settings.topology).ip}/"
    deadline = time.monotonic() + HEALED_S
    serving: list[str] = []
    while time.monotonic() < deadline:
        machines = rack.status()
        serving = [name for name in _servers(settings) if address in machines[name]["serves"]]
        if len(serving) == 1:
            (leading,) = serving
            return leading, [
                each for each in settings.topology.machines if not machines[each]["ready"]
            ]
        time.sleep(5)
    raise AssertionError(f"{serving} say {BOOTS}: {_told(settings)}")


def assert_healthy(rack: Rack) -> str:
    """Every machine is ready, all servers are there, and who should vote does; who leads."""
    count = len(_servers(settings_of(rack)))
    votes = count if count > 2 else 1  # of two the founder alone has one
    leading, waiting = _look(rack)
    for name in waiting:
        rack.lab("wait", name)
    deadline = time.monotonic() + HEALED_S
    told = ""
    while time.monotonic() < deadline:
        told = rack.lab("ssh", leading, "--", "control-plane", "status")
        voting, alive = told.count('"voter":true'), told.count('"alive":true')
        if (voting, alive) == (votes, count) and f'"leader":"{leading}"' in told and not waiting:
            return leading
        time.sleep(5)
        leading, waiting = _look(rack)
    raise AssertionError(f"{waiting} wait, or not {count} servers and {votes} votes: {told}")


def led_by_a_guest(rack: Rack) -> str:
    """The leader, a guest of role consul; the founder's consul starts anew until it is."""
    guests = settings_of(rack).topology.of(ConsulServer)
    deadline = time.monotonic() + HEALED_S
    while (leading := assert_healthy(rack)) not in guests:
        assert time.monotonic() < deadline, (
            f"{leading} leads again and again: {_told(settings_of(rack))}"
        )
        rack.lab("ssh", leading, "--", "rc-service", "consul", "restart")
    return leading


def assert_configured(rack: Rack, machine: str) -> None:
    """It booted with its overlay, not with the image for machines nobody knows."""
    boot = rack.lab("ssh", machine, "--", "cat", "/run/rack/boot")
    assert "overlay_sha256=" in boot and "quarantine" not in boot


def kill(rack: Rack, server: str) -> float:
    """Ends its qemu, a pulled plug; the lab machine's time just before.

    A BMC would be asked for seconds, on the core that the others elect a leader on.
    """
    return qemu(rack, server, "KILL")


def revive(rack: Rack, server: str) -> None:
    """Switches it on; it is ready then."""
    rack.lab("power", server, "on")
    rack.lab("wait", server)


def qemu(rack: Rack, server: str, signal: str) -> float:
    """A signal to the server's qemu, where it runs; the lab machine's time just before."""
    settings = settings_of(rack)
    domain = names.domain(settings.stack, server)
    host = where(settings, server)
    assert host, f"{server} runs nowhere"
    at = float(rack.lab_machine("date +%s.%N"))
    ask(settings, host, ["sh", "-c", f"pkill -{signal} -f '[g]uest={domain},'"])
    return at


@contextmanager
def cut_off(rack: Rack, server: str) -> Iterator[float]:
    """The server's frames to and from the other servers are dropped at the lan's switch.

    Yields the lab machine's time just before.
    """
    settings = settings_of(rack)
    bridge = names.bridge(rack.stack, "lan")
    own = _mac(settings, server)
    others = [_mac(settings, other) for other in _servers(settings) if other != server]
    pairs = [pair for far in others for pair in ((own, far), (far, own))]
    flows = [f"priority=900,dl_src={source},dl_dst={target}" for source, target in pairs]
    drop = "".join(f"{flow},actions=drop\\n" for flow in flows)
    at = rack.lab_machine(f"date +%s.%N; printf '{drop}' | ovs-ofctl add-flows {bridge} -")
    try:
        yield float(at)
    finally:
        undo = "".join(f"{flow}\\n" for flow in flows)
        rack.lab_machine(f"printf '{undo}' | ovs-ofctl --strict del-flows {bridge} -")


def changes_of_server(answers: list[Answer]) -> list[str]:
    """The servers in the order in which they took over: with two at once one name comes twice."""
    order: list[str] = []
    for each in answers:
        if not order or order[-1] != each.server:
            order.append(each.server)
    return order
