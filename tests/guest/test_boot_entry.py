"""boot-entry and boot-image: the boot tree's rules, on an ordinary folder."""

import gzip
import hashlib
import io
import tarfile

import pytest
from sandbox import Sandbox

MAC = "52-54-00-aa-bb-cc"
OVERLAY = gzip.compress(b"overlay")
SUM = hashlib.sha256(OVERLAY).hexdigest()
BIN = "roles/boot-server/root/usr/sbin"


@pytest.fixture
def server(sandbox: Sandbox) -> Sandbox:
    tree = sandbox.root / "media/stick"
    sandbox.file("etc/rack/boot-server.conf", f"tree={tree}\naddress=10.0.0.1\n")
    sandbox.script(f"{BIN}/boot-entry")
    sandbox.script(f"{BIN}/boot-image")
    sandbox.file("media/stick/images/abc.squashfs")
    sandbox.fake("sync")
    return sandbox


def entry(server: Sandbox) -> str:
    return (server.root / f"media/stick/machines/{MAC}/boot.env").read_text()


def commit_archive() -> bytes:
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("etc"), None)
    return plain.getvalue()


def test_set_writes_the_entry_and_keeps_one_overlay(server: Sandbox) -> None:
    old = server.file(f"media/stick/machines/{MAC}/overlay-{'0' * 64}.tar.gz")
    done = server.run("boot-entry", "set", MAC, "abc", SUM, stdin=OVERLAY)
    assert done.stderr == ""
    assert entry(server) == (
        "image=/images/abc.squashfs\n"
        f"overlay=/machines/{MAC}/overlay-{SUM}.tar.gz\noverlay_sha256={SUM}\n"
    )
    assert not old.exists()
    assert server.run("boot-entry", "set", MAC, "abc", SUM).returncode == 0  # it is there


def test_set_keeps_the_commit(server: Sandbox) -> None:
    server.run("boot-entry", "set", MAC, "abc", SUM, stdin=OVERLAY)
    assert server.run("boot-entry", "commit", MAC, stdin=commit_archive()).returncode == 0
    server.run("boot-entry", "set", MAC, "abc", SUM, stdin=OVERLAY)
    lines = entry(server).splitlines()
    assert [line.split("=")[0] for line in lines[3:]] == ["commit", "commit_sha256"]
    assert list((server.root / f"media/stick/machines/{MAC}").glob("commit-*"))


@pytest.mark.parametrize(
    ("words", "stdin", "reason"),
    [
        (("set", "52:54:00:aa:bb:cc", "abc", SUM), OVERLAY, "is not like"),
        (("set", MAC, "other", SUM), OVERLAY, "images/other.squashfs is not in"),
        (("set", MAC, "../abc", SUM), OVERLAY, "no plain file name"),
        (("set", MAC, "abc", "12"), OVERLAY, "not 64 hex digits"),
        (("set", MAC, "abc", SUM), b"wrong", "nothing was changed"),
        (("commit", MAC), commit_archive(), "no boot.env"),
        (("set", MAC), b"", "usage"),
    ],
)
def test_refusals_say_why(
    server: Sandbox, words: tuple[str, ...], stdin: bytes, reason: str
) -> None:
    done = server.run("boot-entry", *words, stdin=stdin)
    assert done.returncode == 1
    assert reason in done.stderr


def test_a_broken_commit_changes_nothing(server: Sandbox) -> None:
    server.run("boot-entry", "set", MAC, "abc", SUM, stdin=OVERLAY)
    before = entry(server)
    done = server.run("boot-entry", "commit", MAC, stdin=commit_archive()[:-9])
    assert done.returncode == 1
    assert entry(server) == before


def test_remove_is_idempotent(server: Sandbox) -> None:
    server.run("boot-entry", "set", MAC, "abc", SUM, stdin=OVERLAY)
    assert server.run("boot-entry", "remove", MAC).returncode == 0
    assert server.run("boot-entry", "remove", MAC).returncode == 0
    assert not (server.root / f"media/stick/machines/{MAC}").exists()


def test_an_image_is_put_once_with_its_hash(server: Sandbox) -> None:
    assert server.run("boot-image", "has", "new").stdout == "no\n"
    assert server.run("boot-image", "put", "new", stdin=b"hsqs one").returncode == 0
    assert server.run("boot-image", "put", "new", stdin=b"hsqs two").returncode == 0
    assert server.run("boot-image", "has", "new").stdout == "yes\n"
    images = server.root / "media/stick/images"
    assert (images / "new.squashfs").read_bytes() == b"hsqs one"
    wanted = hashlib.sha256(b"hsqs one").hexdigest()
    assert (images / "new.squashfs.sha256").read_text().split()[0] == wanted


def test_what_is_no_squashfs_is_refused(server: Sandbox) -> None:
    done = server.run("boot-image", "put", "new", stdin=b"<html>")
    assert done.returncode == 1
    assert not list((server.root / "media/stick/images").glob("new*"))
