"""What `lbu commit` changed, through the real Pulumi: refresh shows it, `up` keeps it."""

from pathlib import Path

import pytest
from plugin_harness import Project, Run

from config.settings import PROJECT

PROGRAM = """
import os
from types import SimpleNamespace
import pulumi
from components.commits import Commit

wanted = [os.environ["OWN"]]
made = Commit(SimpleNamespace(stack="test"), "router", wanted, pulumi.ResourceOptions())
pulumi.export("commit", made.commit)
"""
LAB = """#!/bin/sh
echo "$*" >>"$LAB_SEEN.calls"
cat "$LAB_SEEN"
"""
UP = ("up", "--yes", "--skip-preview")
REFRESH = ("refresh", "--yes", "--skip-preview")


@pytest.fixture
def seen(tmp_path: Path) -> Path:
    """The sha256 that a `lab` in the real one's place finds."""
    lab = tmp_path / "bin" / "lab"
    lab.parent.mkdir()
    lab.write_text(LAB)
    lab.chmod(0o755)
    found = tmp_path / "seen"
    found.write_text("")
    return found


@pytest.fixture
def run(project: Project, pulumi: dict[str, str], seen: Path) -> Run:
    path = f"{seen.parent}/bin:{pulumi['PATH']}"
    environ = {"PATH": path, "PYTHONPATH": str(PROJECT), "LAB_SEEN": str(seen), "OWN": "1"}
    return project(PROGRAM, environ)


def test_a_commit_is_drift_and_is_kept(run: Run, seen: Path) -> None:
    run("preview")
    calls = seen.with_suffix(".calls")
    assert not calls.exists()  # a preview contacts nobody
    run(*UP)
    assert calls.read_text() == "--stack test committed router\n"
    seen.write_text("5f3c\n")
    run(*UP, "--expect-no-changes")
    assert run("stack", "output", "commit") == "\n"
    assert "~ 1 updated" in run(*REFRESH)
    assert "~ 1 to update" in run("preview")
    run(*UP)
    assert run("stack", "output", "commit") == "5f3c\n"
    run(*UP, "--expect-no-changes")
    run(*REFRESH, "--expect-no-changes")


def test_the_programs_own_commit_is_no_drift(run: Run, seen: Path) -> None:
    run(*UP)
    seen.write_text("77aa\n")
    run(*UP, OWN="2")
    assert run("stack", "output", "commit") == "77aa\n"
    run(*REFRESH, "--expect-no-changes", OWN="2")


def test_without_a_boot_server_it_is_kept_as_last_seen(run: Run, seen: Path) -> None:
    seen.write_text("77aa\n")
    run(*UP)
    seen.unlink()
    assert "kept as last seen" in run(*REFRESH)
    assert run("stack", "output", "commit") == "77aa\n"
    run("destroy", "--yes", "--skip-preview")
