"""Layers of disks and notes of snapshots, with real qemu-img and no machine."""

import json
from pathlib import Path

import pytest

from artefacts import run
from config.errors import ConfigError
from config.labmachine import LabMachine
from labmachine import layers, machine, saving, snapshots
from labmachine.image import MachineImage
from labmachine.process import MachineError
from labmachine.qmp import QmpError
from labmachine.snapshots import Label, Snapshot
from labmachine.state import State

SETTINGS = LabMachine.model_validate({"disks": {"disk1": "64MiB"}})
HARDWARE = {"qemu": "a", "accelerator": "tcg", "cores": "2", "memory": "1GiB", "disks": "disk1",
            "devices": "q35"}  # fmt: skip


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    """A machine that is off and has written something, in a folder of any name."""
    made = State(tmp_path / "my rack ü#1%41" / "machine")
    image = MachineImage(tmp_path / "image")
    image.folder.mkdir()
    image.disk.write_bytes(b"\0" * 65536)
    image.kernel.write_bytes(b"kernel")
    image.initrd.write_bytes(b"initrd")
    monkeypatch.setattr("labmachine.saving.hardware", lambda *_: HARDWARE)
    machine._create(SETTINGS, made, image)
    write(made, "first")
    return made


def write(state: State, text: str) -> None:
    """As the machine would, at the begin of its disk."""
    disk = state.disk("disk1")
    run(
        ["qemu-io", "-f", layers.disk_format(disk), "-c", f"write -q -P {ord(text[0])} 0 64k", disk]
    )


def read(state: State) -> str:
    disk = state.disk("disk1")
    told = run(["qemu-io", "-f", layers.disk_format(disk), "-r", "-c", "read -v 0 1", disk])
    return chr(int(told.split(":")[1].split()[0], 16))


def save(state: State, name: str) -> Snapshot:
    return saving.save(Label(name, "", "c0ffee", ("mini",), ""), lambda _: None, SETTINGS, state)


def restore(state: State, name: str) -> None:
    found = snapshots.named(state, name)
    above = layers.make_over(state, found.layer)
    layers.make_current(state, above)
    saving.clean(state)


def test_what_is_written_later_is_gone_when_one_goes_back(state: State) -> None:
    save(state, "one")
    assert read(state) == "f"
    write(state, "second")
    save(state, "two")
    write(state, "third")
    restore(state, "one")
    assert read(state) == "f"
    restore(state, "two")
    assert read(state) == "s"
    assert layers.disk_size(state.disk("disk1")) == 64 << 20


def test_a_snapshot_takes_no_bytes_twice(state: State) -> None:
    run(["qemu-io", "-f", "raw", "-c", "write -q -P 1 0 8M", state.disk("disk1")])
    before = state.bytes_held
    for name in ("one", "two", "three"):
        save(state, name)
    assert state.bytes_held - before < 4 << 20


def test_layers_go_with_the_last_snapshot_that_needs_them(state: State) -> None:
    save(state, "one")
    save(state, "two")
    assert len(list(state.layers.iterdir())) == 3
    saving.remove("one", state)
    assert len(list(state.layers.iterdir())) == 3  # it is the lowest, two lies over it
    restore(state, "two")
    machine.reset(state)
    assert machine.status(SETTINGS, state).state == "absent"
    assert [each.name for each in snapshots.all_of(state)] == ["two"]
    restore(state, "two")
    assert read(state) == "f"
    machine.reset(state)
    saving.remove("two", state)
    assert len(list(state.layers.iterdir())) == 1
    assert list(state.snapshots.iterdir()) == []


def test_a_machine_may_be_saved_more_often_than_a_path_may_have_links(state: State) -> None:
    """Linux follows 40 (path_resolution(7))."""
    for _ in range(45):
        layers.make_current(state, layers.make_over(state, layers.current(state)))
    assert read(state) == "f"
    assert MachineImage(state.image).kernel.read_bytes() == b"kernel"


