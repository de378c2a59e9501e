"""The lab machine's life: up, down, status, reset.

Owns what is in the state folder. Leaves the qemu process to `process`, what the machine consists
of to `image` and `qemu`, its moments to `saving`, and what runs in it to the Pulumi program.
"""

import json
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from typing import Literal

from artefacts import CommandFailed, run, step
from artefacts.namespace import remove_tree
from config.files import write
from config.labmachine import LabMachine, load_labmachine
from labmachine import layers, preconditions, process, qmp, saving
from labmachine.accelerator import accelerator
from labmachine.image import MachineImage, machine_image
from labmachine.process import MachineError
from labmachine.qemu import Accelerator, hardware
from labmachine.ssh import make_keys, ssh_argv, sshd_answers
from labmachine.state import State

BOOT_DEADLINE_S = 300.0  # ten times what a boot takes under TCG on two busy cores
POWERDOWN_DEADLINE_S = 60.0
REMIND_S = 15.0
DISK_FULL = "io-error"  # qemu's werror=enospc stops a machine whose disk can't grow
NEEDED = "ssh libvirtd ovsdb-server ovs-vswitchd"
# Waits until starting is over, then names each needed service that isn't there.
WAIT_FOR_SERVICES = (
    "systemctl is-system-running --wait > /dev/null; "
    f"for unit in {NEEDED}; do systemctl is-active -q $unit || systemctl status -n 5 $unit; done; :"
)


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
    with process.locked(state):
        saving.require_whole(state)
        if state.pid() is None:
            saving.clean(state)
            image = _image_of(state)
            preconditions.check(settings, state)
            _create(settings, state, image)
            process.start(settings, state, image)
        else:
            _go_on(state)
            _tell_changes(settings, state)
        with step("waiting for the lab machine"):
            _wait_until_ready(settings, state)
    return status(settings, state)


def foresee(settings: LabMachine | None = None, state: State | None = None) -> None:
    """Note what a machine that was never started will be started with; KVM is tried for that."""
    settings, state = settings or load_labmachine(), state or State()
    with process.locked(state):
        if not state.hardware.exists():
            image = _image_of(state)
            _make_folder(state)
            now = hardware(settings, image, accelerator(image).accelerator)
            write(state.hardware, json.dumps(now))


def _tell_changes(settings: LabMachine, state: State) -> None:
    """Say which settings are others than the machine runs with, if that was noted."""
    if not state.hardware.exists():
        return
    has = saving.started_with(settings, state)
    accelerator: Accelerator = "kvm" if has["accelerator"] == "kvm" else "tcg"
    now = hardware(settings, MachineImage(state.image), accelerator)
    for what in ("cores", "memory", "disks"):
        if has[what] != now[what]:
            print(
                f"the lab machine runs with {what} {has[what]}; it will have {now[what]}, as "
                "labmachine.yaml says, when it is started again: lab machine down",
                file=sys.stderr,
            )


def down(state: State | None = None) -> None:
    """Switch the machine off: by its power button, else by quitting qemu, else by a signal.

    Its disks stay. The rack's nodes lose power with it.
    """
    state = state or State()
    with process.locked(state):
        if state.pid() is None:
            return
        with step("switching the lab machine off"):
            with suppress(qmp.QmpError):
                if process.guest(state) == saving.PAUSED and not saving.interrupted(state):
                    _go_on(state)
                if process.guest(state) == process.RUNNING:  # no other hears the button
                    qmp.execute(state.qmp, "system_powerdown")
                    if process.gone(state, POWERDOWN_DEADLINE_S):
                        return
            process.cut(state)


def status(settings: LabMachine | None = None, state: State | None = None) -> Status:
    """What is there now; looks only."""
    settings, state = settings or load_labmachine(), state or State()
    pid = state.pid()
    guest = process.guest(state) if pid else ""
    return Status(
        state="running" if pid else "stopped" if state.root.exists() else "absent",
        pid=pid,
        guest=guest,
        answers=guest == process.RUNNING and sshd_answers(settings),
        disk_bytes=state.bytes_held,
    )


def require_running(state: State | None = None) -> None:
    """Refuse what needs it while it is off, or at no moment.

    Raises:
        MachineError: it is so; with the command that starts it, or finishes the way back.
    """
    state = state or State()
    require_able(state)
    if state.pid() is None:
        raise MachineError("the lab machine is off; start it: lab machine up")


def require_able(state: State | None = None) -> None:
    """Refuse a machine that can't answer, though it may be on: at no moment, or standing still.

    Raises:
        MachineError: it is so; with the command that lets it go on.
    """
    state = state or State()
    saving.require_whole(state)
    stands = process.guest(state) if state.pid() is not None else ""
    if stands in (DISK_FULL, saving.PAUSED) and not process.is_locked(state):
        raise process.standstill(stands)


def reset(state: State | None = None) -> None:
    """Switch off and forget all the machine has written; the next `up` starts fresh, same keys.

    Snapshots stay, and what they need.
    """
    state = state or State()
    down(state)
    with process.locked(state):
        if state.folder.exists():
            layers.make_lowest(state)
            state.restoring.unlink(missing_ok=True)
            saving.clean(state)


def _go_on(state: State) -> None:
    """Let a machine go on that stands still: its disks couldn't grow, or a save was killed."""
    stands = process.guest(state, saving.JOB_S)  # it may still be writing memory
    if stands == DISK_FULL:
        qmp.execute(state.qmp, "cont")
    elif stands == saving.PAUSED:
        saving.settle(state)
        qmp.execute(state.qmp, "cont")
        saving.clean(state)


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
    _make_folder(state)
    make_keys(state)
    if not state.layer.exists():
        layers.make_lowest(state)
    for name, size in settings.disks.items():
        disk = state.disk(name)
        there = layers.disk_size(disk) if disk.exists() else 0
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


def _make_folder(state: State) -> None:
    state.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    state.folder.chmod(0o700)


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


def _wait_until_ready(settings: LabMachine, state: State) -> None:
    """First sshd, then every service; says what it waits for, and what the console shows."""
    began = reminded = time.monotonic()
    while not sshd_answers(settings):
        now = time.monotonic()
        if state.pid() is None:
            raise _unready(state, "its qemu process ended")
        if process.guest(state) == DISK_FULL:
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


def _unready(state: State, what: str) -> MachineError:
    lines = "".join(f"\n  | {line}" for line in state.last_console_lines())
    return MachineError(
        f"the lab machine isn't ready: {what}\n  console, last lines ({state.console_log}):{lines}"
        f"\n  qemu's messages: {state.qemu_log}"
    )
