"""What the log of a run holds, and whose lines it takes."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from artefacts import CommandFailed, run, step
from lab import logs


@pytest.fixture(autouse=True)
def fresh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No handler and no variable of another test's, and stacks' folders of its own."""
    monkeypatch.setattr(logs, "stack_folder", lambda stack: tmp_path / stack)
    monkeypatch.setenv(logs.VARIABLE, "")
    yield
    for handler in logs.logger.handlers[:]:
        logs.logger.removeHandler(handler)
        handler.close()
    logs.logger.setLevel(logging.NOTSET)


def _files(stack: Path) -> list[Path]:
    return sorted((stack / "log").iterdir())


def test_a_run_s_log_has_steps_programs_and_what_they_wrote(tmp_path: Path) -> None:
    logs.keep("mini", "lab power")
    with step("a step"), pytest.raises(CommandFailed):
        run(["sh", "-c", "echo the reason >&2; exit 3"])
    (file,) = _files(tmp_path / "mini")
    assert file.name.endswith("Z-lab-power.log")
    assert file.stat().st_mode & 0o777 == 0o600
    text = file.read_text()
    assert "lab power, stack mini" in text
    assert "a step …" in text
    assert "sh -c 'echo the reason >&2; exit 3': exit code 3, 0." in text
    assert "the reason\n" in text


def test_what_a_program_is_told_on_standard_input_is_in_no_log(tmp_path: Path) -> None:
    logs.keep("mini", "lab power")
    assert run(["cat"], stdin=b"secret") == "secret"
    (file,) = _files(tmp_path / "mini")
    assert "cat: exit code 0" in file.read_text()
    assert "secret" not in file.read_text()


def test_programs_of_one_run_write_to_one_file(tmp_path: Path) -> None:
    logs.keep("mini", "pulumi up")
    assert logs.of_this_run() == {logs.VARIABLE: os.environ[logs.VARIABLE]}
    logs.keep("mini", "lab publish")
    (file,) = _files(tmp_path / "mini")
    assert "pulumi up, stack mini" in file.read_text()
    assert "lab publish, stack mini" in file.read_text()


@pytest.mark.parametrize("elsewhere", ["five/log/x.log", "mini/log/gone.log", "x.log"])
def test_a_file_that_is_none_of_the_stack_s_is_not_written_to(
    elsewhere: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / elsewhere
    if "gone" not in elsewhere:
        other.parent.mkdir(parents=True, exist_ok=True)
        other.write_text("as it was")
    monkeypatch.setenv(logs.VARIABLE, str(other))
    logs.keep("mini", "lab power")
    (file,) = _files(tmp_path / "mini")
    assert file.name.endswith("lab-power.log")
    assert not other.exists() or other.read_text() == "as it was"


def test_only_the_last_logs_of_a_command_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "mini/log"
    folder.mkdir(parents=True)
    for year in range(1970, 1970 + 2 * logs.KEPT):
        (folder / f"{year}0101T000000Z-lab-power.log").touch()
    (folder / "19600101T000000Z-pulumi-up.log").touch()
    logs.keep("mini", "lab power")
    first, *files = _files(tmp_path / "mini")
    assert first.name.endswith("-pulumi-up.log")
    assert len(files) == logs.KEPT
    assert files[0].name.startswith(f"{1970 + logs.KEPT + 1}")


@pytest.mark.parametrize(
    ("verbosity", "shown", "hidden"),
    [
        (0, ["→ a step"], ["exit code 0", "it wrote"]),
        (1, ["→ a step", "exit code 0"], ["it wrote", "\na step …"]),
        (2, ["→ a step", "exit code 0", "it wrote: more"], ["\na step …"]),
    ],
)
def test_verbosity_adds_programs_then_what_they_say(
    verbosity: int, shown: list[str], hidden: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    logs.show(verbosity)
    with step("a step"):
        run(["sh", "-c", "echo more >&2"])
    told = "\n" + capsys.readouterr().err
    assert all(each in told for each in shown), told
    assert not any(each in told for each in hidden), told
