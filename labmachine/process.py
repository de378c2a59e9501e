"""The lab machine's qemu process: one life-cycle command at a time, starting it, ending it.

Owns asking the system and qemu for that. Leaves what the machine consists of to `image` and `qemu`,
its life to `machine`, its moments to `saving`.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from artefacts import LabError, cache, step
from config.files import write
from config.labmachine import LabMachine
from labmachine import qmp
from labmachine.accelerator import accelerator
from labmachine.emulator import environment
from labmachine.image import MachineImage
from labmachine.qemu import hardware, machine_argv
from labmachine.ssh import tell_host_key
from labmachine.state import State

QUIT_DEADLINE_S = 10.0
START_DEADLINE_S = 60.0
RUNNING = "running"  # qemu's word for a machine whose CPUs work


class MachineError(LabError):
    """The lab machine didn't do what was asked; the message says what was seen of it."""


def standstill(word: str) -> MachineError:
    """The error that the machine stands still; `word`: what `guest` says of it."""
    return MachineError(f"the lab machine stands still ({word}); let it go on: lab machine up")


@contextmanager
def locked(state: State) -> Iterator[None]:
    """One life-cycle command at a time; a second one waits."""
    state.lock.parent.mkdir(parents=True, exist_ok=True)
    with cache.locked(state.lock, waiting="the lab machine's life cycle"):
        yield


def is_locked(state: State) -> bool:
    """Whether a life-cycle command is under way."""
    if not state.lock.exists():
        return False
    with cache.locked(state.lock) as free:
        return not free


def start(settings: LabMachine, state: State, image: MachineImage, *, paused: bool = False) -> None:
    """Start qemu; `paused`: before the machine's first instruction."""
    verdict = accelerator(image)
    tell_host_key(settings, state)
    for stale in (state.pidfile, state.qmp, state.console, state.console_log):
        stale.unlink(missing_ok=True)
    if verdict.accelerator != "kvm":
        print(f"KVM isn't usable: {verdict.reason}", file=sys.stderr)
    with step(f"starting the lab machine on {verdict.accelerator}"):
        argv = machine_argv(settings, image, state, verdict.accelerator)
        argv += ["-S"] if paused else []
        # Not by -daemonize, which leaves the folder: qemu opens a disk's file anew when a layer is
        # put over it, and in its own folder it finds it also when the project was moved.
        with state.qemu_log.open("ab") as log:
            qemu = subprocess.Popen(
                argv, cwd=state.folder, env=environment(), stdin=subprocess.DEVNULL,
                stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        deadline = time.monotonic() + START_DEADLINE_S
        while not guest(state):
            if qemu.poll() is not None:
                said = state.qemu_log.read_text(errors="replace").strip().splitlines()[-1:]
                raise MachineError(f"qemu ended at once: {''.join(said)} ({state.qemu_log})")
            if time.monotonic() > deadline:
                qemu.kill()
                raise MachineError(f"qemu doesn't answer after {START_DEADLINE_S:.0f} s")
            time.sleep(0.1)
    write(state.hardware, json.dumps(hardware(settings, image, verdict.accelerator)))


def guest(state: State, timeout_s: float = qmp.TIMEOUT_S) -> str:
    """qemu's word for what the machine's CPUs do (RunState in qemu-qmp-ref), or ""."""
    with suppress(qmp.QmpError):
        return str(qmp.execute(state.qmp, "query-status", timeout_s)["status"])
    return ""


def gone(state: State, patience_s: float) -> bool:
    """Whether it ends within that."""
    deadline = time.monotonic() + patience_s
    while state.pid() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def cut(state: State) -> None:
    """End it at once, as a power cut does.

    Raises:
        MachineError: its process can't be killed.
    """
    pid = state.pid()
    if pid is None:
        return
    with suppress(qmp.QmpError):
        qmp.execute(state.qmp, "quit")
        if gone(state, QUIT_DEADLINE_S):
            return
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    if not gone(state, QUIT_DEADLINE_S):
        raise MachineError(f"the lab machine's process {pid} can't be killed")
