"""Reaching machines, as far as it shows without one."""

from pathlib import Path

import pytest

from artefacts import CommandFailed
from config.access import LabMachine
from config.errors import ConfigError
from config.load import FOLDER, load_topology
from config.settings import Settings
from lab.remote import nodes_off, patiently

UNREACHABLE = """\
the stack's settings can't be used, nothing was created:
  lab:machine: ssh://root@127.0.0.1:1
    rule:   the lab machine must answer: ssh: connect to host 127.0.0.1 port 1: Connection refused
    remedy: start it: lab machine up; or name another: pulumi config set lab:machine"""


def test_a_lab_machine_that_is_off_is_told_before_anything_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.settings.stack_folder", lambda _: tmp_path / "stack")
    monkeypatch.setattr("config.settings.PROJECT", tmp_path)
    monkeypatch.setattr("lab.remote.PROJECT", tmp_path)
    topology = load_topology(FOLDER / "mini.yaml", "mini")
    lab = LabMachine(host="127.0.0.1", port=1)
    with pytest.raises(ConfigError) as caught:
        nodes_off(Settings("mini", topology, lab, "emulated", "00" * 32))
    assert str(caught.value) == UNREACHABLE


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0), (2, 60)])
def test_what_fails_is_tried_again_in_its_time(
    failures: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.remote.PAUSE_S", 0)
    left = [CommandFailed(f"failure {n}") for n in range(failures)]

    def fragile(answer: str) -> str:
        if left:
            raise left.pop()
        return answer

    assert patiently(seconds)(fragile, "done") == "done"


def test_the_last_failure_is_told() -> None:
    def broken() -> None:
        raise CommandFailed("no answer")

    with pytest.raises(CommandFailed, match="no answer"):
        patiently(0)(broken)
