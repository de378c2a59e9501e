"""Go programs in images: patches of their dependencies, their keys, where they go."""

import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpine import image, initramfs, programs, rootfs
from alpine.boottree import common_files
from alpine.release import OFFLINE, Release
from artefacts import LabError, golang, run
from guest import rolefiles

MODULE = "example.org/module"
BEFORE = "package config\n\nconst (\n\tinterval = 2\n\tother = 3\n)\n"
PATCH = """Why this is

--- a/config.go
+++ b/config.go
@@ -3,4 +3,4 @@
 const (
-\tinterval = 2
+\tinterval = 10
 \tother = 3
 )
"""


def patched(tmp_path: Path, before: str) -> str:
    source = tmp_path / "module"
    source.mkdir()
    (source / "config.go").write_text(before)
    (tmp_path / "0001-slower.patch").write_text(PATCH)
    golang.apply(golang.Patch(MODULE, tmp_path / "0001-slower.patch"), source)
    return (source / "config.go").read_text()


def test_a_patch_is_applied_where_its_lines_are(tmp_path: Path) -> None:
    before = BEFORE.replace("config\n", "config\n\n// more lines before\n")
    assert patched(tmp_path, before) == before.replace("= 2", "= 10")


def test_a_patch_is_applied_inside_of_a_repository(tmp_path: Path) -> None:
    run(["git", "init", "-q", tmp_path])
    assert patched(tmp_path, BEFORE) == BEFORE.replace("= 2", "= 10")


@pytest.mark.parametrize(
    "before", [BEFORE.replace("= 2", "= 4"), BEFORE.replace("other = 3", "other = 4"), ""]
)
def test_a_patch_that_does_not_fit_exactly_is_named(tmp_path: Path, before: str) -> None:
    with pytest.raises(LabError, match=r"0001-slower.* is for another version of example"):
        patched(tmp_path, before)
    assert (tmp_path / "module/config.go").read_text() == before


def test_patches_are_part_of_a_programs_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(golang, "_version", lambda: "go1")
    (tmp_path / "go.mod").write_text("module x\n")
    keys = {golang.program_key(tmp_path)}
    for module, text in ((MODULE, "a"), (MODULE, "b"), ("example.org/other", "b")):
        file = tmp_path / "0001.patch"
        file.write_text(text)
        keys.add(golang.program_key(tmp_path, patches=[golang.Patch(module, file)]))
    assert len(keys) == 4


def test_consuls_patches_say_why_and_are_of_modules_in_go_mod() -> None:
    consul = programs.PROGRAMS["consul"]
    patches = consul.patches()
    required = (consul.folder / "go.mod").read_text()
    assert consul.package in {each.module for each in patches}
    for each in patches:
        assert f"{each.module} v" in required
        why, _, changes = each.file.read_text().partition("\ndiff --git ")
        assert len(why.splitlines()) >= 3 and changes, each.file
        assert max(map(len, why.splitlines())) <= 100
        assert re.match(r"\d{4}-[a-z-]+\.patch$", each.file.name)


@pytest.fixture
def guest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A guest/ with what every image has, a folder `agent` with a program, and a role."""
    for name in ("common", *OFFLINE.folders, "agent", "roles/bare"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "agent/programs").write_text("tool  # what it is for\n")
    (tmp_path / "agent/services").write_text("tool\n")
    (tmp_path / "roles/bare/services").write_text("own\n")
    for module in (image, rolefiles):
        monkeypatch.setattr(module, "GUEST", tmp_path)
    monkeypatch.setattr(image, "COMMON", tmp_path / "common")
    monkeypatch.setattr(programs, "key", lambda name: f"key-of-{name}")
    cached = (rolefiles.folders, rolefiles.services)
    for function in cached:
        function.cache_clear()
    yield tmp_path
    for function in cached:  # what they know of this guest/ is not for other tests
        function.cache_clear()


@pytest.mark.usefixtures("guest")
def test_extra_folders_lie_right_above_common() -> None:
    folders = image.role_folders("bare", ["agent"])
    assert [path.name for path in folders] == ["common", "agent", "bare"]
    with pytest.raises(FileNotFoundError, match="gone"):
        image.role_folders("bare", ["gone"])


@pytest.mark.usefixtures("guest")
def test_services_of_extra_folders_are_started() -> None:
    assert rolefiles.services("bare") == ("own",)
    assert rolefiles.services("bare", ("agent",)) == ("own", "tool")


@pytest.mark.usefixtures("guest")
def test_image_keys_change_with_their_programs(monkeypatch: pytest.MonkeyPatch) -> None:
    with_agent, without = image.image_key("bare", ["agent"]), image.image_key("bare")
    monkeypatch.setattr(programs, "key", lambda name: f"another-{name}")
    assert image.image_key("bare", ["agent"]) != with_agent
    assert image.image_key("bare") == without


def test_static_programs_need_no_libraries(tmp_path: Path) -> None:
    header = b"\x7fELF\x02\x01\x01".ljust(64, b"\0")
    (tmp_path / "none").write_bytes(header)  # stripped of its section headers
    null = struct.pack("<IIQQQQIIQQ", *[0] * 10)
    one = bytearray(header + null + b"\0")
    struct.pack_into("<Q", one, 0x28, 64)
    struct.pack_into("<HHH", one, 0x3A, 64, 1, 0)
    (tmp_path / "static").write_bytes(one)
    assert rootfs.missing_libraries(tmp_path) == {}


def test_boot_files_have_their_sums(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    boot, work = tmp_path / "boot", tmp_path / "work"
    for folder in (boot, work):
        folder.mkdir()
    for name in ("vmlinuz", "vmlinux"):
        (boot / name).write_text(name)
    monkeypatch.setattr(Release, "kernel_root", tmp_path)
    monkeypatch.setattr(initramfs, "_archive", lambda _root, _scratch: b"archive")
    initramfs._build(OFFLINE, work)
    monkeypatch.setattr(initramfs, "boot_files", lambda _release: work)
    monkeypatch.setattr("alpine.boottree.image_files", lambda *_, **__: {})
    files = common_files()
    for name in ("boot/vmlinux.gz", "boot/initramfs"):
        expected = run(["sha256sum", files[name]]).split()[0]
        assert files[f"{name}.sha256"].read_text() == f"{expected}\n"
