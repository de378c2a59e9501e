"""Locking and fetching from a mirror on loopback: one of three tiny packages, sound or not."""

import shutil
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from loopback import Quiet, serving
from mirror_maker import Signer, package, write_index, write_mirror

from alpine import image, mirror, release
from alpine.apk import ARCH, Package, apk, keys_dir
from alpine.release import OFFLINE, chosen
from artefacts import LabError, cache_root
from config.errors import ConfigError
from config.mirror import Mirror
from config.settings import load_settings
from lab import mirror as lab_mirror

TOP = f"community/{ARCH}/top-1.0-r0.apk"
LOCKED = [f"community/{ARCH}/top-1.0-r0.apk", f"main/{ARCH}/base-2.0-r1.apk"]


class Server(Quiet):
    """Serves so many bytes of files whose name ends so, and of others all."""

    short: tuple[str, int] | None = None

    def copyfile(self, source, outputfile) -> None:  # type: ignore[no-untyped-def] # typeshed's
        end, most = self.short or ("", -1)
        outputfile.write(source.read(most if self.path.endswith(end) else -1))


@dataclass(frozen=True)
class Made:
    """A mirror's folder, who signed it, and where it is served."""

    folder: Path
    signer: Signer
    mirror: Mirror

    @property
    def index(self) -> Path:
        return self.folder / f"community/{ARCH}" / mirror.INDEX


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """A mirror on loopback with package `top`, which needs `base`, and one that nobody wants."""
    files = {name: tmp_path / "files" / name for name in ("top", "base", "other")}
    for name, each in files.items():
        (each / "usr/share").mkdir(parents=True)
        (each / "usr/share" / name).write_text(f"this is {name}\n")
    signer, folder = Signer(), tmp_path / "mirror"
    main = [Package("base", "2.0-r1", files["base"]), Package("other", "1-r0", files["other"])]
    write_mirror(folder, signer, main, [_top(files["top"])])
    monkeypatch.setattr(mirror, "LOCK", tmp_path / "mirror.lock")
    keys = signer.write_public(tmp_path / "keys")
    with serving(folder, Server) as port:
        yield Made(folder, signer, Mirror(f"http://127.0.0.1:{port}", str(keys)))


def _top(files: Path) -> Package:
    return Package("top", "1.0-r0", files, {"depends": "base"})


def test_what_is_wanted_and_needed_is_locked_fetched_and_installed(
    made: Made, tmp_path: Path
) -> None:
    served, folder = made.mirror, made.folder
    assert chosen(served) == OFFLINE
    assert mirror.lock_anew(served, ["top"]) == 2
    origin, *rows = mirror.LOCK.read_text().splitlines()
    assert origin == f"# {served.place}"
    assert [line.split("  ")[1] for line in rows] == LOCKED
    assert chosen(served).key == chosen(Mirror(str(folder), served.keys)).key != OFFLINE.key
    assert chosen(None) == OFFLINE
    packages = mirror.packages(Mirror(str(folder), served.keys))
    assert {each.name for each in packages.iterdir()} == {Path(path).name for path in LOCKED}
    tree = chosen(served).tree
    root = tmp_path / "root"
    root.mkdir()
    system = [f"--root={root}", f"--arch={ARCH}", f"--repository={release.repository(tree)}"]
    apk("add", *system, "--keys-dir", keys_dir(), "--initdb", "--no-cache", "top")
    assert (root / "usr/share/base").read_text() == "this is base\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("another index's signature", "BAD signature"),
        ("another package's signature", "BAD signature"),
        ("a package without signature", "UNTRUSTED"),
        ("who signed is not trusted", "UNTRUSTED"),
        ("not there", "top"),
        ("a dependency that is not there", "base"),
        ("half an index", "APKINDEX.tar.gz: "),
        ("not a whole package", "v2 package integrity error"),
        ("no package", "HTTP Error 404"),
        ("no server", "can't be fetched"),
    ],
)
def test_nothing_is_locked_of_a_mirror_that_is_not_sound(
    made: Made, monkeypatch: pytest.MonkeyPatch, change: str, said: str
) -> None:
    mirror.LOCK.write_text("as before\n")
    served, folder, signer, top = made.mirror, made.folder, made.signer, made.folder / TOP
    match change:
        case "another index's signature":
            write_index(made.index.parent, Signer())
        case "another package's signature":
            top.write_bytes(package(_top(folder.parent / "files/top"), Signer()))
            write_index(made.index.parent, signer)
        case "a package without signature":
            whole = top.read_bytes()
            top.write_bytes(whole[whole.index(b"\x1f\x8b", 2) :])
            write_index(made.index.parent, signer)
        case "who signed is not trusted":
            served = replace(served, keys="")  # so Alpine's own
        case "not there":
            top.unlink()
            write_index(made.index.parent, signer)
        case "a dependency that is not there":
            (folder / LOCKED[1]).unlink()
            write_index((folder / LOCKED[1]).parent, signer)
        case "half an index":
            monkeypatch.setattr(Server, "short", (mirror.INDEX, 300))
        case "not a whole package":
            monkeypatch.setattr(Server, "short", (top.name, top.stat().st_size - 5))
        case "no package":
            top.unlink()
        case "no server":
            served = replace(served, place="http://127.0.0.1:1")
    with pytest.raises(LabError) as failed:
        mirror.lock_anew(served, ["top"])
    assert said in str(failed.value)
    assert mirror.LOCK.read_text() == "as before\n"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("another file", "the lock says"),
        ("half a file", "the lock says"),
        ("a newer version", "renew the lock"),
        ("gone in the middle", "can't be fetched"),
    ],
)
def test_nothing_is_kept_of_packages_that_are_not_the_locked_ones(
    made: Made, monkeypatch: pytest.MonkeyPatch, change: str, said: str
) -> None:
    served, folder = made.mirror, made.folder
    mirror.lock_anew(served, ["top"])
    match change:
        case "another file":
            (folder / TOP).write_bytes(b"something else")
        case "half a file":
            monkeypatch.setattr(Server, "short", ("top-1.0-r0.apk", 100))
        case "a newer version":
            (folder / TOP).rename(folder / TOP.replace("1.0", "1.1"))
        case "gone in the middle":
            first = threading.Lock()

            def once(handler: Server) -> None:
                if first.acquire(blocking=False):
                    Quiet.do_GET(handler)
                handler.close_connection = True

            monkeypatch.setattr(Server, "do_GET", once)
    with pytest.raises(LabError) as failed:
        mirror.packages(served)
    assert said in str(failed.value)
    assert not (cache_root() / "alpine" / mirror.lock_key()).exists()
    monkeypatch.undo()


