"""What is said to a BMC, and how often; which machines are off."""

from pathlib import Path

import pytest

from artefacts import CommandFailed
from config.access import LabMachine
from config.errors import ConfigError
from config.load import FOLDER, load_topology
from config.settings import Settings
from lab.power import Action, nodes_off, power

TOPOLOGY = load_topology(FOLDER / "mini.yaml", "mini")
SETTINGS = Settings("mini", TOPOLOGY, LabMachine(host=None), "emulated", "00" * 32)
UNREACHABLE = """\
the stack's settings can't be used, nothing was created:
  lab:machine: ssh://root@127.0.0.1:1
    rule:   the lab machine must answer: ssh: connect to host 127.0.0.1 port 1: Connection refused
    remedy: start it: lab machine up; or name another: pulumi config set lab:machine"""


@pytest.mark.parametrize(
    ("action", "said"),
    [
        (Action.STATUS, ["status"]),
        (Action.RESET, ["reset", "status"]),
        (Action.CYCLE, ["off", "on", "status"]),
    ],
)
def test_what_a_busy_bmc_refuses_is_said_again_and_nothing_twice(
    monkeypatch: pytest.MonkeyPatch, action: Action, said: list[str]
) -> None:
    heard: list[str] = []
    refused: set[str] = set()

    def ask(_: Settings, __: str, command: list[str], **___: object) -> str:
        if command[-1] not in refused:
            refused.add(command[-1])
            raise CommandFailed("Unable to set Chassis Power Control to Up/On")
        heard.append(command[-1])
        return "Chassis Power is on\n"

    monkeypatch.setattr("lab.power.ask", ask)
    monkeypatch.setattr("lab.remote.PAUSE_S", 0)
    assert power(SETTINGS, "compute1", action) == "on"
    assert heard == said


def test_a_lab_machine_that_is_off_is_told_before_anything_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("config.settings.stack_folder", lambda _: tmp_path / "stack")
    monkeypatch.setattr("config.settings.PROJECT", tmp_path)
    monkeypatch.setattr("lab.remote.PROJECT", tmp_path)
    lab = LabMachine(host="127.0.0.1", port=1)
    with pytest.raises(ConfigError) as caught:
        nodes_off(Settings("mini", TOPOLOGY, lab, "emulated", "00" * 32))
    assert str(caught.value) == UNREACHABLE
