"""Pulumi's released programs, from a server on loopback that has them, or hasn't."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import Quiet, serving

from artefacts import LabError, cache_root, run
from plugins import build, released

ARCHIVE = released.cli()
LANGUAGE = build.LANGUAGE_HOST[0]


class Server(Quiet):
    """Serves files, of which it can send only so many bytes."""

    most: int | None = None

    def copyfile(self, source, outputfile) -> None:  # type: ignore[no-untyped-def] # typeshed's
        outputfile.write(source.read(self.most))


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A release as Pulumi packs it, of shell scripts; what is known of it is right."""
    folder = tmp_path / "content/pulumi"
    folder.mkdir(parents=True)
    for name in ("pulumi", *build.LANGUAGE_HOST):
        (folder / name).write_text(f"#!/bin/sh\necho released {name}\n")
        (folder / name).chmod(0o755)
    packed = tmp_path / "served" / ARCHIVE
    packed.parent.mkdir(parents=True)
    run(["tar", "-czf", packed, "-C", folder.parent, "pulumi"])
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(released, "LOCK", tmp_path / "released.lock")
    _lock(hashlib.sha256(packed.read_bytes()).hexdigest())
    return packed


@pytest.fixture
def served(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The same, served on loopback; its path."""
    with serving(tmp_path / "served", Server) as port:
        monkeypatch.setattr(released, "RELEASES", f"http://127.0.0.1:{port}")
        yield archive


def _lock(sha256: str) -> None:
    released.LOCK.write_text(f"{sha256}  {ARCHIVE}\n")


def test_it_is_fetched_once_and_its_programs_run(served: Path) -> None:
    folder = released.fetch(ARCHIVE)
    assert run([folder / "pulumi" / LANGUAGE]) == f"released {LANGUAGE}\n"
    served.unlink()
    assert released.fetch(ARCHIVE) == released.unpacked(ARCHIVE) == folder


def test_its_programs_are_taken_together(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "built", lambda *_: False)
    assert [path.name for path in build._released()] == ["pulumi", *build.LANGUAGE_HOST]
    assert "Pulumi's release" in build.users_own().why


def test_what_was_built_before_is_used_on(served: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(build, "built", lambda *_: True)
    assert build._released() == []
    assert released.unpacked(ARCHIVE) is None


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("another checksum", "not 0000"),
        ("half a file", "has sha256"),
        ("not there", "can't be fetched: HTTP Error 404"),
        ("no server", "can't be fetched: <urlopen error"),
        ("not in the lock", "has no checksum of sdk/pulumi"),
    ],
)
def test_what_cannot_be_had_leaves_nothing_and_ours_is_built(
    served: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
    change: str, said: str,
) -> None:  # fmt: skip
    match change:
        case "another checksum":
            _lock("0" * 64)
        case "half a file":
            monkeypatch.setattr(Server, "most", served.stat().st_size // 2)
        case "not there":
            served.unlink()
        case "no server":
            monkeypatch.setattr(released, "RELEASES", "http://127.0.0.1:1")
        case "not in the lock":
            released.LOCK.write_text(f"{'0' * 64}  sdk/another.tar.gz\n")
    with pytest.raises(LabError, match=said):
        released.fetch(ARCHIVE)
    assert not [
        path for path in cache_root().rglob("*") if path.suffix != ".lock" and path.is_file()
    ]
    monkeypatch.setattr(build, "built", lambda *_: False)
    assert build._released() == []
    told = capsys.readouterr().err
    assert said.split("(", maxsplit=1)[0] in told
    assert "ours is built in its place" in told


def test_the_lock_is_made_anew_and_keeps_what_is_not_reached(served: Path) -> None:
    right = released.LOCK.read_text()
    _lock("0" * 64)
    released.lock_anew([ARCHIVE, "plugins/unknown.tar.gz"])
    assert released.LOCK.read_text() == right
    served.unlink()
    released.lock_anew([ARCHIVE])
    assert released.LOCK.read_text() == right


def test_each_plug_in_says_where_it_is_from() -> None:
    told = build.plugins_in_use()
    assert told.keys() == set(build.PLUGINS)
    assert "built here: Pulumi's own fails a preview" in told["libvirt"]


def test_the_project_knows_the_clis_checksum() -> None:
    assert released.known(ARCHIVE)
