"""The command line: what a user can cause is one screen and 1, wrong usage is 2."""

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from artefacts import CommandFailed
from config.settings import PROJECT
from lab.errors import INTERRUPTED, told
from lab.main import main
from labmachine import machine
from labmachine.state import State

Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stack's own folder; the project is the real one."""
    found = tmp_path / "stack"
    for place in ("config.settings", "lab.runs", "lab.commands.stacks"):
        monkeypatch.setattr(f"{place}.stack_folder", lambda _: found)
    monkeypatch.setattr("config.settings.Settings.ssh_config", Path("ssh_config"))
    return found


@pytest.fixture
def lab(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Command:
    """Runs `lab --stack mini`, with no machine that answers; exit code and what was printed."""

    def silent(*_: object, **__: object) -> str:
        raise CommandFailed(["ssh"], "ssh: Connection refused")

    for place in ("status", "remote", "power", "fault", "publish", "converge", "idle"):
        monkeypatch.setattr(f"lab.{place}.ask", silent)
    monkeypatch.setattr("lab.remote.on_lab_machine", silent)
    monkeypatch.setattr("lab.power.PATIENCE_S", 0)
    monkeypatch.setattr("labmachine.machine.require_running", lambda: None)

    def run(*words: str, stack: str = "mini") -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["lab", "--stack", stack, *words])
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        assert isinstance(code, int)
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


UNKNOWN = (
    "wait nope", "commit nope", "converge nope key sum",
    "publish entry nope key sum", "publish stick nope /dev/x", "publish stick router /dev/x",
    "publish image nope key", "logs nope", "ssh nope", "console nope", "power nope on",
    "fault disk nope sda", "fault disk storage1 sdz", "fault link nope lan",
    "fault link storage1 wan", "fault freeze nope", "boot-server move nope",
)  # fmt: skip
SILENT = ("status", "logs san1", "power laptop on", "power storage1 status", "idle")
USAGE = (
    "nope", "power", "power laptop explode", "cycle --rounds 0", "cycle --rounds -1",
    "cycle --seed x", "cycle --only nope", "idle --seconds nan", "idle --seconds -1",
    "idle --seconds inf", "status --nope", "machine nope", "publish entry",
)  # fmt: skip


@pytest.mark.parametrize("line", UNKNOWN)
def test_an_unknown_name_is_told_with_those_there_are(lab: Command, line: str) -> None:
    code, out, err = lab(*line.split())
    assert (code, out) == (1, "")
    assert "remedy:" in err


@pytest.mark.parametrize("line", SILENT)
def test_what_couldn_t_be_done_is_no_success(lab: Command, line: str) -> None:
    code, _, err = lab(*line.split())
    assert code == 1
    assert err


REQUIRE_RUNNING = machine.require_running  # the fixture replaces it
NEEDING = (
    "ssh laptop", "console laptop", "power laptop on", "power storage1 status", "power all off",
    "cycle", "fault disk storage1 sda", "fault link san1 lan", "fault freeze san1",
    "boot-server move compute1", "logs laptop", "idle", "clear", "wait storage1", "publish bmcs",
)  # fmt: skip


