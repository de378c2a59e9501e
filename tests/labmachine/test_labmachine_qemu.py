"""The qemu command line, against golden files."""

from pathlib import Path

import pytest
from golden import assert_golden

from config.labmachine import LabMachine
from labmachine.image import MachineImage
from labmachine.qemu import Accelerator, machine_argv, probe_argv
from labmachine.state import State

GOLDEN = Path(__file__).parent / "golden"
SETTINGS = LabMachine.model_validate(
    {"cores": 2, "memory": "10GiB", "ssh_port": 2222, "disks": {"disk1": "4GiB", "disk2": "4GiB"}}
)
IMAGE = MachineImage(Path("/cache/labmachine/key"))
STATE = State(Path("/project/.lab/machine"))


@pytest.mark.parametrize("accelerator", ["kvm", "tcg"])
def test_the_command_line_is_the_golden_one(accelerator: Accelerator) -> None:
    text = "\n".join(machine_argv(SETTINGS, IMAGE, STATE, accelerator)) + "\n"
    assert_golden(text, GOLDEN / f"argv-{accelerator}.txt")


def test_nothing_listens_beyond_this_machine_and_the_guest_reaches_nothing() -> None:
    argv = machine_argv(SETTINGS, IMAGE, STATE, "tcg")
    networks = [part for part in argv if part.startswith("user,")]
    assert len(networks) == 1
    assert "restrict=on" in networks[0]
    assert networks[0].count("hostfwd=") == networks[0].count("hostfwd=tcp:127.0.0.1:") == 1


def test_socket_names_do_not_grow_with_the_project_path() -> None:
    deep = State(Path("/" + "d" * 200) / "machine")
    argv = machine_argv(SETTINGS, IMAGE, deep, "tcg")
    assert all(str(deep.folder) not in part for part in argv if "sock" in part)


def test_the_probe_cannot_touch_a_disk() -> None:
    assert "-drive" not in probe_argv(IMAGE, "kvm")
