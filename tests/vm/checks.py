"""What the tests of a raised rack look at, and the load they put on it.

Owns the looking. Leaves what should be seen to the tests, and to the rack's topology.
"""

from racks import Rack

from config import addressing
from config.load import load_topology
from config.topology import LxcHost, Topology


def topology_of(rack: Rack) -> Topology:
    """What the stack's topology says at the moment."""
    return load_topology(rack.topology, rack.stack)


def assert_serves(rack: Rack, host: str | None = None) -> None:
    """Every container, or those of a host, answers on wan with the topology's pages.

    Asked from the router.
    """
    topology = topology_of(rack)
    wanted = {}
    containers = topology.of(LxcHost)[host].containers if host else topology.containers
    for inside in containers.values():
        address = addressing.container(topology, inside.host).ip
        for page, text in (inside.volume_pages | inside.share_pages).items():
            wanted[f"http://{address}/{page}"] = text
    get = "".join(f"echo {url} $(wget -T 60 -qO- {url}); " for url in wanted)
    lines = rack.lab("ssh", "router", "--", get).splitlines()
    assert wanted
    assert dict(line.split(" ", 1) for line in lines if " " in line) == wanted


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
