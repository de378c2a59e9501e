"""A rack that is kept as it was raised: when that is made, and when an `up` goes back to it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.errors import ConfigError, Problem
from lab import kept
from lab.main import app
from labmachine.snapshots import Label, Snapshot, all_of
from labmachine.state import State

STACK, NAME = "mini", "raised-mini"


class Lab:
    """What the lab machine and Pulumi have; `done` says what was done to it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.raised, self.done = folder, dict[str, str](), list[str]()
        self.options = {"keep": "true"}
        self.made_of = "a"

    def save(self, name: str, note: str, *, inputs: str, held: str) -> None:
        label = Label(name, note, "c0ffee", (held,), inputs)
        folder = State(self.folder / "machine").snapshots / name
        folder.mkdir(parents=True)
        Snapshot(**vars(label), made="", warm=True, layer="1", hardware={}).keep(folder)
        self.done.append(f"save {name}")

    def restore(self, name: str, *, held: str) -> None:
        assert held == STACK
        self.done.append(f"restore {name}")

    def remove(self, name: str, state: State) -> None:
        (state.snapshots / name / "snapshot.json").unlink()
        (state.snapshots / name).rmdir()
        self.done.append(f"remove {name}")

    def up(self, *, works: bool = True) -> list[str]:
        """What the launcher does around an `up`; what was done to the lab machine by it."""
        self.done.clear()
        if not kept.go_back(STACK, ask=False):
            kept.begin(STACK)
        self.raised[STACK] = "virtual"
        if works:
            kept.keep(STACK)
        return self.done


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Lab]:
    made = Lab(tmp_path)
    monkeypatch.setattr("lab.kept.State", lambda: State(tmp_path / "machine"))
    monkeypatch.setattr("lab.kept.stack_folder", lambda stack: tmp_path / "stacks" / stack)
    monkeypatch.setattr("lab.kept.stacks.options", lambda _: made.options.get)
    monkeypatch.setattr("lab.kept.inputs", lambda _: made.made_of)
    monkeypatch.setattr("lab.kept.inventory.raised", lambda: made.raised)
    monkeypatch.setattr("lab.kept.snapshots.save", made.save)
    monkeypatch.setattr("lab.kept.snapshots.restore", made.restore)
    monkeypatch.setattr("lab.kept.saving.remove", made.remove)
    yield made


def test_a_raise_is_kept_and_gone_back_to(lab: Lab) -> None:
    assert lab.up() == [f"save {NAME}"]
    assert [each.inputs for each in all_of(State(lab.folder / "machine"))] == ["a"]
    assert lab.up() == [], "nothing to do for a rack that stands"
    lab.raised.clear()
    assert lab.up() == [f"restore {NAME}"]


def test_another_rack_is_raised_and_kept_in_its_place(lab: Lab) -> None:
    lab.up()
    lab.raised.clear()
    lab.made_of = "b"
    assert lab.up() == [f"remove {NAME}", f"save {NAME}"]


def test_a_rack_that_was_changed_is_not_as_it_was_raised(lab: Lab) -> None:
    lab.up()
    lab.made_of = "b"
    assert lab.up() == []


def test_a_raise_that_was_interrupted_is_kept_at_its_end(lab: Lab) -> None:
    assert lab.up(works=False) == []
    assert lab.up() == [f"save {NAME}"]


def test_a_raise_that_ends_with_another_rack_is_not_kept(lab: Lab) -> None:
    lab.up(works=False)
    lab.made_of = "b"
    assert lab.up() == []


def test_what_is_forgotten_is_raised(lab: Lab) -> None:
    lab.up()
    kept.forget(STACK)
    kept.forget(STACK)
    lab.raised.clear()
    assert lab.up() == [f"save {NAME}"]


@pytest.mark.parametrize("options", [{}, {"keep": "false"}, {"keep": "true", "machine": "local"}])
def test_it_is_the_virtual_lab_machine_s_where_a_setting_says_so(
    lab: Lab, options: dict[str, str]
) -> None:
    lab.options = options
    assert lab.up() == []
    lab.raised.clear()
    assert lab.up() == []


def test_beside_another_rack_it_is_neither_kept_nor_gone_back_to(
    lab: Lab, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.raised["other"] = "virtual"
    assert lab.up() == []
    assert "isn't kept: other stands on the lab machine too" in capsys.readouterr().err
    lab.raised.clear()
    lab.up()
    lab.raised = {"other": "virtual"}
    assert lab.up() == []
    assert f"{NAME} isn't gone back to: other stands" in capsys.readouterr().err


def test_where_it_can_not_be_gone_back_to_the_rack_is_raised(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    lab.up()
    lab.raised.clear()

    def refuse(name: str, *, held: str) -> None:
        raise ConfigError(f"snapshot {name}", [Problem("memory", "2GiB", "3GiB", "set it back")])

    monkeypatch.setattr("lab.kept.snapshots.restore", refuse)
    assert lab.up() == [f"remove {NAME}", f"save {NAME}"]
    assert "It can't be gone back to" in capsys.readouterr().err


def test_the_commands_of_lab(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[str] = []
    monkeypatch.setattr("lab.commands.machine.machine.up", lambda: started.append("up"))

    def run(line: str) -> None:
        assert CliRunner().invoke(app, ["--stack", STACK, *line.split()]).exit_code == 0

    run("machine up --unless-kept")
    lab.up()
    lab.raised.clear()
    run("machine up --unless-kept")
    assert len(started) == 1
    run("snapshot forget")
    run("machine up --unless-kept")
    assert len(started) == 2
    run("machine up")
    assert len(started) == 3


def test_only_of_a_stack_that_is_there_something_is_forgotten(lab: Lab) -> None:
    done = CliRunner().invoke(app, ["--stack", "minni", "snapshot", "forget"])
    assert "did you mean mini or" in str(done.exception)


INPUTS = kept.inputs


def test_what_a_rack_is_made_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def changed(what: Callable[[], object]) -> bool:
        before = INPUTS(STACK)
        what()
        return INPUTS(STACK) != before

    for each in ("guest", "config"):
        (tmp_path / each).mkdir()
    monkeypatch.setattr("lab.kept.PROJECT", tmp_path)
    monkeypatch.setattr("lab.kept.SOURCES", ("guest",))
    options: dict[str, str] = {}
    monkeypatch.setattr("lab.kept.stacks.options", lambda _: options.get)
    assert not changed(lambda: None)
    assert changed(lambda: (tmp_path / "guest/packages").write_text("nftables"))
    assert changed((tmp_path / "config/names.py").touch)
    assert not changed((tmp_path / "config/other.yaml").touch)
    assert changed(lambda: options.update(profile="kvm"))
    assert not changed(lambda: options.update(keep="true"))
    assert changed(lambda: options.update(topology="quorum"))
