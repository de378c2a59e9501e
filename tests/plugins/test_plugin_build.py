"""Which Pulumi is used, and the environment it gets."""

import json
from pathlib import Path

import pytest

from plugins.build import LANGUAGE_HOST, environment, home, users_own


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A user who has set nothing; returns their home."""
    for name in ("PULUMI_BACKEND_URL", "PULUMI_CREDENTIALS_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def login(folder: Path, backend: str) -> None:
    folder.mkdir()
    (folder / "credentials.json").write_text(json.dumps({"current": backend}))


def test_pulumi_keeps_to_the_project(tmp_path: Path) -> None:
    found = environment(tmp_path)
    assert found["PULUMI_HOME"] == str(home())
    assert found["PULUMI_BACKEND_URL"].endswith("/.lab/state")
    venv, tools = found["PATH"].split(":")[:2]
    assert Path(venv, "python").exists()
    assert tools == f"{tmp_path}/bin"


def test_the_users_backend_is_used(
    monkeypatch: pytest.MonkeyPatch, nobody: Path, tmp_path: Path
) -> None:
    login(nobody / ".pulumi", "s3://states")
    found = environment(tmp_path)
    assert found["PULUMI_CREDENTIALS_PATH"] == str(nobody / ".pulumi")
    assert "PULUMI_BACKEND_URL" not in found
    (nobody / ".pulumi" / "credentials.json").write_text("{}")
    monkeypatch.setenv("PULUMI_BACKEND_URL", "s3://other")
    assert "PULUMI_BACKEND_URL" not in environment(tmp_path)


@pytest.mark.parametrize(
    ("version", "fits"),
    [("v3.255.0", True), ("v3.300.1", True), ("v3.254.9", False), ("v4.0.0", False), ("?", False)],
)
def test_the_users_pulumi_is_used_if_it_is_new_enough(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, version: str, fits: bool
) -> None:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("pulumi", *LANGUAGE_HOST):
        (folder / name).write_text(f"#!/bin/sh\necho {version}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    assert bool(users_own()) == fits
    (folder / LANGUAGE_HOST[0]).unlink()
    assert users_own() == []  # it would have to be downloaded
