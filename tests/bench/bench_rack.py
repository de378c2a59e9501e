"""What a raised rack costs and bears, in figures: memory, throughput, pauses, all booted at once.

It cuts the power of storage nodes and, at last, of all servers. Prints one table a part; run by
`make bench-rack`, parts by name: `make bench-rack PART=boots`.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import pairwise
from statistics import median

from config import names, stacks
from config.settings import Settings, load_settings
from config.topology import LxcHost, NbdUser, NfsServer, San, Server, StorageNode, Topology
from lab.converge import wait_ready
from lab.power import Action, power
from lab.remote import ask, on_lab_machine

MIB = 12  # of a sequential transfer; minutes each where all is emulated
ROUNDS = 3
# Beyond what volumes use, with the zeros that are there, so the array stays what it is.
RAW = "dd if=/dev/zero of=/dev/md0 seek={at} bs=1M count={mib} oflag=direct conv=notrunc,fsync"
RAW_BACK = "dd if=/dev/md0 of=/dev/null skip={at} bs=1M count={mib} iflag=direct"
WRITE = "dd if=/dev/zero of={folder}/bench bs=1M count={mib} oflag=direct conv=fsync"
READ = "dd if={folder}/bench of=/dev/null bs=1M count={mib} iflag=direct"
# A line a finished write: seconds of the machine's own clock.
HEARTBEAT = """
rm -f {folder}/beat.end
while [ ! -e {folder}/beat.end ]; do
    dd if=/dev/zero of={folder}/beat bs=4k count=1 conv=notrunc,fsync 2>/dev/null
    cut -d' ' -f1 /proc/uptime
    usleep 200000
done >/run/beat{number} 2>&1 &
"""


def memory(settings: Settings) -> None:
    """MiB: what a machine has, what of it is in use, and what its qemu takes beside it."""
    print(f"{'machine':10} {'has':>6} {'in use':>7} {'qemu':>6}")
    total = [0, 0, 0]
    for name, machine in settings.topology.machines.items():
        inside = "sed -n 's/^MemTotal: *//p;s/^MemAvailable: *//p' /proc/meminfo"
        had, free = (int(line.split()[0]) for line in _sh(settings, name, inside).splitlines())
        domain = names.domain(settings.stack, name)
        resident = f"grep ^VmRSS /proc/$(pgrep -of guest={domain},)/status"
        beside = int(_sh(settings, settings.host_of(name), resident).split()[1])
        row = [machine.memory >> 20, (had - free) >> 10, beside >> 10]
        total = [a + b for a, b in zip(total, row, strict=True)]
        print(f"{name:10} {row[0]:6} {row[1]:7} {row[2]:6}")
    print(f"{'all':10} {total[0]:6} {total[1]:7} {total[2]:6}")
    print(on_lab_machine(settings, "free -m | head -2"))


def throughput(settings: Settings) -> None:
    """MiB/s, median: the raw array of the node with lxc's SAN, NBD and NFS in lxc; their shares."""
    name, host = next(iter(settings.topology.of(LxcHost).items()))
    node = _storage_nodes(settings.topology, host)[0]
    at = (min(settings.topology.of(StorageNode)[node].disks) >> 20) - 2 * MIB
    commands = {
        "raw write": (node, RAW.format(at=at, mib=MIB)),
        "NBD write": (name, WRITE.format(folder="/srv/volume", mib=MIB)),
        "NFS write": (name, WRITE.format(folder="/srv/share", mib=MIB)),
        "raw read": (node, RAW_BACK.format(at=at, mib=MIB)),
        "NBD read": (name, READ.format(folder="/srv/volume", mib=MIB)),
        "NFS read": (name, READ.format(folder="/srv/share", mib=MIB)),
    }
    found: dict[str, list[float]] = {what: [] for what in commands}
    for _ in range(ROUNDS):
        for what, (where, command) in commands.items():
            timed = (
                f"read a b </proc/uptime; {command} 2>/dev/null; read c d </proc/uptime; echo $a $c"
            )
            began, ended = (float(word) for word in _sh(settings, where, timed).split())
            found[what].append(MIB / (ended - began))
    for what, rates in found.items():
        raw = median(found["raw " + what.split()[1]])
        print(f"{what:10} {median(rates):7.1f} MiB/s {median(rates) / raw:7.0%} of raw")
    _sh(settings, name, "rm -f /srv/volume/bench /srv/share/bench")


