"""What is refused before anything is created."""

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.labmachine import LabMachine
from labmachine import preconditions
from labmachine.state import State


def _settings(**changes: object) -> LabMachine:
    small = {"memory": "2GiB", "ssh_port": 22899, "disks": {"disk1": "64MiB"}}
    return LabMachine.model_validate({**small, **changes})


@pytest.fixture(autouse=True)
def roomy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preconditions, "available_memory", lambda: 64 << 30)
    monkeypatch.setattr(shutil, "which", lambda name, path: f"/usr/bin/{name}")


def _refused(settings: LabMachine, folder: Path) -> str:
    with pytest.raises(ConfigError) as error:
        preconditions.check(settings, State(folder / "machine"))
    assert list(folder.iterdir()) == []
    return str(error.value)


def test_a_machine_that_fits_passes(tmp_path: Path) -> None:
    preconditions.check(_settings(), State(tmp_path / "machine"))


def test_more_memory_than_there_is(tmp_path: Path) -> None:
    assert "memory: 65536 MiB" in _refused(_settings(memory="64GiB"), tmp_path)


def test_more_disk_than_there_is(tmp_path: Path) -> None:
    assert "disks: " in _refused(_settings(disks={"disk1": "900TiB"}), tmp_path)


@pytest.mark.parametrize("there", ["root.qcow2", "layers/1/root.qcow2"])
def test_a_machine_that_is_there_goes_on_with_less_than_it_may_fill(
    tmp_path: Path, there: str
) -> None:
    """As after snapshots have taken the rest: who could save can go back."""
    file = tmp_path / "machine" / there
    file.parent.mkdir(parents=True)
    file.touch()
    preconditions.check(_settings(disks={"disk1": "900TiB"}), State(tmp_path / "machine"))


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"ssh_port: {port}" in _refused(_settings(ssh_port=port), tmp_path)


def test_a_missing_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name, path: None)
    assert "apt install qemu-utils" in _refused(_settings(), tmp_path)


def test_memory_and_port_of_the_machine_that_runs_are_free_for_what_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        program = (
            "import time; held = b'x' * (64 << 20); print('ready', flush=True); time.sleep(60)"
        )
        argv = [sys.executable, "-c", program, f"hostfwd=tcp:127.0.0.1:{port}-10.0.2.15:22"]
        with subprocess.Popen(argv, stdout=subprocess.PIPE) as running:
            assert running.stdout and running.stdout.readline()
            monkeypatch.setattr(State, "pid", lambda _: running.pid)
            settings, needs = _settings(ssh_port=port), (2 << 30) + preconditions.QEMU_ROOM
            monkeypatch.setattr(preconditions, "available_memory", lambda: needs - (64 << 20))
            preconditions.check(settings, State(tmp_path / "machine"))
            monkeypatch.setattr(preconditions, "available_memory", lambda: needs - (256 << 20))
            assert "memory: 2048 MiB" in _refused(settings, tmp_path)
            running.kill()
