"""What a snapshot keeps of stacks, and what becomes of it: with a program in Pulumi's place."""

import json
import os
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from typer.testing import CliRunner

from artefacts import LabError
from config.errors import ConfigError
from lab import snapshots
from lab.main import app
from labmachine.process import MachineError
from labmachine.snapshots import Label, Snapshot
from labmachine.state import State

URN = "urn:pulumi:mini::rack-lab::libvirt:index/domain:Domain::"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for place in ("lab.snapshots", "lab.runs"):
        monkeypatch.setattr(f"{place}.stack_folder", lambda stack: tmp_path / "stacks" / stack)
    for place in ("lab.snapshots", "lab.commands.snapshot"):
        monkeypatch.setattr(f"{place}.State", lambda: State(tmp_path / "machine"))
    for stack in ("mini", "moving"):
        put(tmp_path, f"{stack}/seed", "then")
        put(tmp_path, f"{stack}/overlays/san1/overlay-1.tar.gz", "old")
        put(tmp_path, f"{stack}/run.lock", "held")
    return tmp_path


def put(project: Path, name: str, text: str) -> Path:
    file = project / "stacks" / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


class StandIn:
    """Pulumi, which has the state of some stacks."""

    def __init__(self, states: dict[str, object]) -> None:
        self.states, self.asked = states, list[str]()

    def ask(self, *words: str) -> str:
        self.asked.append(" ".join(words))
        stack = words[words.index("--stack") + 1] if "--stack" in words else words[2]
        match words[:2]:
            case "stack", "export":
                return json.dumps(self.states[stack])
            case "stack", "import":
                self.states[stack] = json.loads(Path(words[-1]).read_text())
            case "stack", "init":
                self.states[stack] = {}
            case "state", "delete":
                self.states[stack] = {}
        return ""


