"""What the tests of a raised rack look at, and the load they put on it.

Owns the looking. Leaves what should be seen to the tests, and to the rack's topology.
"""

import math
import subprocess
import time
from datetime import UTC, datetime

from racks import PROJECT, Rack

from config import addressing
from config.access import LAB_MACHINE
from config.load import load_topology
from config.topology import LxcHost, Topology
from lab import kept


def topology_of(rack: Rack) -> Topology:
    """What the stack's topology says at the moment."""
    return load_topology(rack.topology, rack.stack)


def assert_serves(rack: Rack, host: str | None = None) -> None:
    """Every container, or those of a host, answers on wan with the topology's pages in a minute.

    Asked from the router, again where nobody answered: on a busy machine an ARP request times out.
    """
    topology = topology_of(rack)
    wanted = {}
    containers = topology.of(LxcHost)[host].containers if host else topology.containers
    for inside in containers.values():
        address = addressing.container(topology, inside.host).ip
        for page, text in (inside.volume_pages | inside.share_pages).items():
            wanted[f"http://{address}/{page}"] = text
    get = "for n in $(seq 20); do wget -T 60 -qO- $url && break; sleep 3; done"
    asked = "".join(f"url={url}; echo $url $({get}); " for url in wanted)
    lines = rack.lab("ssh", "router", "--", asked).splitlines()
    answers = (line.partition(" ") for line in lines if line.startswith("http://"))
    assert wanted
    assert {url: text for url, _, text in answers} == wanted


def assert_keeps_commits(rack: Rack) -> None:
    """What `lbu commit` brought the boot servers is drift until the next `up`, and booted then."""
    rack.lab("ssh", "router", "--", "echo kept >/etc/rack/kept; lbu commit")
    rack.pulumi("refresh", "--yes", "--skip-preview")
    assert rack.planned() == {"router-changes": "update"}
    rack.pulumi("up", "--yes", "--skip-preview")
    assert rack.planned() == {}
    rack.lab("power", "router", "cycle")
    rack.lab("wait", "router")
    assert rack.lab("ssh", "router", "--", "cat", "/etc/rack/kept") == "kept\n"


def go_back(rack: Rack) -> None:
    """To the rack and its topology as they were raised; its clock is right then."""
    rack.reset_topology()
    rack.lab("snapshot", "restore", kept.name_of(rack.stack), "--yes")
    assert_clock(rack)  # tests tell times by it


def boots(rack: Rack, *machines: str) -> dict[str, str]:
    """An id of each machine's present run."""
    where = "/proc/sys/kernel/random/boot_id"
    return {name: rack.lab("ssh", name, "--", "cat", where).strip() for name in machines}


def assert_array(rack: Rack, machine: str, *, whole: bool) -> None:
    """All members of a machine's array work, or one doesn't, within five minutes."""
    members = "U*" if whole else "U*_U*"
    look = f"grep -q '\\[{members}\\]' /proc/mdstat"
    script = f"for n in $(seq 300); do {look} && exit; sleep 1; done; cat /proc/mdstat; exit 1"
    rack.lab("ssh", machine, "--", script)


CLOCK_S = 120  # an NTP client asks each 16 s, and believes the second or third answer
TIME = "while read -r _; do touch /run/clock; stat -c %y /run/clock; done"


def assert_clock(rack: Rack, *machines: str) -> None:
    """Clocks are right within a second, by this machine's, in two minutes; prints how far off.

    The lab machine's, where none is named.
    """
    began, names = time.monotonic(), machines or (LAB_MACHINE,)
    late = dict.fromkeys(names, math.inf)
    while wrong := [name for name, off in late.items() if abs(off) >= 1]:
        assert time.monotonic() - began < CLOCK_S, f"clocks are seconds late: {late}"
        late |= {name: _late(rack, name) for name in wrong}
    told = ", ".join(f"{name} {off:+.2f}" for name, off in late.items())
    print(f"right after {time.monotonic() - began:.0f} s; late by s: {told}")


def _late(rack: Rack, machine: str) -> float:
    """How far a machine's clock is behind this one's, by the quickest of five answers."""
    argv = ["lab", "--stack", rack.stack, "ssh", machine, "--", TIME]
    answers = []
    with subprocess.Popen(
        argv, cwd=PROJECT, env=rack.environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True,
    ) as session:  # fmt: skip
        assert session.stdin and session.stdout
        for _ in range(5):
            asked = time.time()
            session.stdin.write("\n")
            session.stdin.flush()
            said = datetime.fromisoformat(session.stdout.readline()[:26]).replace(tzinfo=UTC)
            heard = time.time()
            answers.append((heard - asked, (asked + heard) / 2 - said.timestamp()))
    return min(answers)[1]


class Writer:
    """Writes random data to a file of a machine in the background, and knows its checksum."""

    def __init__(self, rack: Rack, machine: str, file: str, mebibytes: int) -> None:
        self._rack, self._machine, self._file = rack, machine, file
        self._end = f"/run/written{file.replace('/', '-')}"
        data = f"dd if=/dev/urandom bs=64k count={mebibytes * 16} 2>/dev/null"
        write = (
            f"{data} | tee {file} | sha256sum >{self._end}.sum && sync && echo done >{self._end}"
        )
        self._ask(f"rm -f {self._end}; ({write}) >{self._end}.log 2>&1 &")

    def assert_written(self) -> None:
        """It ended without an error, and the file holds what was written, read from the disk."""
        self._ask(f"for n in $(seq 600); do [ -e {self._end} ] && exit; sleep 1; done; exit 1")
        assert self._ask(f"cat {self._end}.log") == ""
        self._ask("echo 3 >/proc/sys/vm/drop_caches")
        wanted = self._ask(f"cat {self._end}.sum").split()[0]
        assert self._ask(f"sha256sum {self._file}").split()[0] == wanted

    def _ask(self, script: str) -> str:
        return self._rack.lab("ssh", self._machine, "--", script)
