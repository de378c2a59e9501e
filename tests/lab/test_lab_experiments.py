"""New experiments: what is written, what is refused."""

import errno
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.load import FOLDER, load_topology
from lab import experiments


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with nothing but the whole rack."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config/rack.yaml").write_text((FOLDER / "rack.yaml").read_text())
    for place in ("lab.experiments.FOLDER", "config.load.FOLDER"):
        monkeypatch.setattr(place, tmp_path / "config")
    for place in ("lab.experiments.PROJECT", "config.stacks.PROJECT"):
        monkeypatch.setattr(place, tmp_path)
    return tmp_path


def test_a_new_experiment_is_the_rack_it_extends(project: Path) -> None:
    files = experiments.new("try", "rack")
    assert files == (project / "config/try.yaml", project / "Pulumi.try.yaml")
    assert load_topology(files[0], "x") == load_topology(project / "config/rack.yaml", "x")
    assert files[0].read_text().startswith("# yaml-language-server: $schema=topology.schema.json\n")
    assert files[1].read_text() == "config:\n  lab:topology: try\n"


@pytest.mark.parametrize(
    ("name", "base"),
    [
        ("rack", "rack"),
        ("a/b", "rack"),
        ("größe", "rack"),
        ("x" * 28, "rack"),
        ("try", "nothing"),
        ("try", "../config/rack"),
        ("try", "labmachine"),
    ],
)
def test_a_refused_one_leaves_nothing(project: Path, name: str, base: str) -> None:
    before = sorted(project.rglob("*"))
    with pytest.raises(ConfigError):
        experiments.new(name, base)
    assert sorted(project.rglob("*")) == before


def test_one_that_a_full_disk_stops_leaves_nothing(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write, before = Path.write_text, sorted(project.rglob("*"))

    def full(path: Path, text: str) -> int:
        if path.name.startswith("Pulumi."):
            path.touch()
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, text)

    monkeypatch.setattr("lab.experiments.Path.write_text", full)
    with pytest.raises(OSError, match="No space"):
        experiments.new("try", "rack")
    assert sorted(project.rglob("*")) == before