def test_another_place_or_key_is_another_image(made: Made, tmp_path: Path) -> None:
    """Machines have both, for their own apk."""
    mirror.lock_anew(made.mirror, ["top"])
    two = tmp_path / "two"
    shutil.copytree(made.mirror.keys, two)
    Signer().write_public(two)
    other = (
        made.mirror,
        replace(made.mirror, place=f"{made.mirror.place}/."),
        replace(made.mirror, place=str(made.folder)),
        replace(made.mirror, keys=str(two)),
    )
    assert len({image.image_key("router", (), chosen(each)) for each in other}) == len(other)
    again = tmp_path / "again"
    shutil.copytree(made.mirror.keys, again)
    same = replace(made.mirror, keys=str(again))
    assert image.image_key("router", (), chosen(same)) == image.image_key(
        "router", (), chosen(made.mirror)
    )


def test_at_first_only_a_silent_mirror_is_passed_over(
    made: Made, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(lab_mirror, "wanted", lambda: {"top"})
    settings = load_settings("mini", {"topology": "mini"}.get, keep=False)
    silent = replace(settings, mirror=replace(made.mirror, place="http://127.0.0.1:1"))
    lab_mirror.lock_at_first(silent)
    assert "Alpine is built offline" in capsys.readouterr().err
    write_index(made.index.parent, Signer())
    with pytest.raises(LabError, match="BAD signature"):
        lab_mirror.lock_at_first(replace(settings, mirror=made.mirror))
    assert not mirror.LOCK.exists()


def test_a_locked_mirror_that_is_silent_is_told_unless_the_cache_has_it(made: Made) -> None:
    settings = load_settings("mini", {"topology": "mini"}.get, keep=False)
    mirror.lock_anew(made.mirror, ["top"])
    gone = replace(settings, mirror=replace(made.mirror, place="http://127.0.0.1:1"))
    said, remedy = lab_mirror.trouble(gone)
    assert "can't be fetched" in said and "wait until it answers" in remedy
    assert lab_mirror.trouble(replace(settings, mirror=made.mirror)) == ("", "")
    with pytest.raises(LabError, match="lab:alpine"):
        mirror.packages(replace(made.mirror, place="http://127.0.0.1:1"))
    mirror.packages(made.mirror)
    assert lab_mirror.trouble(gone) == ("", "")
    assert made.mirror.place in lab_mirror.origin(gone)


@pytest.mark.parametrize("text", ["", "# http://x/alpine/v3.23\n", "<<<<<<< HEAD\n"])
def test_a_damaged_lock_is_told_with_its_remedy(made: Made, text: str) -> None:
    settings = replace(
        load_settings("mini", {"topology": "mini"}.get, keep=False), mirror=made.mirror
    )
    mirror.LOCK.write_text(text)
    said, remedy = lab_mirror.trouble(settings)
    assert "can't be read" in said
    assert "git checkout alpine/mirror.lock" in remedy
    with pytest.raises(ConfigError, match=r"alpine/mirror\.lock: damaged"):
        lab_mirror.notice(settings)


def test_only_who_signs_is_asked_for_where_a_signature_is_wrong(made: Made) -> None:
    for change, told, not_told in (
        (lambda: made.index.write_bytes(b"<html>Log in</html>"), "isn't sound", "alpineKeys"),
        (lambda: write_index(made.index.parent, Signer()), "alpineKeys", "isn't sound"),
    ):
        change()
        with pytest.raises(LabError, match=told) as caught:
            mirror.lock_anew(made.mirror, ["top"])
        assert not_told not in str(caught.value)
