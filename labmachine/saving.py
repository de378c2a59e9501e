"""Saving a moment of the lab machine, and going back to one.

Owns what is asked of qemu for it, and that a run that is killed at any point leaves the old or the
new whole. Leaves the notes of each to `snapshots`, disks to `layers`.

The machine is stopped, its memory written into a file of its own, and each disk gets a new layer
over what is there (qemu-qmp-ref: snapshot-save, blockdev-snapshot). Going back starts a fresh qemu
on a new layer over that moment's, and loads the memory into it.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from artefacts import run, step
from artefacts.namespace import remove_tree
from artefacts.process import full_disk
from config.files import write
from config.labmachine import LabMachine
from labmachine import layers, preconditions, process, qmp, snapshots
from labmachine.accelerator import accelerator
from labmachine.image import MachineImage
from labmachine.process import MachineError
from labmachine.qemu import hardware
from labmachine.snapshots import MEMORY, Label, Snapshot
from labmachine.state import State

PAUSED = "paused"  # qemu's word for a machine that was stopped
SYSTEM = "system"  # its name for the disk that the machine boots from
NODE = "memory"
NAMED: dict[str, Any] = {"node-name": NODE}  # qemu's name for the file that memory goes to
LAYER = "layer-"  # its names for disks begin so, but for those it was started on
TAG = "moment"
MOST_LAYERS = 100  # a save adds one; with four disks qemu has 400 of its 1024 files open then
SPARE = 1 << 30  # beside the memory: the state of the devices
JOB_S = 600.0  # qemu answers nobody while it writes or reads memory
CUT = "the lab machine is off now, its disks are as they were before; start it: lab machine up"
Outside = Callable[[Path], None]  # what is done for a moment outside the machine, in its folder


def save(label: Label, outside: Outside, settings: LabMachine, state: State) -> Snapshot:
    """Save this moment: with memory if the machine runs, disks only if it is off.

    `outside` keeps in the folder it gets what belongs to the moment and isn't the machine's.

    Raises:
        ConfigError: the name is none.
        MachineError: there is nothing, or one of that name; or qemu can't. All is as it was.
    """
    name = label.name
    with process.locked(state):
        require_whole(state)
        clean(state)
        folder = snapshots.require_new(state, name)
        if not state.root.exists():
            raise MachineError("the lab machine has written nothing yet; make it: lab machine up")
        _require_room(state)
        warm = state.pid() is not None
        if warm:
            _require_warm(state)
        made = Snapshot(
            **asdict(label), made=datetime.now(UTC).isoformat(timespec="seconds"), warm=warm,
            layer=layers.current(state),
            hardware=started_with(settings, state),
        )  # fmt: skip
        fresh = folder.with_name(f".{name}.new")
        fresh.mkdir(parents=True, mode=0o700)
        try:
            outside(fresh)
            made.keep(fresh)
            above = layers.make_over(state, made.layer)
            if warm:
                with step("saving the lab machine's memory; it stands still"), _stopped(state):
                    _write_memory(settings, state, fresh / MEMORY)
                    _write_to(state, above)
            else:
                layers.make_current(state, above)
            run(["sync", "--file-system", fresh])
            fresh.replace(folder)
        finally:
            clean(state)
    return made


def restore(name: str, outside: Outside, settings: LabMachine, state: State) -> Snapshot:
    """Go back to a moment; what the machine has written since the last snapshot is lost.

    Raises:
        ConfigError: there is no such one, or it can't go on here. All is as it was then.
        MachineError: qemu couldn't load it; the disks are as they were before.
    """
    with process.locked(state):
        found = snapshots.named(state, name)
        verdict = accelerator(MachineImage(state.layers / found.layer / "image"))
        now = hardware(settings, MachineImage(state.image), verdict.accelerator)
        snapshots.require_fitting(found, now)
        preconditions.check(settings, state)
        before, above = layers.current(state), layers.make_over(state, found.layer)
        write(state.restoring, name)
        process.cut(state)
        try:
            layers.make_current(state, above)
            if found.warm:
                process.start(settings, state, MachineImage(state.image), paused=True)
                with step(f"loading the memory of {name}"):
                    _load_memory(state, snapshots.folder_of(state, name) / MEMORY)
        except Exception as error:
            process.cut(state)
            layers.make_current(state, before)
            state.restoring.unlink()
            if isinstance(error, MachineError | qmp.QmpError):
                raise MachineError(f"{error}\n{CUT}") from error
            raise
        outside(snapshots.folder_of(state, name))
        if found.warm:
            qmp.execute(state.qmp, "cont")
        state.restoring.unlink()
        clean(state)
    return found


def started_with(settings: LabMachine, state: State) -> dict[str, str]:
    """The hardware that the machine has, or had when it was on, whatever the settings say now."""
    if state.hardware.exists():
        found: dict[str, str] = json.loads(state.hardware.read_text())
        return found
    # It was started by a version that didn't note it.
    on_kvm = state.pid() is not None and _on_kvm(state)
    return hardware(settings, MachineImage(state.image), "kvm" if on_kvm else "tcg")


def remove(name: str, state: State) -> None:
    """Remove a snapshot, and the layers that nothing else needs.

    Raises:
        ConfigError: there is no such one.
        MachineError: the way back to it was interrupted, and has to be finished.
    """
    snapshots.named(state, name)  # before the machine is waited for
    with process.locked(state):
        snapshots.named(state, name)
        if interrupted(state) == name:
            require_whole(state)
        folder = snapshots.folder_of(state, name)
        gone = folder.with_name(f".{name}.new")
        remove_tree(gone)
        folder.replace(gone)
        clean(state)


def _require_warm(state: State) -> None:
    """Refuse to save memory where that isn't sound, or a machine that stands still.

    Linux saves a machine that runs guests of its own on Intel since 5.3, not on AMD
    (docs.kernel.org, virt/kvm/x86/running-nested-guests). Emulation has all in qemu's memory.

    Raises:
        MachineError: with the reason and the way on.
    """
    if (found := process.guest(state)) != process.RUNNING:
        raise process.standstill(found)
    vendor = Path("/proc/cpuinfo").read_text()
    if _on_kvm(state) and "AuthenticAMD" in vendor:
        raise MachineError(
            "on AMD's KVM a machine that runs guests can't be saved while it runs (Linux, "
            "running-nested-guests); switch it off, then save its disks: lab machine down"
        )


def _require_room(state: State) -> None:
    """Refuse one layer more than qemu should read through.

    Raises:
        MachineError: with what makes them fewer.
    """
    if (found := layers.depth(state)) < MOST_LAYERS:
        return
    raise MachineError(
        f"the lab machine's disks lie in {found} layers over one another, {MOST_LAYERS} is the "
        "most; remove snapshots, then start it again, which merges the layers of those that are "
        "gone: lab snapshot remove NAME, lab machine down, lab machine up"
    )


def require_whole(state: State) -> None:
    """Refuse a machine whose way back to a snapshot was interrupted: it is at no moment.

    Raises:
        MachineError: with the command that finishes it.
    """
    if told := unfinished(state):
        raise MachineError(told)


def unfinished(state: State) -> str:
    """That the way back to a snapshot was interrupted, with what to do; else ""."""
    name = interrupted(state)
    if not name:
        return ""
    return (
        f"the way back to snapshot {name} isn't finished; if it was interrupted go on with it, or "
        f"go back to another one: lab snapshot restore {name}; to give up all that the lab machine "
        "has written: lab machine reset"
    )


def interrupted(state: State) -> str:
    """The snapshot that a way back was interrupted to, or ""."""
    return state.restoring.read_text() if state.restoring.exists() else ""


def settle(state: State) -> None:
    """End what a save that was killed has left in qemu; the machine stands still all the while."""
    _drop_node(state)
    _follow(state)


def _follow(state: State) -> None:
    """Let `current` lead to where qemu writes: after a save that was killed it knows better."""
    node = next(
        str(each["inserted"]["node-name"])
        for each in qmp.execute(state.qmp, "query-block", JOB_S)
        if each["device"] == SYSTEM
    )
    written = _layer_of(node)
    if written and written != layers.current(state):
        layers.make_current(state, written)


def clean(state: State) -> None:
    """Drop what a run that was killed, or a snapshot that is gone, has left."""
    for half in state.snapshots.glob(".*.new"):
        remove_tree(half)
    runs = state.pid() is not None
    if runs:
        try:
            _follow(state)
        except qmp.QmpError:
            return  # nobody knows what it writes to
    if state.layer.exists():
        kept = snapshots.layers_kept(state)
        layers.drop_unneeded(state, kept)
        if not runs:
            layers.merge(state, kept)


@contextmanager
def _stopped(state: State) -> Iterator[None]:
    qmp.execute(state.qmp, "stop")
    try:
        yield
    finally:
        qmp.execute(state.qmp, "cont")


def _write_memory(settings: LabMachine, state: State, file: Path) -> None:
    size = settings.memory + SPARE
    run(["qemu-img", "create", "-q", "-f", "qcow2", file, str(size)])
    with _node(state, file):
        try:
            _job(state, "snapshot-save")
        except MachineError as error:  # qemu says "Input/output error"
            raise MachineError(full_disk(file.parent) or str(error)) from error
    run(["sync", file])


def _load_memory(state: State, file: Path) -> None:
    with _node(state, file):
        _job(state, "snapshot-load")


@contextmanager
def _node(state: State, file: Path) -> Iterator[None]:
    """Give qemu the file; who is interrupted too takes it away again, once qemu is done with it."""
    _drop_node(state)  # of a run that was killed
    backing = {"driver": "file", "filename": str(file)}
    qmp.execute(state.qmp, "blockdev-add", driver="qcow2", file=backing, **NAMED)
    try:
        yield
    except KeyboardInterrupt:
        # such a job goes on to its end, whoever cancels it (qemu, migration/savevm.c)
        print("interrupted; waiting until qemu is done with its file …", file=sys.stderr)
        raise
    finally:
        _drop_node(state)


def _drop_node(state: State) -> None:
    """Wait for the end of qemu's jobs, then take its file for memory away, if it has one."""
    for job in qmp.execute(state.qmp, "query-jobs", JOB_S):
        _end(state, job["id"])
    nodes = qmp.execute(state.qmp, "query-named-block-nodes", JOB_S, flat=True)
    if any(each["node-name"] == NODE for each in nodes):
        qmp.execute(state.qmp, "blockdev-del", **NAMED)