def test_the_layers_of_snapshots_that_are_gone_become_one(state: State) -> None:
    for name in ("one", "two", "three", "four"):
        save(state, name)
        write(state, name.upper())
    for name in ("two", "three"):
        saving.remove(name, state)
    assert layers.depth(state) == 3  # the lowest is one's, then four's, and the current one
    assert len(list(state.layers.iterdir())) == 3
    assert read(state) == "F"
    restore(state, "four")
    assert read(state) == "T"
    restore(state, "one")
    assert read(state) == "f"


def test_a_layer_that_several_lie_over_stays(state: State) -> None:
    for name in ("one", "two"):
        save(state, name)
    write(state, "shared")
    save(state, "branch")
    for name in ("left", "right"):
        restore(state, "branch")
        write(state, name)
        save(state, name)
    saving.remove("two", state)
    saving.remove("branch", state)
    assert read(state) == "r"
    restore(state, "left")
    assert read(state) == "l"
    assert layers.depth(state) == 4  # one's, what both lie over, left's, the current one


def test_who_is_killed_while_merging_can_merge_again(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(state, "one")
    save(state, "two")
    write(state, "second")
    save(state, "three")
    write(state, "third")
    with monkeypatch.context() as patched:
        patched.setattr(layers, "_link", _killed)
        with pytest.raises(KeyboardInterrupt):
            saving.remove("three", state)
    assert read(state) == "t"
    assert layers.depth(state) == 4
    saving.clean(state)
    assert layers.depth(state) == 3
    assert read(state) == "t"
    restore(state, "two")
    assert read(state) == "f"


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


def test_too_many_layers_are_refused_with_what_makes_them_fewer(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "MOST_LAYERS", 3)
    save(state, "one")
    save(state, "two")
    with pytest.raises(MachineError, match="lab snapshot remove NAME, lab machine down, lab"):
        save(state, "three")
    saving.remove("one", state)
    assert layers.depth(state) == 3  # the lowest stays
    saving.remove("two", state)
    save(state, "three")


def test_disks_that_are_older_than_layers_are_kept(state: State) -> None:
    for file in state.layer.iterdir():
        file.rename(state.folder / file.name)
    state.current.unlink()
    assert read(state) == "f"
    save(state, "one")
    write(state, "second")
    restore(state, "one")
    assert read(state) == "f"
    machine.reset(state)
    assert (state.folder / "root.qcow2").exists()
    saving.remove("one", state)
    assert not (state.folder / "root.qcow2").exists()
    assert not (state.folder / "image").exists()


def test_the_project_may_be_moved(state: State, tmp_path: Path) -> None:
    save(state, "one")
    write(state, "second")
    (tmp_path / "moved").mkdir()
    moved = State(tmp_path / "moved" / "machine")
    state.folder.rename(moved.folder)
    state.snapshots.rename(moved.snapshots)
    assert read(moved) == "s"
    restore(moved, "one")
    assert read(moved) == "f"
    assert MachineImage(moved.image).kernel.read_bytes() == b"kernel"


def test_a_save_that_fails_leaves_what_was(state: State) -> None:
    def full(_folder: Path) -> None:
        raise OSError(28, "No space left on device")

    before = sorted(state.folder.rglob("*"))
    with pytest.raises(OSError, match="No space"):
        saving.save(Label("one", "", "", (), ""), full, SETTINGS, state)
    assert sorted(state.folder.rglob("*")) == before
    assert list(snapshots.all_of(state)) == []
    assert list(state.snapshots.iterdir()) == []


def test_what_a_killed_save_left_goes_with_the_next(state: State) -> None:
    (state.snapshots / ".one.new").mkdir(parents=True)
    (state.snapshots / ".one.new" / "memory.qcow2").write_bytes(b"half")
    layers.make_over(state, layers.current(state))
    save(state, "two")
    assert [each.name for each in state.snapshots.iterdir()] == ["two"]
    assert len(list(state.layers.iterdir())) == 2


def test_what_a_machine_writes_to_is_kept_whatever_a_killed_save_has_left(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed between qemu's change and the link's; test_labmachine_vm has it for real."""
    save(state, "one")
    above = layers.make_over(state, layers.current(state))
    told = {"device": "system", "inserted": {"node-name": f"layer-{above}-0"}}
    monkeypatch.setattr(State, "pid", lambda _: 1)
    monkeypatch.setattr("labmachine.qmp.execute", lambda *_, **__: [told])
    saving.clean(state)
    assert layers.current(state) == above
    assert (state.layers / above / "root.qcow2").exists()

    def silent(*_: object, **__: object) -> None:
        raise QmpError("silent")

    monkeypatch.setattr("labmachine.qmp.execute", silent)
    unknown = layers.make_over(state, above)
    saving.clean(state)
    assert (state.layers / unknown).exists()


def test_a_name_is_taken_once_and_names_no_other_folder(state: State) -> None:
    save(state, "one")
    with pytest.raises(MachineError, match="lab snapshot remove one"):
        save(state, "one")
    for name in ("", ".", "..", "../x", "a/b", "-x", ".one.new", "a b", "x" * 65):
        with pytest.raises(ConfigError, match="choose another name"):
            save(state, name)
    with pytest.raises(ConfigError, match="one of: one"):
        snapshots.named(state, "on")
    with pytest.raises(ConfigError, match="was refused, nothing was changed"):
        saving.remove("on", state)
    saving.remove("one", state)
    with pytest.raises(ConfigError, match="there are no snapshots"):
        snapshots.named(state, "one")


def test_an_interrupted_way_back_is_told_by_what_needs_the_machine(state: State) -> None:
    save(state, "one")
    state.restoring.write_text("one")
    acts = (
        lambda: machine.up(SETTINGS, state),
        lambda: save(state, "two"),
        lambda: saving.remove("one", state),
        lambda: machine.require_running(state),
    )
    for act in acts:
        with pytest.raises(MachineError, match="lab snapshot restore one"):
            act()
    assert snapshots.named(state, "one")


def test_an_interrupted_way_back_can_be_given_up(state: State) -> None:
    save(state, "one")
    state.restoring.write_text("one")
    machine.reset(state)
    saving.require_whole(state)
    assert snapshots.named(state, "one")


def test_a_moment_notes_the_hardware_that_the_machine_was_started_with(state: State) -> None:
    assert save(state, "one").hardware == HARDWARE
    state.hardware.write_text('{"memory": "8GiB"}')
    assert save(state, "two").hardware == {"memory": "8GiB"}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({}, ""),
        ({"memory": "2GiB", "devices": "other"}, "set `memory` in labmachine.yaml back"),
        ({"cores": "1", "devices": "other"}, "set `cores`"),
        ({"disks": "disk1, disk2", "devices": "other"}, "set `disks`"),
        ({"qemu": "b"}, "make the snapshot anew"),
        ({"accelerator": "kvm", "devices": "other"}, "make the snapshot anew"),
        ({"devices": "other"}, "make the snapshot anew"),
    ],
)
def test_what_can_t_go_on_is_refused_with_the_reason(change: dict[str, str], told: str) -> None:
    found = Snapshot("one", "", "", (), "", "2026-12-01T00:00:00+00:00", True, "layer", HARDWARE)
    if not told:
        snapshots.require_fitting(found, HARDWARE)
        return
    with pytest.raises(ConfigError, match=told) as refused:
        snapshots.require_fitting(found, HARDWARE | change)
    assert len(refused.value.problems) == 1
    cold = Snapshot(**{**json.loads(json.dumps(vars(found))), "warm": False})
    if "disks" not in change:
        snapshots.require_fitting(cold, HARDWARE | change)
