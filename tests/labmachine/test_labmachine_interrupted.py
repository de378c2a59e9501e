"""What a run that was killed, a moved folder or a full disk leaves, and what becomes of it."""

import os
from pathlib import Path

import pytest

from artefacts import run
from config.labmachine import LabMachine
from labmachine import layers, machine, qmp
from labmachine.image import MachineImage
from labmachine.process import MachineError
from labmachine.ssh import make_keys, ssh_argv, tell_host_key
from labmachine.state import State

SETTINGS = LabMachine.model_validate({"disks": {"disk1": "64MiB"}})


@pytest.fixture
def image(tmp_path: Path) -> MachineImage:
    made = MachineImage(tmp_path / "cache" / "key")
    made.folder.mkdir(parents=True)
    made.disk.write_bytes(b"\0" * 4096)
    made.kernel.write_bytes(b"kernel")
    made.initrd.write_bytes(b"initrd")
    return made


@pytest.fixture
def state(tmp_path: Path) -> State:
    made = State(tmp_path / "my rack ü#1%41" / "machine")
    made.folder.mkdir(parents=True)
    layers.make_lowest(made)
    return made


def _contents(private: Path) -> tuple[str, str]:
    return private.read_text(), Path(f"{private}.pub").read_text()


@pytest.mark.parametrize("left", [{}, {".pub": None}, {"": ""}, {"": "half"}, {".pub": ""}])
def test_half_a_key_pair_is_made_anew(state: State, left: dict[str, str | None]) -> None:
    make_keys(state)
    whole = _contents(state.private_key), _contents(state.host_key)
    for suffix, text in left.items():
        for path in (state.private_key, state.host_key):
            damaged = Path(f"{path}{suffix}")
            damaged.unlink() if text is None else damaged.write_text(text)
    make_keys(state)
    assert ((_contents(state.private_key), _contents(state.host_key)) == whole) == (not left)
    for path in (state.private_key, state.host_key):
        assert run(["ssh-keygen", "-y", "-f", path]).split()[1] == _contents(path)[1].split()[1]
        assert path.stat().st_mode & 0o777 == 0o600
    tell_host_key(SETTINGS, state)
    assert state.known_hosts.read_text().split()[2] == _contents(state.host_key)[1].split()[1]
    assert not list(state.folder.glob("tmp*"))


def test_ssh_finds_its_files_in_a_folder_of_any_name(state: State) -> None:
    make_keys(state)
    argv = ssh_argv(SETTINGS, state)
    told = run([argv[0], "-G", *argv[1:]])
    assert f"identityfile {state.private_key}".replace("%", "%%") in told.splitlines()
    assert f"userknownhostsfile {state.known_hosts}" in told.splitlines()


def test_a_disk_without_its_size_gets_it(state: State, image: MachineImage) -> None:
    state.disk("disk1").touch()
    machine._create(SETTINGS, state, image)
    assert state.disk("disk1").stat().st_size == 64 << 20


def test_a_disk_of_another_size_is_kept(state: State, image: MachineImage) -> None:
    state.disk("disk1").write_bytes(b"x")
    with pytest.raises(MachineError, match=r"labmachine\.yaml.*lab machine reset"):
        machine._create(SETTINGS, state, image)
    assert state.disk("disk1").read_bytes() == b"x"


def test_a_half_made_overlay_is_made_anew(state: State, image: MachineImage) -> None:
    state.root.with_suffix(".new").write_bytes(b"half")
    state.image.with_suffix(".new").mkdir()
    (state.image.with_suffix(".new") / "half").touch()
    machine._create(SETTINGS, state, image)
    assert "virtual size" in run(["qemu-img", "info", "--backing-chain", state.root])
    left = sorted(each.name for each in state.layer.iterdir())
    assert left == ["disk-disk1.raw", "image", "root.qcow2"]
    left = sorted(each.name for each in state.folder.iterdir())
    assert left == [
        "current", "id_ed25519", "id_ed25519.pub", "layers",
        "ssh_host_ed25519_key", "ssh_host_ed25519_key.pub",
    ]  # fmt: skip


@pytest.mark.parametrize("same_file_system", [True, False])
def test_the_machine_outlives_the_cache_and_a_move(
    state: State, image: MachineImage, monkeypatch: pytest.MonkeyPatch, same_file_system: bool
) -> None:
    if not same_file_system:

        def refuse(_new: Path, _file: Path) -> None:
            raise OSError(18, "Invalid cross-device link")

        monkeypatch.setattr(Path, "hardlink_to", refuse)
    machine._create(SETTINGS, state, image)
    assert (image.disk.stat().st_nlink == 2) == same_file_system
    for file in image.folder.iterdir():
        file.unlink()
    moved = State(state.folder.parent.parent / "moved")
    state.folder.rename(moved.folder)
    found = machine._image_of(moved)
    assert found.kernel.read_bytes() == b"kernel"
    assert "image/disk.raw" in run(["qemu-img", "info", "--backing-chain", moved.root])
    machine.reset(moved)
    assert not moved.image.exists()
    assert not moved.root.exists()


def test_a_full_disk_under_the_machine_is_told(
    state: State, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(State, "pid", lambda _self: os.getpid())
    monkeypatch.setattr(machine, "sshd_answers", lambda _settings: False)
    asked: list[str] = []

    def execute(_path: Path, command: str, *_: object) -> object:
        asked.append(command)
        return {"status": "io-error"}

    monkeypatch.setattr(qmp, "execute", execute)
    assert machine.status(SETTINGS, state).guest == machine.DISK_FULL
    with pytest.raises(MachineError, match=r"is full.*free space"):
        machine.up(SETTINGS, state)
    assert "cont" in asked
