"""The lab machine's life: up, down, status, reset.

Owns the state folder and the qemu process. Leaves what the machine consists of to `image`
and `qemu`, and what runs in it to the Pulumi program.
"""

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Literal

from artefacts import CommandFailed, run, step
from artefacts.cache import locked
from artefacts.namespace import remove_tree
from config.labmachine import LabMachine, load_labmachine
from labmachine import preconditions, qmp
from labmachine.accelerator import accelerator
from labmachine.emulator import environment
from labmachine.image import MachineImage, machine_image
from labmachine.qemu import machine_argv
from labmachine.ssh import make_keys, ssh_argv, sshd_answers
from labmachine.state import State

BOOT_DEADLINE_S = 300.0  # ten times what a boot takes under TCG on two busy cores
POWERDOWN_DEADLINE_S = 60.0
QUIT_DEADLINE_S = 10.0
REMIND_S = 15.0
DISK_FULL = "io-error"  # qemu's werror=enospc stops a machine whose disk can't grow
NEEDED = "ssh libvirtd ovsdb-server ovs-vswitchd"
# Waits until starting is over, then names each needed service that isn't there.
WAIT_FOR_SERVICES = (
    "systemctl is-system-running --wait > /dev/null; "
    f"for unit in {NEEDED}; do systemctl is-active -q $unit || systemctl status -n 5 $unit; done; :"
)


class MachineError(RuntimeError):
    """The lab machine didn't do what was asked; the message says what was seen of it."""


@dataclass(frozen=True)
class Status:
    """`stopped` has disks that `up` takes up again; `absent` has nothing."""

    state: Literal["absent", "stopped", "running"]
    pid: int | None
    guest: str  # qemu's word for what its CPUs do (RunState in qemu-qmp-ref), or ""
    answers: bool  # its sshd greets
    disk_bytes: int  # what its files take on the user's machine


def up(settings: LabMachine | None = None, state: State | None = None) -> Status:
    """Start the lab machine if it isn't running, and wait until its services are up.

    Raises:
        ConfigError: before anything is created, when it can't run here.
        MachineError: when it doesn't come up in 300 s; says which phase, and shows its console.
    """
    settings, state = settings or load_labmachine(), state or State()
    with _locked(state):
        if state.pid() is None:
            image = _image_of(state)
            preconditions.check(settings, state)
            _create(settings, state, image)
            _start(settings, state, image)
        elif _guest(state) == DISK_FULL:
            qmp.execute(state.qmp, "cont")  # it tries to write again
        with step("waiting for the lab machine"):
            _wait_until_ready(settings, state)
    return status(settings, state)


def down(state: State | None = None) -> None:
    """Switch the machine off: by its power button, else by quitting qemu, else by a signal.

    Its disks stay. The rack's nodes lose power with it.
    """
    state = state or State()
    with _locked(state):
        pid = state.pid()
        if pid is None:
            return
        with step("switching the lab machine off"):
            for command, patience in (
                ("system_powerdown", POWERDOWN_DEADLINE_S), ("quit", QUIT_DEADLINE_S),
            ):  # fmt: skip
                with suppress(qmp.QmpError):
                    qmp.execute(state.qmp, command)
                    if _gone(state, patience):
                        return
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
            if not _gone(state, QUIT_DEADLINE_S):
                raise MachineError(f"the lab machine's process {pid} can't be killed")


def status(settings: LabMachine | None = None, state: State | None = None) -> Status:
    """What is there now; looks only."""
    settings, state = settings or load_labmachine(), state or State()
    pid = state.pid()
    files = [file for file in state.folder.glob("*") if file.is_file() and not file.is_symlink()]
    return Status(
        state="running" if pid else "stopped" if state.root.exists() else "absent",
        pid=pid,
        guest=_guest(state) if pid else "",
        answers=pid is not None and sshd_answers(settings),
        disk_bytes=sum(file.stat().st_blocks * 512 for file in files),
    )


def require_running(state: State | None = None) -> None:
    """Refuse what needs it while it is off.

    Raises:
        MachineError: it is off; with the command that starts it.
    """
    if (state or State()).pid() is None:
        raise MachineError("the lab machine is off; start it: lab machine up")


def reset(state: State | None = None) -> None:
    """Switch off and forget all the machine has written; the next `up` starts fresh, same keys."""
    state = state or State()
    down(state)
    with _locked(state):
        for file in (state.root, *state.folder.glob("disk-*.raw")):
            file.unlink(missing_ok=True)
        remove_tree(state.image)


