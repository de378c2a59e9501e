"""All stacks, by their files and Pulumi's state; what is asked before racks are lost."""

import gzip
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from artefacts import CommandFailed, LabError
from lab import inventory, pulumi_cli, runs
from lab.main import app
from lab.pulumi_cli import Known
from labmachine.snapshots import Label, Snapshot
from labmachine.state import State

RAISED = {
    "mini": Known(108, "2026-11-30T12:00:00.000Z"),
    "real": Known(40, "2026-11-29T12:00:00.000Z"),
    "five": Known(1, "2026-11-29T12:00:00.000Z"),  # destroyed, or never raised
    "gone": Known(9, "2026-11-28T12:00:00.000Z"),  # its settings file is lost
}
STATE = {
    "resources": [
        {"urn": "a", "created": "2026-11-30T10:05:06Z"},
        {"urn": "b", "created": "2026-11-30T10:00:00Z"},
        {"urn": "c"},
    ]
}
Command = Callable[..., Result]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    settings = {
        "mini": "{lab:topology: mini}", "five": "{lab:topology: five}", "odd": "{lab:topology: x}",
        "real": "{lab:topology: mini, lab:machine: 'ssh://root@h'}",
        "web": "{lab:topology: mini, lab:machine: 'http://h'}",
    }  # fmt: skip
    for stack, options in settings.items():
        (tmp_path / f"Pulumi.{stack}.yaml").write_text(f"config: {options}\n")
    for place in ("config.stacks", "lab.commands.machine"):
        monkeypatch.setattr(f"{place}.PROJECT", tmp_path)
    (tmp_path / ".lab/state").mkdir(parents=True)
    monkeypatch.setattr(pulumi_cli, "stacks", lambda: RAISED)
    monkeypatch.setattr(pulumi_cli, "state", lambda _: STATE)
    monkeypatch.setattr(pulumi_cli, "backend", lambda: f"file://{tmp_path}/.lab/state")
    return tmp_path


