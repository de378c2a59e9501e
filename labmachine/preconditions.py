"""What must hold before a lab machine is created: programs, memory, disk space, its port.

Owns those checks; each finding names key, value, rule and remedy, and nothing has been
created when they are raised. Leaves the settings' own limits to `config.labmachine`.
"""

import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

from artefacts.environment import search_path
from config.errors import ConfigError, Problem
from config.labmachine import LabMachine
from labmachine.state import State

MIB = 1 << 20
OVERLAY_ROOM = 2 << 30  # what the machine writes over its image: logs, definitions
QEMU_ROOM = 512 * MIB  # qemu's own memory: translated code and I/O
PROGRAMS = {
    "mmdebstrap": "apt install mmdebstrap",
    "qemu-img": "apt install qemu-utils",
    "ssh": "apt install openssh-client",
    "ssh-keygen": "apt install openssh-client",
}


def check(settings: LabMachine, state: State) -> None:
    """Raise if the machine can't run here.

    Raises:
        ConfigError: with every problem found.
    """
    found = list(problems(settings, state))
    if found:
        raise ConfigError("labmachine.yaml", found)


def problems(settings: LabMachine, state: State) -> Iterator[Problem]:
    """Why the machine couldn't be started now, in place of itself if it runs; looks only."""
    pid = state.pid()
    yield from _programs()
    yield from _memory(settings, held=_memory_of(pid) if pid else 0)
    yield from _space(settings, state)
    if not (pid and _has_port(pid, settings)):
        yield from _port(settings)


def _programs() -> Iterator[Problem]:
    for program, remedy in PROGRAMS.items():
        if shutil.which(program, path=search_path()) is None:
            yield Problem("(this machine)", program, "this program must be on PATH", remedy)


def _memory(settings: LabMachine, held: int) -> Iterator[Problem]:
    available = available_memory() + held
    if settings.memory + QEMU_ROOM > available:
        yield Problem(
            "memory", f"{settings.memory // MIB} MiB",
            f"with {QEMU_ROOM // MIB} MiB for qemu itself at most the {available // MIB} MiB "
            "that are available here",
            "lower `memory` in labmachine.yaml, or stop other programs",
        )  # fmt: skip


def _space(settings: LabMachine, state: State) -> Iterator[Problem]:
    """Of a machine that is to be made: one that is there, or in a snapshot, needs no more than it
    did; it stops when the disk is full, and tells."""
    if state.root.exists() or any(state.layers.glob("*")):
        return
    wanted = sum(settings.disks.values()) + OVERLAY_ROOM
    base = next(folder for folder in state.folder.parents if folder.is_dir())
    free = shutil.disk_usage(base).free
    if wanted > free:
        yield Problem(
            "disks", f"{wanted // MIB} MiB when all are full",
            f"at most the {free // MIB} MiB that are free under {base}",
            "make disks fewer or smaller in labmachine.yaml, or free space",
        )  # fmt: skip


def _port(settings: LabMachine) -> Iterator[Problem]:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", settings.ssh_port))
        except OSError as error:
            yield Problem(
                "ssh_port", settings.ssh_port, f"a free port on 127.0.0.1 ({error.strerror})",
                "choose another in labmachine.yaml, or stop what listens there",
            )  # fmt: skip


def _memory_of(pid: int) -> int:
    """The bytes that are free when a process ends (proc(5), /proc/pid/status)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    fields = dict(line.split(":", 1) for line in lines)
    return sum(int(fields[name].split()[0]) << 10 for name in ("RssAnon", "RssShmem"))


def _has_port(pid: int, settings: LabMachine) -> bool:
    """Whether it is this qemu that has the port (`machine_argv`)."""
    return f":{settings.ssh_port}-" in Path(f"/proc/{pid}/cmdline").read_text()


def available_memory() -> int:
    """Bytes this process may still use: MemAvailable, or less if its control groups say so."""
    fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
    return min([int(fields["MemAvailable"].split()[0]) << 10, *_group_limits()])


def _group_limits() -> Iterator[int]:
    """What is left of each control group's limit, from this process's group upwards."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, kinds, group = line.split(":", 2)
        if kinds not in {"", "memory"}:
            continue
        base = Path("/sys/fs/cgroup") / kinds
        limit, usage = ("memory.limit_in_bytes", "memory.usage_in_bytes") if kinds else (
            "memory.max", "memory.current")  # fmt: skip
        here = base / group.lstrip("/")
        for folder in [here, *(each for each in here.parents if each.is_relative_to(base))]:
            try:
                yield int((folder / limit).read_text()) - int((folder / usage).read_text())
            except (OSError, ValueError):
                continue  # no limit ("max"), or no such file at the top
