"""Debian's mirrors on systems of all kinds, and locked packages."""

import hashlib
from pathlib import Path

import pytest

from artefacts import CommandFailed, debian
from artefacts.debian import Locked, read_lock, write_lock

SIGNED = "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]"
DEBIANS_OWN = ["what mmdebstrap has"]


@pytest.mark.parametrize(
    ("targets", "expected"),
    [
        (
            [  # a mirror of the user's, with what others have beside it
                "Debian|bookworm|main|http://mirror/debian/",
                "Debian|bookworm-security|main|http://mirror/security/",
                "Debian|bookworm-security|main|http://mirror/security/",
                "Debian|bookworm|non-free|http://mirror/debian/",
                "Debian Backports|bookworm-backports|main|http://mirror/debian/",
                "Debian|bookworm-proposed-updates|main|http://mirror/debian/",
                "Somebody|bookworm|main|http://elsewhere/",
                "code stable|stable|main|https://editor/",
                "Google LLC|stable|main|https://browser/",
                "||$(COMPONENT)|https://flat/",
            ],
            [
                f"{SIGNED} http://mirror/debian trixie main",
                f"{SIGNED} http://mirror/security trixie-security main",
            ],
        ),
        ([], DEBIANS_OWN),  # no lists yet
        (
            [  # Ubuntu
                "Ubuntu|noble|main|http://archive.ubuntu.com/ubuntu/",
                "Ubuntu|noble-security|main|http://security.ubuntu.com/ubuntu/",
            ],
            DEBIANS_OWN,
        ),
    ],
)
def test_the_mirrors_are_the_users_or_debians(
    monkeypatch: pytest.MonkeyPatch, targets: list[str], expected: list[str]
) -> None:
    told = "\n".join(line.replace("|", debian.BETWEEN) for line in targets)
    monkeypatch.setattr(debian, "run", lambda argv: told)
    monkeypatch.setattr(debian, "_debians_own", lambda _release: DEBIANS_OWN)
    assert debian.debian_sources("trixie") == expected


def test_debians_own_are_what_mmdebstrap_has() -> None:
    lines = debian._debians_own("trixie")
    assert all(line.startswith(f"{SIGNED} http") for line in lines)
    suites = [line.split()[-2] for line in lines]
    assert suites == ["trixie", "trixie-updates", "trixie-security"]


def test_apt_that_fails_is_no_mirror(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(_argv: list[str]) -> str:
        raise CommandFailed("apt-get: exit code 100")

    monkeypatch.setattr(debian, "run", fails)
    monkeypatch.setattr(debian, "_debians_own", lambda _release: DEBIANS_OWN)
    assert debian.debian_sources("trixie") == DEBIANS_OWN


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    packages = [Locked("b", "1:2~x+y", "ff"), Locked("a", "3", "ee")]
    write_lock(tmp_path / "lock", packages)
    assert read_lock(tmp_path / "lock") == sorted(packages, key=lambda each: each.name)


def test_other_bytes_than_the_locked_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def run(argv: list[str], cwd: Path | None = None, hint: str = "") -> str:
        if "download" in argv and cwd:
            (cwd / "a_1%3a3_amd64.deb").write_bytes(b"other")
        return ""

    monkeypatch.setattr(debian, "run", run)
    apt = debian.Apt(tmp_path / "apt", [])
    with pytest.raises(CommandFailed, match="locked ee\nrun the refresh"):
        apt.download([Locked("a", "1:3", "ee")], tmp_path, "run the refresh")
    with pytest.raises(CommandFailed, match="not fetched: b"):
        apt.download([Locked("b", "1", "ee")], tmp_path / "apt", "")


def test_a_repository_has_an_index_of_its_packages_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    content = b"a package"
    sha256 = hashlib.sha256(content).hexdigest()

    def run(argv: list[str], cwd: Path | None = None, hint: str = "") -> str:
        if "download" in argv and cwd:
            (cwd / "a_1%3a3_amd64.deb").write_bytes(content)
        return "Package: a\nVersion: 1:3\n" if "--field" in argv else ""

    monkeypatch.setattr(debian, "run", run)
    folder = tmp_path / "with blanks"
    folder.mkdir()
    apt = debian.Apt(tmp_path / "apt", [])
    line = apt.repository([Locked("a", "1:3", sha256)], folder, "bookworm", "")
    assert line == f"deb [trusted=yes] copy:{tmp_path}/with%20blanks ./"
    index = (folder / "Packages").read_text()
    assert index == (f"Package: a\nVersion: 1:3\nFilename: ./a.deb\nSize: 9\nSHA256: {sha256}\n")
    release = (folder / "Release").read_text()
    assert "Codename: bookworm\n" in release
    assert hashlib.sha256(index.encode()).hexdigest() in release
