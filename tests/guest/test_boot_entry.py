"""boot-entry, boot-image and boot-file: the boot tree's rules, on an ordinary folder."""

import gzip
import hashlib
import io
import os
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
    sandbox.script(f"{BIN}/boot-file")
    sandbox.file("media/stick/images/abc.layers")
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
        "image=/images/abc.layers\n"
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
        (("set", MAC, "other", SUM), OVERLAY, "images/other.layers is not in"),
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


LAYER = b"hsqs one"
LAYER_SUM = hashlib.sha256(LAYER).hexdigest()
LIST = f"{LAYER_SUM}  one.squashfs\n"


def test_an_image_is_its_layers_then_their_list(server: Sandbox) -> None:
    images = server.root / "media/stick/images"
    assert server.run("boot-image", "list", "new", stdin=LIST.encode()).stdout == "one.squashfs\n"
    assert not list(images.glob("new.*"))
    assert server.run("boot-image", "put", "one.squashfs", LAYER_SUM, stdin=LAYER).stderr == ""
    assert server.run("boot-image", "list", "new", stdin=LIST.encode()).stdout == ""
    assert (images / "one.squashfs").read_bytes() == LAYER
    assert (images / "new.layers").read_text() == LIST


def test_an_image_that_is_there_is_as_good_as_new(server: Sandbox) -> None:
    """Nobody prunes it before it is named."""
    images = server.root / "media/stick/images"
    server.file("media/stick/images/one.squashfs")
    server.file("media/stick/images/new.layers", LIST)
    os.utime(images / "new.layers", (0, 0))
    done = server.run("boot-image", "list", "new", stdin=LIST.encode())
    assert (done.returncode, done.stdout) == (0, "")
    assert server.run("boot-image", "prune").returncode == 0
    assert (images / "new.layers").read_text() == LIST
    assert not (images / "new.layers.new").exists()


@pytest.mark.parametrize(
    ("words", "stdin", "reason"),
    [
        (("put", "one.squashfs", LAYER_SUM), b"<html>", "nothing was changed"),
        (("put", "../one", LAYER_SUM), LAYER, "no plain file name"),
        (("list", "../new"), LIST.encode(), "no plain file name"),
        (("list", "new"), b"<html>", "no line of a list"),
        (("put", "one.squashfs"), LAYER, "usage"),
    ],
)
def test_a_refused_image_leaves_nothing(
    server: Sandbox, words: tuple[str, ...], stdin: bytes, reason: str
) -> None:
    images = server.root / "media/stick/images"
    before = sorted(images.iterdir())
    done = server.run("boot-image", *words, stdin=stdin)
    assert done.returncode == 1
    assert reason in done.stderr
    assert sorted(images.iterdir()) == before


def test_an_entry_that_is_set_prunes_what_no_entry_names(server: Sandbox) -> None:
    images = server.root / "media/stick/images"
    sums = dict.fromkeys(("base", "own", "old"), "0" * 64)
    for name in sums:
        server.file(f"media/stick/images/{name}.squashfs")
    lists = {"quarantine": ["base"], "abc": ["base", "own"], "gone": ["base", "old"]}
    for name, layers in lists.items():
        text = "".join(f"{sums[layer]}  {layer}.squashfs\n" for layer in layers)
        server.file(f"media/stick/images/{name}.layers", text)
    for path in images.iterdir():
        os.utime(path, (0, 0))
    assert server.run("boot-entry", "set", MAC, "abc", SUM, stdin=OVERLAY).returncode == 0
    assert {path.name for path in images.iterdir()} == {
        "quarantine.layers", "abc.layers", "base.squashfs", "own.squashfs",
    }  # fmt: skip


def test_images_to_be_named_leave_no_others_but_those_that_are_named(server: Sandbox) -> None:
    images = server.root / "media/stick/images"
    lists = {
        "quarantine": ["base"],
        "abc": ["base", "own"],  # the server's boot.env names it
        "former": ["base", "former"],
        "next": ["base", "next"],
    }
    for layer in ("base", "own", "former", "next", "coming"):  # no list has the last one yet
        server.file(f"media/stick/images/{layer}.squashfs")
    for name, layers in lists.items():
        text = "".join(f"{'0' * 64}  {layer}.squashfs\n" for layer in layers)
        server.file(f"media/stick/images/{name}.layers", text)
    assert server.run("boot-entry", "set", MAC, "abc", SUM, stdin=OVERLAY).returncode == 0
    before = {path.name for path in images.iterdir()}
    assert "former.layers" in before  # it is young
    assert server.run("boot-image", "prune", "../x").returncode == 1
    assert {path.name for path in images.iterdir()} == before
    assert server.run("boot-image", "prune", "next", "later").returncode == 0
    gone = {"former.layers", "former.squashfs"}
    assert {path.name for path in images.iterdir()} == before - gone


def test_a_boot_file_is_taken_if_it_is_the_one_that_was_named(server: Sandbox) -> None:
    assert server.run("boot-file", "check", "boot/vmlinuz", SUM).stdout == "missing\n"
    assert server.run("boot-file", "put", "boot/vmlinuz", SUM, stdin=b"other").returncode == 1
    assert server.run("boot-file", "check", "boot/vmlinuz", SUM).stdout == "missing\n"
    assert server.run("boot-file", "put", "boot/vmlinuz", SUM, stdin=OVERLAY).returncode == 0
    assert server.run("boot-file", "check", "boot/vmlinuz", SUM).stdout == "there\n"


@pytest.mark.parametrize("path", ["boot/../etc/passwd", "images/a", "boot/", "/boot/vmlinuz"])
def test_a_boot_file_s_path_is_checked(server: Sandbox, path: str) -> None:
    done = server.run("boot-file", "put", path, SUM, stdin=OVERLAY)
    assert done.returncode == 1
    assert "path" in done.stderr


@pytest.mark.parametrize(
    ("words", "stdin", "name"),
    [
        (("boot-entry", "set", MAC, "abc", SUM), OVERLAY, f"machines/{MAC}/boot.env"),
        (("boot-file", "put", "boot/initramfs", SUM), OVERLAY, "boot/initramfs"),
        (("boot-image", "put", "a.squashfs", SUM), OVERLAY, "images/a.squashfs"),
        (("boot-image", "list", "def"), f"{SUM}  a.squashfs\n".encode(), "images/def.layers"),
    ],
)
def test_what_gets_a_name_is_on_the_disk(
    server: Sandbox, words: tuple[str, ...], stdin: bytes, name: str
) -> None:
    """A power cut after the name is there mustn't find it without its content."""
    server.file("media/stick/images/a.squashfs" if "list" in words else "media/stick/unused")
    server.fake("sync", 'for file; do [ -s "$file" ] || exit 1; done')
    server.fake("mv", 'command -p mv "$@"')
    assert server.run(*words, stdin=stdin).stderr == ""
    target = server.root / "media/stick" / name
    synced, moved = (line for line in server.calls().splitlines() if str(target) in line)
    assert target.read_bytes()
    assert synced.startswith(f"sync {target}") and synced.endswith(".new")
    assert moved == f"mv -f {synced.removeprefix('sync ')} {target}"
