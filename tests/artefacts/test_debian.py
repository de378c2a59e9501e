"""Debian's mirrors on systems of all kinds, and locked packages."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from loopback import serving

from artefacts import CommandFailed, LabError, debian
from artefacts.debian import Lock, Locked

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
        raise CommandFailed(["ssh"], "apt-get: exit code 100")

    monkeypatch.setattr(debian, "run", fails)
    monkeypatch.setattr(debian, "_debians_own", lambda _release: DEBIANS_OWN)
    assert debian.debian_sources("trixie") == DEBIANS_OWN


WRITTEN = "20261201T110220Z"


def test_a_lock_is_read_as_it_was_written(tmp_path: Path) -> None:
    a, b = Locked("a", "3", "ee", "pool/a"), Locked("b", "1:2~x+y", "ff", "pool/b")
    Lock(WRITTEN, (b, a)).write(tmp_path / "lock")
    assert Lock.read(tmp_path / "lock") == Lock(WRITTEN, (a, b))


def test_a_lock_of_an_older_form_is_no_lock(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("# name version sha256; written by make locks\na 3 ee\n")
    with pytest.raises(ValueError, match="run `make locks`"):
        Lock.read(tmp_path / "lock")


def test_the_key_follows_packages_and_no_mirrors() -> None:
    lock = Lock(WRITTEN, (Locked("a", "3", "ee", "pool/a"),))
    assert Lock("20270101T000000Z", (Locked("a", "3", "ee", "pool/x/a"),)).key == lock.key
    assert Lock(WRITTEN, (Locked("a", "3", "ff", "pool/a"),)).key != lock.key


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server's address, and the folder that it serves."""
    root = tmp_path / "served"
    root.mkdir()
    with serving(root) as port:
        yield f"http://127.0.0.1:{port}", root


def _lay(folder: Path, name: str, content: bytes = b"a package") -> Locked:
    path = f"pool/main/{name}/{name}_1+x~1_amd64.deb"
    (folder / path).parent.mkdir(parents=True)
    (folder / path).write_bytes(content)
    return Locked(name, "1:1+x~1", hashlib.sha256(b"a package").hexdigest(), path)


def test_what_a_mirror_lacks_is_in_the_archive_as_it_was_then(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served: tuple[str, Path]
) -> None:
    address, root = served
    monkeypatch.setattr(debian, "ARCHIVE", f"{address}/archive")
    kept = (
        _lay(root / "mirror", "new"),
        _lay(root / f"archive/debian/{WRITTEN}", "superseded"),
        _lay(root / f"archive/debian-security/{WRITTEN}", "mended"),
    )
    Lock(WRITTEN, kept).fetch(tmp_path, [f"{SIGNED} {address}/mirror trixie main"])
    assert {each.name for each in tmp_path.glob("*.deb")} == {
        "new.deb", "superseded.deb", "mended.deb"
    }  # fmt: skip


def test_other_bytes_than_the_locked_ones_are_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, served: tuple[str, Path]
) -> None:
    address, root = served
    monkeypatch.setattr(debian, "ARCHIVE", f"{address}/archive")
    lock = Lock(WRITTEN, (_lay(root / "mirror", "a"), _lay(root / "mirror", "b", b"other")))
    with pytest.raises(LabError, match=r"^not fetched: b 1:1\+x~1\n") as failed:
        lock.fetch(tmp_path, [f"{SIGNED} {address}/mirror trixie main"])
    assert "Hash Sum mismatch" in str(failed.value)
    assert "404" in str(failed.value)  # the archive's
    assert "make locks" in str(failed.value)
    assert [each.name for each in tmp_path.glob("*.deb")] == ["a.deb"]


def test_a_repository_has_an_index_of_its_packages_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(debian, "run", lambda _argv: "Package: a\nVersion: 1:3\n")
    folder = tmp_path / "with blanks"
    folder.mkdir()
    content = b"a package"
    (folder / "a.deb").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    lock = Lock(WRITTEN, (Locked("a", "1:3", sha256, "pool/a"),))
    line = lock.repository(folder, [], "bookworm")
    assert line == f"deb [trusted=yes] copy:{tmp_path}/with%20blanks ./"
    index = (folder / "Packages").read_text()
    assert index == (f"Package: a\nVersion: 1:3\nFilename: ./a.deb\nSize: 9\nSHA256: {sha256}\n")
    release = (folder / "Release").read_text()
    assert "Codename: bookworm\n" in release
    assert hashlib.sha256(index.encode()).hexdigest() in release