@pytest.mark.parametrize("line", NEEDING)
def test_a_lab_machine_that_is_off_is_told_at_once(
    lab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    off = State(tmp_path / "machine")
    monkeypatch.setattr("labmachine.machine.require_running", lambda: REQUIRE_RUNNING(off))
    told = "the lab machine is off; start it: lab machine up\n"
    assert lab(*line.split()) == (1, "", told)


def test_who_interrupts_is_told_how_to_go_on(lab: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("labmachine.machine.up", interrupted)
    told = "interrupted; to go on run the same command again\n"
    assert lab("machine", "up") == (130, "", told)


@pytest.mark.parametrize("line", USAGE)
def test_wrong_usage_is_2(lab: Command, line: str) -> None:
    code, _, err = lab(*line.split())
    assert code == 2
    assert "Usage" in err


@pytest.mark.parametrize("line", ["report", "diagram --mermaid"])
def test_what_was_asked_was_done_and_nothing_written(lab: Command, folder: Path, line: str) -> None:
    assert lab(*line.split())[0] == 0
    assert not folder.exists()


@pytest.mark.parametrize("line", ["report", "status", "ssh laptop", "machine up"])
@pytest.mark.parametrize("stack", ["mni", "größe", "-x", ""])
def test_a_stack_that_isn_t_there_is_refused(lab: Command, stack: str, line: str) -> None:
    code, _, err = lab(*line.split(), stack=stack)
    assert code == 1
    assert "remedy:" in err


@pytest.mark.parametrize("stack", ["mni", ""])
def test_nothing_is_built_for_a_stack_that_isn_t_there(
    lab: Command, monkeypatch: pytest.MonkeyPatch, stack: str
) -> None:
    started: list[str] = []
    monkeypatch.setattr("lab.build.build", started.append)
    code, _, err = lab("build", stack=stack)
    assert (code, started) == (1, [])
    assert "remedy:" in err


FILES = {
    "a full disk": ("status", OSError(errno.ENOSPC, "No space left on device", "/x"), "free space"),
    "a read-only one": ("status", OSError(errno.EROFS, "Read-only file system", "/x"), "/x: "),
    "another user's": ("status", PermissionError(errno.EACCES, "Permission denied", "/x"), "ls -l"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_system_s_refusal_is_one_screen(
    lab: Command, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    line, error, said = FILES[case]

    def refuse(_: int) -> None:
        raise error

    monkeypatch.setattr(os, "fsync", refuse)
    code, _, err = lab(*line.split())
    assert code == 1
    assert said in err
    assert err.count("\n") <= 2


def test_a_picture_that_can_t_be_written_is_told(lab: Command, tmp_path: Path) -> None:
    for place in (tmp_path / "no" / "x.svg", tmp_path):
        code, _, err = lab("diagram", str(place))
        assert code == 1
        assert str(place) in err


def test_a_seed_that_is_a_folder_is_told(lab: Command, folder: Path) -> None:
    (folder / "seed").mkdir(parents=True)
    code, _, err = lab("status")
    assert code == 1
    assert "seed" in err


def test_a_timeline_of_no_file_is_told(
    lab: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.pulumi_cli.state", lambda _: {})
    code, _, err = lab("timeline", str(tmp_path / "nothing.json"))
    assert code == 1
    assert "nothing.json" in err
    (tmp_path / "events.json").write_text("hello\nworld\n")
    code, _, err = lab("timeline", str(tmp_path / "events.json"))
    assert code == 1
    assert "line 1" in err


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("status", ["internet 10.77.2.2", "http://10.77.5.71/nbd.txt", "nbd://10.77.3.41/share"]),
        ("report", ["10.77.5.61   52:54:", "10.77.6.131  -"]),
    ],
)
def test_addresses_and_urls_are_whole_on_80_columns(
    lab: Command, monkeypatch: pytest.MonkeyPatch, line: str, whole: list[str]
) -> None:
    monkeypatch.setattr("lab.commands.context.screen._width", 80)
    _, out, _ = lab(line)
    assert [word for word in whole if word not in out] == []
    rows = [each for each in out.splitlines() if "→" not in each]
    assert [each for each in rows if len(each) > 80] == []


def test_a_terminal_without_arrows_is_no_error() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from lab.main import main; main()", "--stack", "mini", "report"],
        cwd=PROJECT, env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, b"")
    assert b"NBD" in done.stdout


@pytest.mark.parametrize(("program", "word"), [("lab", "--help"), ("pulumi", "install")])
def test_the_user_s_own_python_modules_are_none_of_its(
    program: str, word: str, tmp_path: Path
) -> None:
    (tmp_path / "config.py").write_text("OWN = 1\n")
    hostile = {"PYTHONPATH": str(tmp_path), "PYTHONHOME": str(tmp_path / "nowhere")}
    done = subprocess.run(
        [Path(sys.prefix) / "bin" / program, word], cwd=PROJECT, env={**os.environ, **hostile},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_that_ends_it_is_as_ctrl_c(number: signal.Signals) -> None:
    undone = []
    try:
        with pytest.raises(SystemExit) as end, told():
            try:
                signal.raise_signal(number)
            finally:
                undone.append(number)
    finally:
        signal.signal(number, signal.SIG_DFL)
    assert (end.value.code, undone) == (INTERRUPTED, [number])
