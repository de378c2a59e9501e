"""What is said to a BMC, and how often."""

import pytest

from artefacts import CommandFailed, LabError
from config.access import LabMachine
from config.load import FOLDER, load_topology
from config.profile import EMULATED
from config.settings import Settings
from lab.power import Action, power

TOPOLOGY = load_topology(FOLDER / "mini.yaml", "mini")
SETTINGS = Settings("mini", TOPOLOGY, LabMachine(host=None), EMULATED, "00" * 32)


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
            raise CommandFailed(["ssh"], "Unable to set Chassis Power Control to Up/On")
        heard.append(command[-1])
        return "Chassis Power is on\n"

    monkeypatch.setattr("lab.power.ask", ask)
    monkeypatch.setattr("lab.remote.PAUSE_S", 0)
    assert power(SETTINGS, "compute1", action) == "on"
    assert heard == said


def test_what_a_bmc_refuses_for_good_is_told_in_its_own_words(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def ask(*_: object, **__: object) -> str:
        raise CommandFailed(["ssh"], "Set Chassis Power Control to Up/On failed: Node busy", code=1)

    monkeypatch.setattr("lab.power.ask", ask)
    monkeypatch.setattr("lab.power.PATIENCE_S", 0)
    monkeypatch.setattr("lab.power.on_lab_machine", lambda *_: "Cannot access storage file")
    with pytest.raises(LabError, match=r"(?s)Node busy.*bmcs says last:\nCannot access"):
        power(SETTINGS, "compute1", Action.ON)
