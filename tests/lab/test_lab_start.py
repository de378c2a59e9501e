"""The cold start's order, with everything it calls noted instead of done."""

from dataclasses import replace
from pathlib import Path

import pytest

import equipment
from artefacts import LabError
from config import names
from config.access import LabMachine
from config.load import FOLDER, load_topology
from config.profile import EMULATED, KVM
from config.settings import Settings
from config.topology import Guest, Node
from lab import start
from lab.survey import Domain, Survey

RACK = load_topology(FOLDER / "whole.yaml", "lab")


def _all_there(settings: Settings) -> Survey:
    domains = [names.domain(settings.stack, name) for name in settings.topology.of(Node)]
    owner = names.owner_tag(settings.stack)
    return Survey(domains={name: Domain(owner, 1 << 20) for name in domains})


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    noted: list[str] = []
    (tmp_path / "overlays").mkdir()
    monkeypatch.setattr("config.settings.stack_folder", lambda _: tmp_path)
    monkeypatch.setattr("lab.start.machine.up", lambda: noted.append("lab machine"))
    monkeypatch.setattr("lab.start.host.require_prepared", lambda _: noted.append("prepared?"))
    monkeypatch.setattr("lab.start.survey.survey", _all_there)
    monkeypatch.setattr("lab.start.bmcs.publish", lambda _: noted.append("BMC settings"))
    monkeypatch.setattr(start, "equip", lambda _, piece: noted.append(f"made {piece.name}"))
    monkeypatch.setattr(start, "on_lab_machine", lambda *_: noted.append("switching"))
    monkeypatch.setattr(start, "power", lambda _, name, action: noted.append(f"{action} {name}"))
    monkeypatch.setattr(start, "wait_serving", lambda _, name: noted.append(f"serves {name}"))
    monkeypatch.setattr(start, "wait_ready", lambda _, name: noted.append(f"ready {name}"))
    monkeypatch.setattr(start, "wait_led", lambda _, name: noted.append(f"led {name}"))
    monkeypatch.setattr(start, "catch_up", lambda _, name: noted.append(f"current {name}"))
    monkeypatch.setattr("lab.start.boot_server.move", lambda _, to: noted.append(f"moved {to}"))
    return noted


@pytest.mark.parametrize("at_once", [1, 2, None])
def test_all_is_brought_back_and_no_more_boot_at_once_than_may(
    calls: list[str], at_once: int | None
) -> None:
    profile = replace(EMULATED, boots_at_once=at_once)
    start.start(Settings("lab", RACK, LabMachine("h"), profile, "00" * 32, 10 << 30))
    pieces = [f"made {piece.name}" for piece in equipment.everything("lab", RACK)]
    assert calls[: len(pieces) + 2] == ["lab machine", "BMC settings", *pieces]
    assert calls[len(pieces) + 2 : len(pieces) + 5] == ["switching", "on laptop", "serves laptop"]
    booting = set()
    current = [f"current {name}" for name in RACK.machines]
    assert calls[-len(current) - 2 :] == ["led laptop", *current, "moved compute1"]
    for call in calls[len(pieces) + 5 : -len(current) - 2]:
        what, name = call.split()
        if what == "on":
            booting.add(name)
            assert len(booting) <= (at_once or len(RACK.machines))
        else:
            booting.discard(name)
    assert {call for call in calls if call.startswith("on ")} == {
        f"on {name}" for name in RACK.of(Node)
    }
    ready = [call.removeprefix("ready ") for call in calls if call.startswith("ready ")]
    assert sorted(ready) == sorted(RACK.machines)
    for name, guest in RACK.of(Guest).items():
        assert all(ready.index(each) < ready.index(name) for each in (guest.node, *guest.needs))


def test_a_node_s_guests_boot_before_the_next_node_where_one_boots_at_once(
    calls: list[str],
) -> None:
    start.start(Settings("lab", RACK, LabMachine("h"), EMULATED, "00" * 32, 10 << 30))
    assert calls.index("ready san1") < calls.index("on storage2")
    assert calls.index("ready lxc1") < calls.index("on compute2")


def test_the_san_with_the_boot_server_s_state_comes_before_all_who_wait_for_consul(
    calls: list[str],
) -> None:
    start.start(Settings("lab", RACK, LabMachine("h"), EMULATED, "00" * 32, 10 << 30))
    assert [call for call in calls if call.startswith("on ")][:2] == ["on laptop", "on storage1"]
    assert calls.index("serves laptop") < calls.index("ready san1") < calls.index("ready laptop")


def test_where_the_rack_never_was_nothing_is_made(
    calls: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Survey(bridges={"quorum-lan": names.owner_tag("quorum")})
    monkeypatch.setattr("lab.start.survey.survey", lambda _: other)
    with pytest.raises(LabError, match="pulumi up --stack lab"):
        start.start(Settings("lab", RACK, LabMachine("h"), KVM, "00" * 32))
    assert calls == ["prepared?"]


def test_of_a_rack_that_is_half_made_what_there_is_gets_power(
    calls: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = Settings("lab", RACK, LabMachine("h"), EMULATED, "00" * 32, 10 << 30)
    half = _all_there(settings)
    for name in ("router", "compute1"):
        del half.domains[names.domain("lab", name)]
    half.running = {names.domain("lab", "storage1")}
    monkeypatch.setattr("lab.start.survey.survey", lambda _: half)
    start.start(settings)
    on = [call for call in calls if call.startswith(("on ", "ready "))]
    assert {"on laptop", "on firewall"} <= set(on)
    assert not {"on router", "on compute1", "on storage1"} & set(on)
    assert "switching" in calls
    assert "router, compute1 were never made; go on with: pulumi up" in capsys.readouterr().err


def test_a_real_lab_machine_is_not_started(calls: list[str]) -> None:
    start.start(Settings("lab", RACK, LabMachine("h"), KVM, "00" * 32))
    assert "lab machine" not in calls
    assert calls[0] == "prepared?"  # its boot may have assembled what is a machine's


def test_no_node_waits_for_a_consul_server(calls: list[str]) -> None:
    quorum = load_topology(FOLDER / "quorum.yaml", "quorum")
    start.start(Settings("quorum", quorum, LabMachine("h"), EMULATED, "00" * 32, 10 << 30))
    assert calls.index("ready san1") < calls.index("on compute2") < calls.index("ready consul1")


def test_what_was_never_raised_starts_no_lab_machine(calls: list[str], tmp_path: Path) -> None:
    (tmp_path / "overlays").rmdir()
    never = Settings("lab", RACK, LabMachine(None), EMULATED, "00" * 32, 10 << 30)
    with pytest.raises(LabError, match="pulumi up --stack lab"):
        start.start(never)
    assert calls == []
