"""Where artefacts go, that a killed build leaves nothing, and what is pruned."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from artefacts import CommandFailed, cache_root, cached, namespace, prune, run
from artefacts.cache import inputs_of, lock_of, locked
from artefacts.process import ending_together
from config.errors import ConfigError

DAY = 86400
BUILD = """
from artefacts import cached, run
def build(work):
    (work / "half").write_bytes(b"x")
    print("building", flush=True)
    run(["sh", "-c", "sleep 600 & echo $! > {pids}; sleep 600 & echo $! >> {pids}; wait"])
cached("thing", "killed", build)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def _artefact(name: str, *, made_from: tuple[str, ...] = (), days: float = 0) -> Path:
    def build(work: Path) -> None:
        for each in made_from:
            _artefact(each)
        (work / "file").write_bytes(b"x" * 5000)

    folder = cached("thing", name, build)
    for each in (folder, *(cache_root() / "thing" / inner for inner in made_from)):
        os.utime(each, (0, time.time() - days * DAY))
    return folder


@pytest.mark.parametrize(
    ("variables", "folder"),
    [
        ({"HOME": "/h"}, "/h/.cache/rack-lab"),
        ({"HOME": "/h", "LAB_CACHE": ""}, "/h/.cache/rack-lab"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x"}, "/x/rack-lab"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "relative"}, "/h/.cache/rack-lab"),
        ({"HOME": "/h", "XDG_CACHE_HOME": "/x", "LAB_CACHE": "/l"}, "/l"),
    ],
)
def test_artefacts_of_all_clones_go_to_one_folder(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], folder: str
) -> None:
    made: list[Path] = []
    monkeypatch.setattr(Path, "mkdir", lambda path, **_options: made.append(path))
    for name in ("HOME", "XDG_CACHE_HOME", "LAB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_root() == Path(folder)
    assert made == [Path(folder)]


@pytest.mark.parametrize("value", ["cache", "a/cache", "/a:b", "/dev/null/cache"])
def test_a_folder_that_can_t_be_the_cache_is_named(
    monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("LAB_CACHE", value)
    with pytest.raises(ConfigError, match=f"LAB_CACHE: {value}"):
        cache_root()


def test_without_a_home_the_variable_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("XDG_CACHE_HOME", "LAB_CACHE"):
        monkeypatch.delenv(name, raising=False)

    def homeless(_cls: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(homeless))
    with pytest.raises(ConfigError, match="export LAB_CACHE="):
        cache_root()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL, signal.SIGINT])
def test_a_killed_build_leaves_no_process_and_the_next_one_no_folder(
    tmp_path: Path, cache: Path, number: signal.Signals
) -> None:
    pids = tmp_path / "pids"
    code = BUILD.format(pids=pids)
    # Tests that a script has started in the background ignore SIGINT (POSIX sh, 2.11).
    argv = ["env", "--default-signal=INT", sys.executable, "-c", code]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as building:
        assert building.stdout is not None
        building.stdout.readline()
        _until(lambda: pids.exists() and len(pids.read_text().split()) == 2)
        building.send_signal(number)
    for pid in pids.read_text().split():
        _until(lambda pid=pid: _dead(int(pid)))
    _artefact("other")  # another artefact's build cleans up too
    assert sorted(each.name for each in (cache / "thing").iterdir() if each.is_dir()) == ["other"]


def _dead(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _until(condition: object) -> None:
    assert callable(condition)
    for _ in range(200):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("not within 10 s")


def test_the_users_umask_is_in_no_artefact() -> None:
    def build(work: Path) -> None:
        (work / "folder").mkdir()
        (work / "folder/file").touch()

    found = []
    for name, umask in (("open", 0), ("private", 0o077)):
        before = os.umask(umask)
        try:
            made = cached("thing", name, build)
            assert os.umask(umask) == umask
        finally:
            os.umask(before)
        parts = (made, made / "folder", made / "folder/file")
        found.append([oct(each.stat().st_mode) for each in parts])
    assert found[0] == found[1] == ["0o40755", "0o40755", "0o100644"]


def test_what_failed_is_built_again(cache: Path) -> None:
    def fails(_work: Path) -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        cached("thing", "one", fails)
    assert _artefact("one").is_dir()
    assert not (cache / "thing/.one.work").exists()


def test_use_is_noted() -> None:
    made = _artefact("one", days=40)
    assert made.stat().st_mtime < time.time() - 39 * DAY
    cached("thing", "one", lambda work: None)
    assert made.stat().st_mtime > time.time() - DAY


def test_prune_takes_what_was_not_used_nor_needed_for_what_was(cache: Path) -> None:
    used = _artefact("used", made_from=("part",))
    os.utime(cache / "thing/part", (0, 0))
    _artefact("old", made_from=("olds-part",), days=31)
    _artefact("recent", days=29)
    assert inputs_of(used).read_text() == "thing/part\n"
    assert [each.name for each in prune.prune(30)] == ["thing/old", "thing/olds-part"]
    assert [each.name for each in prune.entries()] == ["thing/part", "thing/recent", "thing/used"]
    assert all(each.size >= 5000 for each in prune.entries())
    assert not list((cache / "thing").glob(".old*"))


def test_prune_leaves_what_another_run_holds() -> None:
    made = _artefact("held", days=31)
    with locked(lock_of(made)):
        assert prune.prune(30) == []
    assert [each.name for each in prune.prune(30)] == ["thing/held"]


def test_what_else_is_in_the_folder_is_left(cache: Path) -> None:
    """LAB_CACHE=$HOME, say."""
    for name in ("src/.git", "src/.git.work", "src/old"):
        (cache / name).mkdir(parents=True)
        os.utime(cache / name, (0, 0))
    _artefact("one", days=31)
    assert [each.name for each in prune.prune(30)] == ["thing/one"]
    _artefact("two")
    assert sorted(each.name for each in (cache / "src").iterdir()) == [".git", ".git.work", "old"]


def test_where_owners_matter_an_ordinary_user_is_root_of_a_namespace(
    monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    started: list[list[str]] = []

    def run(argv: list[str], **_options: object) -> None:
        started.append(argv)
        (cache / "thing/one").mkdir(parents=True)

    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    monkeypatch.setattr(namespace, "run", run)
    for _again in range(2):
        made = cached("thing", "one", lambda _work: pytest.fail("built here"), module="a.module")
        assert made == cache / "thing/one"
    assert started == [[*namespace.NAMESPACE, sys.executable, "-m", "a.module"]]


def test_what_is_started_after_the_end_does_not_run(tmp_path: Path) -> None:
    with ending_together() as end:
        end()
        with pytest.raises(CommandFailed, match="not started"):
            run(["touch", tmp_path / "late"])
    run(["touch", tmp_path / "later"])
    assert [each.name for each in tmp_path.iterdir()] == ["later"]
