"""The topologies that are shipped, and how one extends another."""

from pathlib import Path

import pytest

from config import load
from config.bill import bill
from config.checks import Hardware
from config.errors import ConfigError
from config.labmachine import load_labmachine
from config.load import FOLDER, load_topology, read_topology, shipped

SHIPPED = shipped()


def test_there_are_topologies() -> None:
    assert {"mini", "rack"} < set(SHIPPED)
    assert len(SHIPPED) >= 5


@pytest.mark.parametrize("name", SHIPPED)
def test_each_fits_the_virtual_lab_machine(name: str) -> None:
    machine = load_labmachine()
    hardware = Hardware(machine.memory, dict(machine.disks))
    rack = load_topology(FOLDER / f"{name}.yaml", name, hardware)
    assert bill(rack).memory < machine.memory


@pytest.mark.parametrize("name", SHIPPED)
def test_each_has_its_stack(name: str) -> None:
    stacks = [each.read_text() for each in FOLDER.parent.glob("Pulumi.*.yaml")]
    assert any(f"lab:topology: {name}\n" in stack for stack in stacks)


def test_changed_keys_alone_replace_the_base_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "FOLDER", tmp_path)
    (tmp_path / "base.yaml").write_text("a: {b: 1, c: [1, 2]}\nd: 3\ne: 4\n")
    (tmp_path / "middle.yaml").write_text("extends: base\na: {c: [3]}\n")
    (tmp_path / "top.yaml").write_text("extends: middle\na: {f: 5}\ne: null\n")
    assert read_topology(tmp_path / "top.yaml") == {"a": {"b": 1, "c": [3], "f": 5}, "d": 3}


def test_a_circle_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load, "FOLDER", tmp_path)
    (tmp_path / "one.yaml").write_text("extends: two\n")
    (tmp_path / "two.yaml").write_text("extends: one\n")
    with pytest.raises(ConfigError, match="one extends two extends one"):
        read_topology(tmp_path / "one.yaml")


@pytest.mark.parametrize(
    "base",
    ['"a\\0b"', "x" * 300, '"\\ud800"', "[mini]", "~", "5", "../mini", '"a b"', "folder", "mni"],
)
def test_what_extends_no_topology_is_refused(
    base: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "FOLDER", tmp_path)
    (tmp_path / "mini.yaml").write_text("a: 1\n")
    (tmp_path / "folder.yaml").mkdir()
    top = tmp_path / "top.yaml"
    top.write_text(f"# one\nextends: {base}\n")
    with pytest.raises(ConfigError, match=r"(top|folder)\.yaml can't be used"):
        read_topology(top)


def test_null_that_removes_nothing_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "FOLDER", tmp_path)
    (tmp_path / "base.yaml").write_text("machines: {san1: 1, nfs1: 2}\n")
    (tmp_path / "top.yaml").write_text("extends: base\nmachines:\n  sann1: null\n")
    with pytest.raises(ConfigError, match=r"machines.sann1: null \(line 3\)\n.*\n.*: san1$"):
        read_topology(tmp_path / "top.yaml")


def test_a_problem_of_the_base_names_the_base_s_line(tmp_path: Path) -> None:
    top = tmp_path / "top.yaml"
    top.write_text("extends: mini\nmachines: {storage1: {host: 31}}\n")
    with pytest.raises(ConfigError, match=r"compute1.host: 31 \(mini.yaml, line \d+\)"):
        load_topology(top, "mini")