@pytest.fixture
def lab(project: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs `lab` for stack mini; notes in `done` what the lab machine was told."""

    def note(what: str) -> Callable[[], int]:
        return lambda: (project / "done").write_text(what)

    for place in ("labmachine.machine", "lab.commands.machine"):
        monkeypatch.setattr(f"{place}.State", lambda: State(project / ".lab/machine"))
    for what in ("up", "down", "reset"):
        monkeypatch.setattr(f"lab.commands.machine.machine.{what}", note(what))
    for place in ("config.settings", "lab.runs"):
        monkeypatch.setattr(f"{place}.stack_folder", lambda _: project)
    monkeypatch.setattr("config.settings.Settings.ssh_config", Path("ssh_config"))
    monkeypatch.setattr("labmachine.machine.require_running", lambda: None)
    cleared = note("clear")
    monkeypatch.setattr("lab.commands.stacks.clearing.clear", lambda _: cleared())

    def run(*words: str, stack: str = "mini", answer: str | None = None) -> Result:
        return CliRunner().invoke(app, ["--stack", stack, *words], input=answer)

    return run


def done(project: Path) -> str:
    file = project / "done"
    return file.read_text() if file.exists() else ""


def test_each_stack_is_told_with_what_it_extends_and_where_it_is(project: Path) -> None:
    rows = {row.stack: row for row in inventory.rows()}
    assert sorted(rows) == ["five", "gone", "mini", "odd", "real", "web"]
    assert rows["five"].extends == ("five", "rack")
    assert not rows["five"].raised
    assert (rows["mini"].raised, rows["mini"].since) == (True, "2026-11-30T10:00:00Z")
    assert rows["mini"].memory > 1 << 30
    assert (rows["real"].machine, rows["mini"].machine) == ("ssh://root@h", "virtual")
    assert "config/" in rows["odd"].problem
    assert "ssh://" in rows["web"].problem
    assert "Pulumi.gone.yaml is gone; write that" in rows["gone"].problem


def test_a_state_that_nothing_stands_behind_can_be_forgotten(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi_cli, "stacks", lambda: {"left": Known(1, "")})
    rows = {row.stack: row for row in inventory.rows()}
    assert rows["left"].problem.endswith("pulumi stack rm left")


def test_what_can_t_be_used_is_no_success_but_the_others_are_shown(lab: Command) -> None:
    shown = lab("list")
    assert shown.exit_code == 1
    assert "five < rack" in shown.output
    assert "odd can't be used" in shown.output


def test_the_state_of_a_folder_where_nothing_was_raised_needs_no_tools(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pulumi_cli, "backend", lambda: f"file://{tmp_path}")
    monkeypatch.setattr(pulumi_cli, "pulumi", lambda: pytest.fail("it was asked"))
    assert pulumi_cli.stacks() == {}


@pytest.mark.parametrize(
    ("said", "found"),
    [
        ([], {}),
        ([{"name": "mini", "lastUpdate": "x", "resourceCount": 3}], {"mini": Known(3, "x")}),
        ([{"name": "org/rack-lab/mini"}], {"mini": Known(0, "")}),
        ([{"name": "mini", "lastUpdate": None, "resourceCount": None}], {"mini": Known(0, "")}),
    ],
)
def test_pulumi_s_list_is_read(
    monkeypatch: pytest.MonkeyPatch, said: list[object], found: dict[str, Known]
) -> None:
    monkeypatch.setattr(pulumi_cli, "backend", lambda: "s3://bucket")
    monkeypatch.setattr(pulumi_cli.Pulumi, "ask", lambda *_: json.dumps(said))
    monkeypatch.setattr(pulumi_cli, "pulumi", lambda: pulumi_cli.Pulumi(Path("x"), {}))
    assert pulumi_cli.stacks() == found


def test_a_damaged_state_is_named_and_the_others_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(*_: object) -> str:
        raise CommandFailed(["ssh"], "unexpected end of JSON input")

    monkeypatch.setattr(pulumi_cli, "backend", lambda: f"file://{tmp_path}")
    monkeypatch.setattr(pulumi_cli.Pulumi, "ask", ask)
    monkeypatch.setattr(pulumi_cli, "pulumi", lambda: pulumi_cli.Pulumi(Path("x"), {}))
    kept = tmp_path / ".pulumi/stacks" / pulumi_cli.project_name()
    kept.mkdir(parents=True)
    whole = {"version": 3, "checkpoint": {"latest": {"resources": [{}, {}], "manifest": {}}}}
    (kept / "mini.json").write_text(json.dumps(whole))
    (kept / "five.json.gz").write_bytes(gzip.compress(json.dumps(whole).encode()))
    (kept / "five.json.bak").write_text("{")
    with pytest.raises(LabError):  # the reason is another
        pulumi_cli.stacks()
    for name in ("torn.json", "torn-too.json.gz"):
        (kept / name).write_text('{"version": 3, "chec')
    found = pulumi_cli.stacks()
    assert (found.pop("mini"), found.pop("five")) == (Known(2, ""), Known(2, ""))
    assert all(each.raised and ".bak" in each.problem for each in found.values())
    assert str(kept / "torn.json") in found["torn"].problem


@pytest.mark.parametrize(("stack", "goes"), [("mini", True), ("five", False)])
def test_the_lab_machine_goes_on_while_another_stack_is_raised_on_it(
    project: Path, lab: Command, stack: str, goes: bool
) -> None:
    shown = lab("machine", "down", "--unless-used", stack=stack)
    assert shown.exit_code == 0
    assert (done(project) == "down") is goes
    assert ("mini is raised" in shown.output) is not goes


def test_a_destroy_on_a_real_one_leaves_the_virtual_one_alone(
    project: Path, lab: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.commands.context.machine_of", lambda _: "ssh://root@my-lab")
    shown = lab("machine", "down", "--unless-used", stack="five")
    assert shown.exit_code == 0
    assert "its lab machine is ssh://root@my-lab, nothing to switch off" in shown.output
    assert done(project) == ""


def test_it_is_switched_off_where_a_person_says_so(project: Path, lab: Command) -> None:
    assert lab("machine", "down", stack="five").exit_code == 0
    assert done(project) == "down"


@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 1), ("\n", 1), (None, 1)])
def test_a_reset_asks_and_names_what_is_lost(
    project: Path, lab: Command, answer: str | None, code: int
) -> None:
    shown = lab("machine", "reset", answer=answer)
    assert shown.exit_code == code
    assert "racks of these stacks are lost: mini." in shown.output.replace("\n", " ")
    assert (done(project) == "reset") is not code
    assert ("pulumi state delete --all" in shown.output) is not code


def test_a_reset_that_is_told_yes_asks_nothing(project: Path, lab: Command) -> None:
    assert lab("machine", "reset", "--yes").exit_code == 0
    assert done(project) == "reset"


@pytest.mark.parametrize(
    ("stack", "answer", "told"),
    [("mini", "y\n", True), ("five", "y\n", False), ("mini", "\n", None), ("mini", None, None)],
)
def test_clearing_asks_and_says_what_pulumi_still_knows(
    lab: Command, project: Path, stack: str, answer: str | None, told: bool | None
) -> None:
    """None: nothing is done."""
    shown = lab("clear", stack=stack, answer=answer)
    assert shown.exit_code == (1 if told is None else 0)
    assert done(project) == ("" if told is None else "clear")
    assert ("pulumi state delete --all" in shown.output) is bool(told)


def test_a_reset_needs_no_backend_that_answers(
    project: Path, lab: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline() -> dict[str, Known]:
        raise CommandFailed(["ssh"], "no route to s3")

    monkeypatch.setattr(pulumi_cli, "stacks", offline)
    shown = lab("machine", "reset", answer="y\n")
    assert shown.exit_code == 0
    assert "no route to s3" in shown.output
    assert done(project) == "reset"


def test_a_real_lab_machine_is_nothing_to_start(project: Path, lab: Command) -> None:
    assert lab("machine", "up", stack="real").exit_code == 0
    assert done(project) == ""
    assert lab("machine", "up", stack="mini").exit_code == 0
    assert done(project) == "up"


@pytest.mark.parametrize("command", ["machine status", "machine down", "snapshot list"])
def test_of_a_stack_on_a_real_one_it_is_said_which_is_meant(lab: Command, command: str) -> None:
    shown = lab(*command.split(), stack="real")
    assert shown.exit_code == 0
    assert "lab machine is ssh://root@h" in shown.stderr
    assert "lab machine is" not in lab(*command.split(), stack="mini").stderr


def test_a_real_one_isn_t_reset(project: Path, lab: Command) -> None:
    shown = lab("machine", "reset", "--yes", stack="real")
    assert shown.exit_code == 1
    assert "pulumi destroy --stack real" in str(shown.exception)
    assert done(project) == ""


LAB = "file://{}/.lab/state"
STAYS: dict[str, tuple[dict[str, Known], str, str | None]] = {
    "all goes": ({"mini": Known(108, "")}, LAB, None),
    "a real machine": ({"real": Known(108, "")}, LAB, "real on ssh://root@h"),
    "the state is elsewhere": ({"mini": Known(108, "")}, "s3://bucket", "mini on virtual"),
    "nobody knows where": ({"gone": Known(108, "")}, LAB, "gone on ?"),
    "it was destroyed": ({"real": Known(1, "")}, LAB, None),
    "nothing was raised": ({}, "s3://bucket", None),
}


@pytest.mark.parametrize("case", STAYS)
def test_files_of_a_rack_that_stays_are_kept(
    project: Path, lab: Command, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    raised, backend, named = STAYS[case]
    monkeypatch.setattr(pulumi_cli, "stacks", lambda: raised)
    monkeypatch.setattr(pulumi_cli, "backend", lambda: backend.format(project))
    shown = lab("removable")
    assert shown.exit_code == (1 if named else 0)
    if named:
        assert named in str(shown.exception)


@pytest.mark.parametrize(
    ("file", "said"),
    [("", "off; nothing was made yet"), ("root.qcow2", "off; its disks are there")],
)
def test_a_lab_machine_that_is_off(lab: Command, project: Path, file: str, said: str) -> None:
    (project / ".lab/machine" / file).parent.mkdir(parents=True, exist_ok=True)
    if file:
        (project / ".lab/machine" / file).touch()
    assert lab("machine", "status").stdout == f"{said}; start it: lab machine up\n"


@pytest.mark.parametrize("command", ["down", "reset"])
def test_the_power_isn_t_taken_from_under_a_run(lab: Command, project: Path, command: str) -> None:
    with runs.only("mini", "pulumi up"):
        done = lab("machine", command, "--yes") if command == "reset" else lab("machine", command)
        assert isinstance(done.exception, LabError)
        assert "pulumi up (process" in str(done.exception)
        assert "is under way" in str(done.exception)
    assert not (project / "done").exists()
    assert runs.holder("mini") == ""


@pytest.mark.parametrize("action", ["up", "down"])
def test_whose_power_went_is_told_with_the_ways_back(
    project: Path, lab: Command, action: str
) -> None:
    def moment(name: str, made: str, *, warm: bool = True) -> None:
        label = Label(name, "", "", ("mini",), "")
        Snapshot(**vars(label), made=made, warm=warm, layer="", hardware={}).keep(
            State(project / ".lab/machine").snapshots / name
        )

    assert "back: lab --stack mini start\n" in lab("machine", action).stdout
    moment("cold", "2026-12-02", warm=False)
    moment("new", "2026-12-01")
    moment("old", "2026-11-30")
    assert "start; or, as it was then: lab snapshot restore new\n" in lab("machine", action).stdout


def test_a_stack_that_is_being_worked_on_is_told_so(lab: Command) -> None:
    with runs.only("mini", "pulumi up"):
        assert "pulumi up (process" in " ".join(lab("list").stdout.split())