def _job(state: State, command: str) -> None:
    """Run a job of qemu's.

    Raises:
        MachineError: it failed, with qemu's word.
    """
    arguments: dict[str, Any] = {"job-id": command, "tag": TAG, "vmstate": NODE, "devices": [NODE]}
    qmp.execute(state.qmp, command, JOB_S, **arguments)
    if wrong := _end(state, command):
        raise MachineError(f"qemu's {command} failed: {wrong}")


def _end(state: State, job: str) -> str:
    """Wait for a job's end; what went wrong, or ""."""
    deadline = time.monotonic() + JOB_S
    while (found := _status_of(state, job))["status"] != "concluded":
        if time.monotonic() > deadline:
            raise MachineError(f"qemu's {job} has no end after {JOB_S:.0f} s: {found}")
        time.sleep(0.1)
    qmp.execute(state.qmp, "job-dismiss", id=job)
    return str(found.get("error", ""))


def _status_of(state: State, job: str) -> dict[str, Any]:
    jobs: list[dict[str, Any]] = qmp.execute(state.qmp, "query-jobs", JOB_S)
    return next(each for each in jobs if each["id"] == job)


def _write_to(state: State, layer: str) -> None:
    """Let the machine that runs write to another layer, all disks at one moment."""
    actions = [
        {
            "type": "blockdev-snapshot-sync",
            "data": {
                "device": SYSTEM if file.stem == "root" else file.stem.removeprefix("disk-"),
                "snapshot-file": str(file), "format": "qcow2", "mode": "existing",
                "snapshot-node-name": _node_of(layer, number),
            },
        }
        for number, file in enumerate(layers.disks(state.layers / layer))
    ]  # fmt: skip
    qmp.execute(state.qmp, "transaction", actions=actions)
    layers.make_current(state, layer)


def _node_of(layer: str, disk: int) -> str:
    """qemu's name for a disk of a layer, 31 characters at most.

    It is what qemu tells of a layer for sure: of a file it tells all options, as JSON, where what
    lies below isn't what the file's own head says.
    """
    return f"{LAYER}{layer}-{disk}"


def _layer_of(node: str) -> str:
    """The layer that such a name is of, or "": the one that qemu was started on."""
    return node.removeprefix(LAYER).split("-")[0] if node.startswith(LAYER) else ""


def _on_kvm(state: State) -> bool:
    return bool(qmp.execute(state.qmp, "query-kvm")["enabled"])
