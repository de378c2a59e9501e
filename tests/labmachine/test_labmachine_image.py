"""The image's recipe, as far as it shows without building it."""

import shlex
import tarfile
from pathlib import Path

from artefacts import pack_tree
from labmachine import image


def test_a_folder_with_blanks_is_one_word_to_mmdebstrap() -> None:
    argv = image.mmdebstrap_argv(Path("/a b/root"), Path("/a b/it's/root.tar"), [])
    (hook,) = [each for each in argv if "tar-in" in each]
    assert shlex.split(hook.partition("=")[2]) == ["tar-in", "/a b/it's/root.tar", "/"]


def test_the_tree_belongs_to_root_and_is_the_same_each_time(tmp_path: Path) -> None:
    first, second = tmp_path / "1.tar", tmp_path / "2.tar"
    pack_tree(image.ROOT_TREE, first)
    pack_tree(image.ROOT_TREE, second)
    assert first.read_bytes() == second.read_bytes()
    with tarfile.open(first) as tar:
        modes = {entry.name: (entry.mode, entry.uid, entry.gid) for entry in tar.getmembers()}
    assert modes["etc/lvm/lvm.conf"] == (0o644, 0, 0)


def test_no_unit_is_both_wanted_and_masked() -> None:
    assert not set(image.MASKED) & {*image.ENABLED, *image.DISABLED}
