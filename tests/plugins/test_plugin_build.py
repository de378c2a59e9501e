"""Which Pulumi is used, and the environment it gets."""

import json
from pathlib import Path

import pytest

from plugins import build
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
    assert found["PULUMI_BACKEND_URL"].endswith("/.lab/state?metadata=skip")
    venv, tools = found["PATH"].split(":")[:2]
    assert Path(venv, "python").exists()
    assert tools == f"{tmp_path}/bin"


@pytest.mark.parametrize(
    ("users", "expected"),
    [
        ({}, "localhost,127.0.0.1,::1"),
        ({"no_proxy": "localhost"}, "localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "intern,10.0.0.0/8"}, "intern,10.0.0.0/8,localhost,127.0.0.1,::1"),
    ],
)
def test_processes_of_this_machine_talk_past_the_proxy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, users: dict[str, str], expected: str
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name, value in users.items():
        monkeypatch.setenv(name, value)
    found = environment(tmp_path)
    assert found["no_proxy"] == found["NO_PROXY"] == expected
    assert found["no_grpc_proxy"] == "localhost,127.0.0.1,::1"


def test_a_folder_with_any_letters_is_a_backend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(build, "PROJECT", tmp_path / "my rack ü#1%41?")
    url = environment(tmp_path)["PULUMI_BACKEND_URL"]
    assert url.endswith("/my%20rack%20%C3%BC%231%2541%3F/.lab/state?metadata=skip")


def test_without_a_home_nobody_is_logged_in(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def homeless(_cls: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", classmethod(homeless))
    assert "PULUMI_CREDENTIALS_PATH" not in environment(tmp_path)


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
    (tmp_path / "opt").mkdir()
    for name in ("pulumi", *LANGUAGE_HOST):
        program = tmp_path / "opt" / f"{name}-{version}"
        program.write_text(f"#!/bin/sh\necho {version}\n")
        program.chmod(0o755)
        (folder / name).symlink_to(program)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    found = users_own()
    assert bool(found.programs) == fits
    assert found.cli == tmp_path / "opt" / f"pulumi-{version}"
    assert version in found.why
    assert ("built here" in found.why) is not fits
    assert [each.name for each in found.programs] in ([], ["pulumi", *LANGUAGE_HOST])
    (folder / "pulumi").resolve().write_text("#!/bin/sh\nexec sleep 60\n")
    monkeypatch.setattr(build, "VERSION_S", 0.2)
    assert "doesn't tell its version" in users_own().why
    (folder / LANGUAGE_HOST[0]).unlink()  # it would have to be downloaded
    found = users_own()
    assert found.programs == ()
    assert f"lacks {LANGUAGE_HOST[0]}" in found.why
    (folder / "pulumi").unlink()
    assert (users_own().cli, users_own().programs) == (None, ())
