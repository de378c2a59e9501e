"""The image's recipe, as far as it shows without building it."""

import tarfile
from pathlib import Path

import pytest

from labmachine import image


def test_the_mirrors_are_those_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    targets = "\n".join([
        "Debian bookworm main http://mirror/debian/",
        "Debian bookworm-security main http://mirror/security/",
        "Debian bookworm-security main http://mirror/security/",
        "Debian bookworm non-free http://mirror/debian/",
        "Somebody bookworm main http://elsewhere/",
    ])  # fmt: skip
    monkeypatch.setattr(image, "run", lambda argv: targets)
    assert image.debian_sources("trixie") == [
        "deb http://mirror/debian/ trixie main",
        "deb http://mirror/security/ trixie-security main",
    ]


def test_the_tree_belongs_to_root_and_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    image.pack_tree(image.ROOT_TREE, first)
    image.pack_tree(image.ROOT_TREE, second)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        modes = {entry.name: (entry.mode, entry.uid, entry.gid) for entry in tar.getmembers()}
    assert modes["etc/lvm/lvm.conf"] == (0o644, 0, 0)


def test_no_unit_is_both_wanted_and_masked() -> None:
    assert not set(image.MASKED) & {*image.ENABLED, *image.DISABLED}
