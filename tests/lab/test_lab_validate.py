"""`lab validate`, through the command line: exit codes, streams, nothing written."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from config.load import FOLDER, shipped
from config.settings import PROJECT
from lab.main import app


def lab(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_shipped_topologies_can_be_used() -> None:
    files = [str(FOLDER / f"{name}.yaml") for name in shipped()]
    done = lab("--stack", "mini", "validate", *files)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("can be used") == len(files) > 5
    assert "\nmini.yaml can be used: 9 machines take" in done.stdout


def test_each_wrong_one_is_told_with_its_lines(tmp_path: Path) -> None:
    wrong, other = tmp_path / "wrong.yaml", tmp_path / "other.yaml"
    wrong.write_text("extends: mini\nmachines:\n  router: {memory: 1MiB}\n")
    other.write_text("a: [")
    right = str(FOLDER / "mini.yaml")
    done = lab("--stack", "mini", "validate", str(wrong), right, str(other))
    assert done.exit_code == 1
    assert "machines.router.memory: 1MiB (line 3)" in done.stderr
    assert "other.yaml can't be used" in done.stderr
    assert "mini.yaml can be used" in done.stdout


def test_a_file_in_the_folder_one_is_in_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = lab("--stack", "mini", "validate", "none.yaml", ".")
    assert "a file in here/" in done.stderr
    assert "\n. can't be used" in done.stderr


def test_the_lab_machine_s_settings_are_no_topology(tmp_path: Path) -> None:
    own = tmp_path / "labmachine.yaml"
    own.write_text("# mine\ncores: 4\n")
    done = lab("--stack", "mini", "validate", str(FOLDER / own.name), str(own))
    assert (done.exit_code, done.stderr) == (0, "")
    assert "labmachine.yaml can be used: 4 cores, 10GiB of memory, disks disk1, " in done.stdout
    own.write_text("# mine\ncores: 0\n")
    done = lab("--stack", "mini", "validate", str(own), str(tmp_path / "none" / own.name))
    assert done.exit_code == 1
    assert "cores: 0 (line 2)" in done.stderr
    assert "a file in none/" in done.stderr


def test_the_lab_machine_s_settings_are_no_topology_of_a_stack_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "Pulumi.own.yaml").write_text("config: {lab:topology: labmachine}\n")
    monkeypatch.setattr("config.stacks.PROJECT", tmp_path)
    done = lab("--stack", "own", "validate")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "labmachine.yaml can't be used" in done.stderr


def test_without_files_the_stack_s_is_checked() -> None:
    before = sorted(PROJECT.glob(".lab/stacks/*"))
    done = lab("--stack", "moving", "validate")
    assert (done.exit_code, done.stdout.split()[0]) == (0, "moving.yaml")
    assert sorted(PROJECT.glob(".lab/stacks/*")) == before