def pauses(settings: Settings) -> None:
    """Seconds a writer waits while the storage node under it is reset, or one of two is off."""
    topology = settings.topology
    for name, host in topology.of(LxcHost).items():
        nodes = _storage_nodes(topology, host)
        folders = ["/srv/volume"]
        share = topology.of(NfsServer)[host.share]
        if _storage_nodes(topology, share)[0] == nodes[0]:
            folders.append("/srv/share")
        mirrored = len(nodes) > 1
        with _beats(settings, name, folders) as gaps:
            power(settings, nodes[0], Action.OFF if mirrored else Action.RESET)
            if not mirrored:
                wait_ready(settings, nodes[0])
            time.sleep(60)
        what = "off, the other leg serves" if mirrored else "reset"
        for folder, gap in zip(folders, gaps, strict=True):
            print(f"{name} {folder}: {gap:.1f} s ({nodes[0]} {what})")
        power(settings, nodes[0], Action.ON)
        for machine in (nodes[0], *topology.guests_on(nodes[0])):
            wait_ready(settings, machine)


def _storage_nodes(topology: Topology, user: NbdUser) -> list[str]:
    """The node below each leg of a guest's volume."""
    return [topology.of(San)[san].node for san, _ in user.legs]


@contextmanager
def _beats(settings: Settings, name: str, folders: list[str]) -> Iterator[list[float]]:
    """The longest time between two writes to each folder, filled in at the end."""
    gaps: list[float] = []
    for number, folder in enumerate(folders):
        _sh(settings, name, HEARTBEAT.format(folder=folder, number=number))
    time.sleep(10)
    yield gaps
    for number, folder in enumerate(folders):
        script = f"touch {folder}/beat.end; sleep 2; cat /run/beat{number}; rm {folder}/beat*"
        beats = [float(line) for line in _sh(settings, name, script).split()]
        gaps.append(max(b - a for a, b in pairwise(beats)))


def boots(settings: Settings) -> None:
    """Seconds from power-on to ready of all servers switched on at once, the boot server on."""
    servers = list(settings.topology.of(Server))
    for name in servers:
        power(settings, name, Action.OFF)
    began: dict[str, float] = {}

    def switch(name: str) -> None:
        began[name] = time.monotonic()
        power(settings, name, Action.ON)

    with ThreadPoolExecutor(len(servers)) as pool:
        list(pool.map(switch, servers))
    took = {}
    for name in servers:
        wait_ready(settings, name)
        marks = "cut -d' ' -f1 /proc/uptime; sed -n 's/^ready //p' /run/rack/timeline"
        up, ready = (float(word) for word in _sh(settings, name, marks).split())
        took[name] = time.monotonic() - (up - ready) - began[name]
        print(f"{name:10} {took[name]:6.0f} s")
    print(f"{'median':10} {median(took.values()):6.0f} s\n{'worst':10} {max(took.values()):6.0f} s")


PARTS: dict[str, Callable[[Settings], None]] = {
    each.__name__: each for each in (memory, throughput, pauses, boots)
}


def _sh(settings: Settings, name: str, script: str) -> str:
    return ask(settings, name, ["sh", "-c", script])


def main() -> None:
    """The parts named, or all."""
    stack = os.environ["STACK"]
    settings = load_settings(stack, stacks.options(stack))
    settings.write_access()
    for part in sys.argv[1:] or PARTS:
        print(f"--- {part}", flush=True)
        PARTS[part](settings)


if __name__ == "__main__":
    main()
