"""Reaching machines, as far as it shows without one."""

import re

import pytest

from artefacts import CommandFailed, LabError, run
from config.access import LabMachine
from config.load import FOLDER, load_topology
from config.profile import EMULATED
from config.settings import Settings
from lab.remote import patiently, wait_for_ssh


@pytest.mark.parametrize(("failures", "seconds"), [(0, 0), (2, 60)])
def test_what_fails_is_tried_again_in_its_time(
    failures: int, seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.remote.PAUSE_S", 0)
    left = [CommandFailed(["ssh"], f"failure {n}") for n in range(failures)]

    def fragile(answer: str) -> str:
        if left:
            raise left.pop()
        return answer

    assert patiently(seconds)(fragile, "done") == "done"


@pytest.mark.parametrize(("code", "tries"), [(255, 2), (1, 1), (None, 1)])
def test_only_a_lost_connection_is_tried_again_where_that_is_asked(
    code: int | None, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.remote.PAUSE_S", 0)
    failures = [
        CommandFailed(["ssh"], "the command's own"),
        CommandFailed(["ssh"], "first", code=code),
    ]
    tried = []

    def fragile() -> None:
        tried.append(1)
        raise failures.pop()

    with pytest.raises(LabError):
        patiently(60, lost=True)(fragile)
    assert len(tried) == tries


def test_the_code_of_a_program_is_told() -> None:
    with pytest.raises(CommandFailed) as caught:
        run(["sh", "-c", "exit 255"])
    assert caught.value.code == 255


def test_the_last_failure_is_told() -> None:
    def broken() -> None:
        raise CommandFailed(["ssh"], "no answer")

    with pytest.raises(LabError, match="no answer"):
        patiently(0)(broken)


@pytest.mark.parametrize(
    ("machine", "asked"), [("router", ["laptop", "consul1"]), ("san1", []), ("laptop", [])]
)
def test_a_machine_that_does_not_come_is_told_with_what_those_say_it_boots_from(
    machine: str, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"laptop": 'uptime=90.7 msg="not serving" why="leads, but its tree is not complete"\n'}

    def silent(*_: object, **__: object) -> str:
        raise CommandFailed(["ssh"], "exit code 124")

    def answer(_: Settings, name: str, *__: object, **___: object) -> str:
        if name not in said:
            raise CommandFailed(["ssh"], "no route to host")
        return said[name]

    monkeypatch.setattr("lab.remote.on_lab_machine", silent)
    monkeypatch.setattr("lab.remote.boot_log", lambda *_, **__: "No more network devices")
    monkeypatch.setattr("lab.remote.ask", answer)
    topology = load_topology(FOLDER / "mini.yaml", "mini")
    settings = Settings("mini", topology, LabMachine(host="127.0.0.1"), EMULATED, "00" * 32)
    with pytest.raises(LabError) as caught:
        wait_for_ssh(settings, machine, 1)
    told = str(caught.value)
    assert "No more network devices" in told
    assert told.endswith(f"to look: lab --stack mini console {machine}")
    assert re.findall(r"^Boot server (\S+) last said:$", told, re.MULTILINE) == asked
    assert ("tree is not complete" in told, "no route to host" in told) == (bool(asked),) * 2
