"""What machines cost while nothing is asked of them: KVM's exits and CPU time, by libvirt's count.

Owns the measurement. Leaves showing it to `main`. An exit is counted where the machine's qemu
runs: a guest's in its node, which itself exits to the lab machine several times for each.
"""

import re
import time
from dataclasses import dataclass

from artefacts import LabError
from config import names
from config.settings import Settings
from lab.remote import LOOK_S, VIRSH, ask

DOMAINS = [*VIRSH.split(), "domstats", "--vcpu", "--cpu-total"]
NS = 10**9
COUNTS = re.compile(r"(cpu\.time|vcpu\.\d+\.exits\.sum)=(\d+)")


@dataclass(frozen=True)
class Cost:
    """`exits_per_s`: of all its CPUs; `cpu_share`: of one core of the machine it runs on."""

    exits_per_s: float
    cpu_share: float


@dataclass(frozen=True)
class _Reading:
    at: float
    exits: int
    cpu_ns: int


def idle_costs(settings: Settings, seconds: float) -> dict[str, Cost]:
    """Each machine's cost, measured over `seconds` in which nothing else is asked of it.

    Raises:
        LabError: a machine is off, or was started anew in between.
    """
    machines = settings.topology.machines
    first = {name: _read(settings, name) for name in machines}
    time.sleep(seconds)
    costs = {}
    for name, before in first.items():
        after = _read(settings, name)
        if after.cpu_ns < before.cpu_ns:
            raise LabError(f"{name} was started anew while it was measured; run it again")
        took = after.at - before.at
        costs[name] = Cost(
            exits_per_s=round((after.exits - before.exits) / took, 1),
            cpu_share=round((after.cpu_ns - before.cpu_ns) / NS / took, 4),
        )
    return costs


def _read(settings: Settings, name: str) -> _Reading:
    host = settings.host_of(name)
    text = ask(settings, host, [*DOMAINS, names.domain(settings.stack, name)], timeout_s=LOOK_S)
    counts = [(key, int(value)) for key, value in COUNTS.findall(text)]
    return _Reading(
        at=time.monotonic(),
        exits=sum(value for key, value in counts if key != "cpu.time"),
        cpu_ns=sum(value for key, value in counts if key == "cpu.time"),
    )
