"""`make` is the short form: each process it starts is told the stack, and nothing else decides."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
NOTE = '#!/bin/sh\necho "${0##*/} $*" >>"$CALLS"\n[ "${FAIL:-}" != "${0##*/}" ]\n'
CALLS = {
    "up": [
        "lab --stack mini build",
        "lab --stack mini machine up --unless-kept",
        "pulumi up --stack mini --yes --skip-preview",
    ],
    "preview": ["pulumi preview --stack mini --diff"],
    "refresh": ["pulumi refresh --stack mini --yes"],
    "down": [
        "pulumi destroy --stack mini --yes --skip-preview",
        "lab --stack mini machine down --unless-used",
    ],
    "clean": ["lab --stack mini removable", "lab --stack mini machine down"],
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(PROJECT / "Makefile", tmp_path)
    for name in ("setup.sh", ".venv/bin/lab", ".venv/bin/pulumi"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("#!/bin/sh\n" if name == "setup.sh" else NOTE)
        file.chmod(0o755)
    (tmp_path / ".lab").mkdir()
    return tmp_path


def make(project: Path, *words: str, **more: str) -> int:
    environment = {k: v for k, v in os.environ.items() if k not in ("STACK", "MAKEFLAGS")}
    environment |= {"CALLS": str(project / "calls"), **more}
    return subprocess.run(
        ["make", *words], cwd=project, env=environment, capture_output=True, check=False
    ).returncode


@pytest.mark.parametrize("target", CALLS)
def test_the_stack_is_named_to_each_process(project: Path, target: str) -> None:
    assert make(project, target, "STACK=mini", PULUMI_STACK="servers") == 0
    assert (project / "calls").read_text().splitlines() == CALLS[target]


def test_a_rack_is_raised_anew_where_that_is_asked_for(project: Path) -> None:
    assert make(project, "up", "STACK=mini", "FRESH=1") == 0
    build, *rest = CALLS["up"]
    wanted = [build, "lab --stack mini snapshot forget", *rest]
    assert (project / "calls").read_text().splitlines() == wanted


def test_a_name_is_no_shell_code(project: Path) -> None:
    assert make(project, "preview", "STACK=a; touch x $(id)") == 0
    assert not (project / "x").exists()


def test_what_is_refused_starts_nothing_after_it(project: Path) -> None:
    """`lab build` refuses a stack that isn't there, before it builds anything."""
    assert make(project, "up", "STACK=mni", FAIL="lab") != 0
    assert (project / "calls").read_text().splitlines() == ["lab --stack mni build"]


def test_clean_leaves_all_while_a_stack_is_raised(project: Path) -> None:
    assert make(project, "clean", FAIL="lab") != 0
    assert (project / ".lab").is_dir()
    assert (project / ".venv").is_dir()
    assert make(project, "clean") == 0
    assert not (project / ".lab").exists()


def test_no_document_depends_on_a_selected_stack() -> None:
    documents = [PROJECT / "README.md", PROJECT / "Makefile", *(PROJECT / "docs").rglob("*.md")]
    lines = [line for each in documents for line in each.read_text().splitlines()]
    assert len(lines) > 100
    assert [line for line in lines if "stack select" in line] == []
