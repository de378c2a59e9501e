"""Whose process a pidfile means."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from labmachine.machine import status
from labmachine.state import State


@contextmanager
def _process(pidfile: Path) -> Iterator[int]:
    """A process that has the file open, as qemu has."""
    code = "import sys; kept = open(sys.argv[1], 'a'); print(flush=True); sys.stdin.read()"
    with subprocess.Popen(
        [sys.executable, "-c", code, pidfile], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process.pid
        process.kill()


def test_without_a_pidfile_there_is_no_machine(tmp_path: Path) -> None:
    assert State(tmp_path).pid() is None


def test_a_broken_pidfile_is_no_machine(tmp_path: Path) -> None:
    State(tmp_path).pidfile.write_text("not a number")
    assert State(tmp_path).pid() is None


def test_a_dead_process_is_no_machine(tmp_path: Path) -> None:
    state = State(tmp_path)
    with _process(state.pidfile) as pid:
        state.pidfile.write_text(f"{pid}\n")
        assert state.pid() == pid
    assert state.pid() is None


def test_a_foreign_process_with_our_number_is_no_machine(tmp_path: Path) -> None:
    state = State(tmp_path)
    with _process(tmp_path / "elsewhere.pid") as pid:
        state.pidfile.write_text(f"{pid}\n")
        assert state.pid() is None


def test_the_machine_is_known_after_its_folder_was_moved(tmp_path: Path) -> None:
    before, after = State(tmp_path / "before"), State(tmp_path / "after")
    before.folder.mkdir()
    with _process(before.pidfile) as pid:
        before.pidfile.write_text(f"{pid}\n")
        before.folder.rename(after.folder)
        assert after.pid() == pid


def test_status_looks_only(tmp_path: Path) -> None:
    state = State(tmp_path / "machine")
    assert status(state=state).state == "absent"
    assert not state.folder.exists()


def test_the_last_console_lines_skip_empty_ones(tmp_path: Path) -> None:
    state = State(tmp_path)
    assert state.last_console_lines() == []
    state.console_log.write_text("one\r\n\r\ntwo\r\nthree")
    assert state.last_console_lines(2) == ["two", "three"]
