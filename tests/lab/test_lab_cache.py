"""What `lab cache` says."""

import os
from pathlib import Path

import pytest
from typer.testing import CliRunner

from artefacts import cached
from lab.commands import cache


def test_sizes_are_shown_and_the_old_ones_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(cache, "OLD", tmp_path / "older")
    (tmp_path / "older").mkdir()

    def build(work: Path) -> None:
        (work / "file").write_bytes(b"x" * (3 << 20))

    os.utime(cached("thing", "old", build), (0, 0))
    cached("thing", "new", build)
    shown = CliRunner().invoke(cache.cache_app, [])
    assert shown.exit_code == 0
    assert "thing/old" in shown.output
    assert "2 artefacts" in shown.output
    assert "is the cache of an older version" in shown.output
    removed = CliRunner().invoke(cache.cache_app, ["prune"])
    assert removed.output.splitlines()[0] == "thing/old"
    assert "1 artefacts" in CliRunner().invoke(cache.cache_app, []).output
