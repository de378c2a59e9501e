"""Go programs in images: edits of their dependencies, their keys, where they go."""

import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from alpine import image, initramfs, programs, rootfs
from alpine.boottree import common_files
from alpine.release import OFFLINE, Release
from artefacts import CommandFailed, golang, run
from artefacts.golang import Edit, apply_edits, program_key
from guest import rolefiles

MODULE = "example.org/module"


def edited(tmp_path: Path, find: str, file: str = "config.go") -> str:
    (tmp_path / "config.go").write_text("interval = 2\nother = 3\nagain = 3\n")
    apply_edits([Edit(MODULE, file, find, "interval = 10")], {MODULE: tmp_path})
    return (tmp_path / "config.go").read_text()


def test_an_edit_is_applied(tmp_path: Path) -> None:
    assert edited(tmp_path, "interval = 2") == "interval = 10\nother = 3\nagain = 3\n"


@pytest.mark.parametrize(
    ("find", "file", "times"),
    [("gone", "config.go", 0), ("= 3", "config.go", 2), ("interval = 2", "gone.go", 0)],
)
def test_an_edit_that_does_not_fit_is_named(
    tmp_path: Path, find: str, file: str, times: int
) -> None:
    with pytest.raises(CommandFailed, match=f"{MODULE}: {file} has '{find}' {times} times"):
        edited(tmp_path, find, file)
    assert (tmp_path / "config.go").read_text().startswith("interval = 2\n")


def test_edits_are_part_of_a_programs_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(golang, "_version", lambda: "go1")
    (tmp_path / "go.mod").write_text("module x\n")
    plain = program_key(tmp_path)
    keys = {program_key(tmp_path, edits=[Edit(MODULE, "f", "a", text)]) for text in "bc"}
    assert len({plain, *keys}) == 3
    assert program_key(tmp_path) == plain


def test_consuls_edits_are_readable_and_of_modules_in_go_mod() -> None:
    consul = programs.PROGRAMS["consul"]
    edits = consul.edits()
    required = (consul.folder / "go.mod").read_text()
    assert consul.package in {edit.module for edit in edits}
    assert all(f"{edit.module} v" in required for edit in edits)
    assert any("CommitTimeout = 2 * time.Second" in edit.replace for edit in edits)


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