@contextmanager
def _locked(state: State) -> Iterator[None]:
    """One life-cycle command at a time; a second one waits."""
    state.lock.parent.mkdir(parents=True, exist_ok=True)
    with locked(state.lock, waiting="the lab machine's life cycle"):
        yield


def _image_of(state: State) -> MachineImage:
    """The image an existing machine lies on, else the newest."""
    if not state.root.exists():
        return machine_image()
    image = MachineImage(state.image)
    if not image.disk.exists():
        raise MachineError(
            f"the lab machine's image {image.folder} is gone, so what it wrote is useless; "
            "reset it (its physical disks are lost too): lab machine reset"
        )
    return image


def _create(settings: LabMachine, state: State, image: MachineImage) -> None:
    """Whatever the machine needs and isn't there: keys, root overlay, disks."""
    state.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.folder.chmod(0o700)
    make_keys(settings, state)
    for name, size in settings.disks.items():
        disk = state.disk(name)
        there = disk.stat().st_size if disk.exists() else 0
        if not there:  # none, or a run was killed before the disk had its size
            with disk.open("wb") as file:
                file.truncate(size)
        elif there != size:
            raise MachineError(
                f"disks.{name} is {size} bytes in labmachine.yaml, the existing disk has "
                f"{there}; set it back, or lose what is on all: lab machine reset"
            )
    if not state.root.exists():
        _take_image(image, state)
        new = state.root.with_suffix(".new")
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "raw",
             "-b", f"{state.image.name}/{image.disk.name}", new])  # fmt: skip
        run(["sync", new])
        new.rename(state.root)


def _take_image(image: MachineImage, state: State) -> None:
    """Give the machine the image for as long as it exists, whatever becomes of the cache.

    Hard links cost nothing; another file system than the cache's gets a copy. Named from the
    machine's folder, it is found when the project has moved.
    """
    remove_tree(state.image)
    new = state.image.with_suffix(".new")
    remove_tree(new)
    new.mkdir()
    for file in (image.disk, image.kernel, image.initrd):
        try:
            (new / file.name).hardlink_to(file)
        except OSError:
            run(["cp", "--sparse=always", file, new])
    run(["sync", "--file-system", new])
    new.rename(state.image)


def _start(settings: LabMachine, state: State, image: MachineImage) -> None:
    verdict = accelerator(image)
    for stale in (state.pidfile, state.qmp, state.console, state.console_log):
        stale.unlink(missing_ok=True)
    speed = "" if verdict.accelerator == "kvm" else f"; KVM isn't usable: {verdict.reason}"
    with step(f"starting the lab machine on {verdict.accelerator}{speed}"):
        argv = machine_argv(settings, image, state, verdict.accelerator)
        run(argv, cwd=state.folder, log=state.qemu_log, env=environment())


def _gone(state: State, patience_s: float) -> bool:
    deadline = time.monotonic() + patience_s
    while state.pid() is not None:
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def _wait_until_ready(settings: LabMachine, state: State) -> None:
    """First sshd, then every service; says what it waits for, and what the console shows."""
    began = reminded = time.monotonic()
    while not sshd_answers(settings):
        now = time.monotonic()
        if state.pid() is None:
            raise _unready(state, "its qemu process ended")
        if _guest(state) == DISK_FULL:
            raise _unready(
                state,
                f"the file system of {state.folder} is full, so qemu has stopped the machine; "
                "free space, then go on: lab machine up",
            )
        if now - began > BOOT_DEADLINE_S:
            raise _unready(state, f"no ssh after {BOOT_DEADLINE_S:.0f} s")
        if now - reminded > REMIND_S:
            reminded = now
            last = next(iter(state.last_console_lines(1)), "nothing yet")
            print(f"  {now - began:.0f} s, no ssh yet; console: {last}", file=sys.stderr)
        time.sleep(0.5)
    left = max(30.0, BOOT_DEADLINE_S - (time.monotonic() - began))
    try:
        missing = run(ssh_argv(settings, state, WAIT_FOR_SERVICES), timeout_s=left)
    except CommandFailed as error:
        raise _unready(state, f"its services: {error}") from error
    if missing:
        raise _unready(state, f"services that didn't start:\n{missing}")


def _guest(state: State) -> str:
    with suppress(qmp.QmpError):
        return str(qmp.execute(state.qmp, "query-status")["status"])
    return ""


def _unready(state: State, what: str) -> MachineError:
    lines = "".join(f"\n  | {line}" for line in state.last_console_lines())
    return MachineError(
        f"the lab machine isn't ready: {what}\n  console, last lines ({state.console_log}):{lines}"
        f"\n  qemu's messages: {state.qemu_log}"
    )