@pytest.fixture
def pulumi(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    made = StandIn({"mini": deployment("san1"), "moving": deployment("laptop")})
    monkeypatch.setattr("lab.pulumi_cli.pulumi", lambda: made)
    monkeypatch.setattr("lab.pulumi_cli.stacks", lambda: made.states)
    monkeypatch.setattr(
        "lab.inventory.raised",
        lambda: {stack: "virtual" for stack in made.states if made.states[stack]},
    )
    return made


def deployment(*names: str) -> dict[str, object]:
    resources = [{"urn": f"{URN}{name}", "inputs": {"of": name}} for name in names]
    return {"version": 3, "deployment": {"resources": resources}}


def kept(project: Path, name: str, *stacks: str, warm: bool = True) -> Snapshot:
    folder = project / "snapshots" / name
    folder.mkdir(parents=True)
    for stack in stacks:
        snapshots._keep(stack, folder / "stacks" / stack)
    made = Snapshot(
        **vars(Label(name, "", "c0ffee", stacks, "")), made="2026-12-01T02:00:00+00:00", warm=warm,
        layer="a", hardware={"accelerator": "tcg"},
    )  # fmt: skip
    made.keep(folder)
    return made


@pytest.fixture(autouse=True)
def no_machine(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def restore(name: str, outside: object, *_: object) -> None:
        assert callable(outside)
        outside(project / "snapshots" / name)

    monkeypatch.setattr("lab.snapshots.saving.restore", restore)
    monkeypatch.setattr("lab.snapshots.load_labmachine", SimpleNamespace)


def test_a_stack_s_folder_and_state_come_back(project: Path, pulumi: StandIn) -> None:
    kept(project, "one", "mini")
    old = project / "stacks/mini/overlays/san1/overlay-1.tar.gz"
    at = old.stat().st_mtime_ns
    pulumi.states["mini"] = deployment("san1", "nfs1")
    put(project, "mini/seed", "now")
    put(project, "mini/overlays/san1/overlay-2.tar.gz", "newer")
    os.utime(old)
    snapshots.restore("one")
    assert pulumi.states["mini"] == deployment("san1")
    assert (project / "stacks/mini/seed").read_text() == "then"
    assert [each.name for each in old.parent.iterdir()] == [old.name]
    assert old.stat().st_mtime_ns == at
    assert (project / "stacks/mini/run.lock").exists()
    assert not (project / "stacks/mini/state.json").exists()


def test_a_stack_that_was_removed_since_is_made_again(project: Path, pulumi: StandIn) -> None:
    kept(project, "one", "mini")
    del pulumi.states["mini"]
    snapshots.restore("one")
    assert pulumi.states["mini"] == deployment("san1")


def test_a_rack_that_was_raised_since_is_gone_by_its_state_too(
    project: Path, pulumi: StandIn
) -> None:
    kept(project, "one", "mini")
    snapshots.restore("one")
    assert pulumi.states["moving"] == {}
    assert (project / "stacks/moving/seed").read_text() == "then"


@pytest.mark.parametrize("note", ["two\nlines", "x" * 201])
def test_a_note_is_a_line(project: Path, pulumi: StandIn, note: str) -> None:
    done = CliRunner().invoke(app, ["snapshot", "save", "one", "--note", note])
    assert "one line of at most 200 characters" in str(done.exception)


@pytest.mark.parametrize("name", ["", "a b", "x" * 65, "one"])
def test_a_name_that_can_t_be_is_refused_before_a_run_is_waited_for(
    project: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    kept(project, "one")
    monkeypatch.setattr("lab.snapshots._alone", pytest.fail)
    with pytest.raises((ConfigError, MachineError)):
        snapshots.save(name, "")


def test_it_is_of_the_stacks_that_are_raised_when_the_runs_it_waits_for_have_ended(
    project: Path, pulumi: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: dict[str, dict[str, object]] = {"mini": {}, "quorum": deployment("laptop")}
    waited: list[str] = []

    @contextmanager
    def only(stack: str, _what: str) -> Iterator[None]:
        waited.append(stack)
        if stack in ends:
            pulumi.states[stack] = ends[stack]
        yield

    labels: list[Label] = []
    monkeypatch.setattr("lab.snapshots.runs.only", only)
    monkeypatch.setattr("lab.inventory.under_way_on_virtual", lambda: ["quorum"])
    monkeypatch.setattr("lab.snapshots.saving.save", lambda label, *_: labels.append(label))
    snapshots.save("one", "")
    assert waited == ["mini", "moving", "quorum"]
    assert [sorted(each.stacks) for each in labels] == [["moving", "quorum"]]


def test_a_rack_that_is_raised_while_it_waits_is_waited_for_too(
    project: Path, pulumi: StandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[str] = []

    @contextmanager
    def only(stack: str, _what: str) -> Iterator[None]:
        waited.append(stack)
        pulumi.states["quorum"] = deployment("laptop")
        yield

    monkeypatch.setattr("lab.snapshots.runs.only", only)
    monkeypatch.setattr("lab.inventory.under_way_on_virtual", list)
    with snapshots._alone("x", "") as raised:
        assert "quorum" in raised
    assert waited == ["mini", "moving", "mini", "moving", "quorum"]


def lock_of(backend: Path, pid: int) -> Path:
    file = backend / ".pulumi/locks/organization/rack-lab/mini/some-id.json"
    file.parent.mkdir(parents=True)
    file.write_text(json.dumps({"pid": pid, "hostname": socket.gethostname()}))
    return file


@pytest.mark.parametrize("pulumi_runs", [False, True])
def test_a_killed_run_s_lock_goes_and_a_living_one_s_is_told_before_the_machine_is_touched(
    project: Path, pulumi: StandIn, monkeypatch: pytest.MonkeyPatch, pulumi_runs: bool
) -> None:
    kept(project, "one", "mini")
    monkeypatch.setattr("lab.pulumi_cli.backend", lambda: f"file://{project}")
    monkeypatch.setattr("lab.locks._runs", lambda *_: pulumi_runs)
    lock = lock_of(project, 7)
    if not pulumi_runs:
        snapshots.restore("one")
        assert not lock.exists()
        return
    monkeypatch.setattr("lab.snapshots.saving.restore", pytest.fail)
    with pytest.raises(LabError, match="stack mini is locked by process 7 on"):
        snapshots.restore("one")


def test_a_kept_rack_s_name_is_nobody_else_s(project: Path) -> None:
    done = CliRunner().invoke(app, ["--stack", "mini", "snapshot", "save", "raised-mini"])
    assert "begin with raised-" in str(done.exception)


@pytest.mark.parametrize("command", ["save", "restore"])
def test_a_real_lab_machine_has_none(
    project: Path, pulumi: StandIn, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    kept(project, "one", "mini")
    options = {"machine": "ssh://root@h"}
    monkeypatch.setattr("lab.commands.snapshot.stacks.options", lambda _: options.get)
    done = CliRunner().invoke(app, ["snapshot", command, "one"])
    assert "a real lab machine has no snapshots" in str(done.exception)


def test_what_goes_is_asked_before(project: Path, pulumi: StandIn) -> None:
    kept(project, "one", "mini")
    done = CliRunner().invoke(app, ["snapshot", "restore", "one"], input="n\n")
    assert done.exit_code == 1
    assert "The racks of these stacks go: moving." in done.stdout
    assert pulumi.states["moving"]
    nobody = CliRunner().invoke(app, ["snapshot", "restore", "one"], input="")
    assert nobody.exit_code == 1
    assert "to go on without one: --yes" in nobody.output
    assert pulumi.states["moving"]
    assert CliRunner().invoke(app, ["snapshot", "restore", "one", "--yes"]).exit_code == 0
    assert not pulumi.states["moving"]


@pytest.mark.parametrize(
    ("warm", "told"),
    [
        (True, ["It is slow for a minute", "lab --stack mini status"]),
        (False, ["is off. Start it: lab machine up", "Then its rack: lab --stack mini start"]),
    ],
)
def test_what_comes_after_going_back_is_told(
    project: Path, pulumi: StandIn, *, warm: bool, told: list[str]
) -> None:
    kept(project, "one", "mini", warm=warm)
    done = CliRunner().invoke(app, ["snapshot", "restore", "one", "--yes"])
    assert done.exit_code == 0
    assert [each for each in told if each not in done.stdout] == []


def test_what_differs_is_told_by_resource(project: Path, pulumi: StandIn) -> None:
    kept(project, "one", "mini", "moving")
    same = CliRunner().invoke(app, ["snapshot", "diff", "one"])
    assert same.stdout == "No resource is another than in one.\n"
    pulumi.states["mini"] = deployment("san2")
    done = CliRunner().invoke(app, ["snapshot", "diff", "one"])
    what = "(libvirt:index/domain:Domain)"
    assert done.stdout.splitlines() == [f"- mini: san1 {what}", f"+ mini: san2 {what}"]


def test_the_list_has_all_that_tells_one_from_another(project: Path, pulumi: StandIn) -> None:
    assert "make one: lab snapshot save" in CliRunner().invoke(app, ["snapshot", "list"]).stdout
    kept(project, "one", "mini", "moving")
    said = CliRunner().invoke(app, ["snapshot", "list"]).stdout
    for word in ("one", "2026-12-01 02:00", "warm", "mini, moving", "c0ffee", "MiB"):
        assert word in said


def test_the_salt_that_pulumi_writes_is_no_change_of_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshots, "PROJECT", tmp_path)
    assert snapshots.project_commit() == ""  # a copy without git's folder
    own = ["-c", "user.name=u", "-c", "user.email=u@example.org"]
    for name in ("Pulumi.mini.yaml", "code.py"):
        (tmp_path / name).touch()
    for words in (["init", "-q"], ["add", "."], [*own, "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=tmp_path, check=True)
    commit = snapshots.project_commit()
    assert len(commit) == 12
    (tmp_path / "Pulumi.mini.yaml").write_text("encryptionsalt: v1:x")
    assert snapshots.project_commit() == commit
    (tmp_path / "code.py").write_text("pass")
    assert snapshots.project_commit() == f"{commit}-dirty"
