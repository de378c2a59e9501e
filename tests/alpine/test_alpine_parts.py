"""The pure parts of alpine/: names, versions, archives, menus."""

import gzip
import os
import re
import struct
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from alpine import cpio, elf
from alpine.alpinekernel import MAGIC, PAYLOAD, VERSION, elf_of
from alpine.alpinepackages import parse_installed
from alpine.debian import lock, requests
from alpine.debianpackages import apk_name, apk_version, control_depends
from alpine.image import image_key, role_folders
from alpine.kernel import choose_modules
from alpine.rootfs import copy_in, leave_out, manifest
from alpine.stick import menu, write_stick
from artefacts import LabError, run


@pytest.mark.parametrize(
    ("debian", "apk"),
    [
        ("1:7.2+dfsg-7+deb12u18", "7.2-r0"),
        ("1:9.2p1-2", "9.2-r0"),
        ("20140814-2.1", "20140814-r0"),
        ("n/a", "0-r0"),
    ],
)
def test_versions_apk_accepts(debian: str, apk: str) -> None:
    assert apk_version(debian) == apk


def test_what_comes_along_does_not_take_alpines_names() -> None:
    assert apk_name("mdadm") == "mdadm"
    assert apk_name("libssl3") == "debian-libssl3"


def test_dependencies_take_the_first_known_alternative() -> None:
    control = "Package: x\nPre-Depends: libc6 (>= 2.34)\nDepends: a:any | b, c | d (<< 2), gone\n"
    assert control_depends(control, ["libc6", "b", "c", "d"]) == {"libc6", "b", "c"}


def test_every_request_is_locked() -> None:
    assert set(requests()) <= {package.name for package in lock().packages}


def test_installed_database() -> None:
    text = "C:Q1x=\nP:one\nV:1-r0\nD:so:libc\nF:bin\nR:tool\nZ:Q1y=\nF:\nR:top\n\nP:two\nV:2-r1\n\n"
    first, second = parse_installed(text)
    assert first.fields["P"] == "one"
    assert first.files == ["bin/tool", "top"]
    assert second.fields["V"] == "2-r1"


def test_modules_come_with_what_they_depend_on(tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "kernel/fs").mkdir(parents=True)
    for name in ("a", "b-c", "d"):
        (source / f"kernel/fs/{name}.ko").write_text(name)
    (source / "modules.dep").write_text(
        "kernel/fs/a.ko: kernel/fs/b-c.ko\nkernel/fs/b-c.ko:\nkernel/fs/d.ko:\n"
    )
    target = tmp_path / "target"
    (source / "modules.builtin").write_text("kernel/fs/itself.ko\n")
    assert choose_modules(source, ["itself", "a"], target) == ["kernel/fs/b-c.ko", "kernel/fs/a.ko"]
    assert (target / "kernel/fs/b-c.ko").read_text() == "b-c"
    assert not (target / "kernel/fs/d.ko").exists()
    assert choose_modules(source, ["b-c"], target) == choose_modules(source, ["b_c"], target)
    with pytest.raises(KeyError):
        choose_modules(source, ["none"], target)


def test_archive_layout() -> None:
    archive = cpio.Archive()
    archive.folder("bin")
    archive.file("bin/x", b"12345", executable=True)
    content = archive.content()
    assert content.startswith(b"070701")
    assert content.count(b"070701") == 3
    assert len(content) % 4 == 0
    assert b"TRAILER!!!" in content


def test_an_import_is_renamed_in_place(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF\0lib.so\0lib_generate2\0puts\0")
    elf.rename_import(program, "lib_generate2", "lib_free")
    assert program.read_bytes() == b"\x7fELF\0lib.so\0lib_free\0\0\0\0\0\0puts\0"


@pytest.mark.parametrize(("old", "new"), [("absent", "a"), ("puts", "longer")])
def test_an_import_that_can_t_be_renamed_is_an_error(tmp_path: Path, old: str, new: str) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF\0puts\0")
    with pytest.raises(ValueError, match=old):
        elf.rename_import(program, old, new)


def test_elf_of_this_python_needs_libc() -> None:
    program = Path("/proc/self/exe").resolve()
    assert elf.is_elf(program)
    assert any(name.startswith("libc.") for name in elf.dynamic(program.read_bytes()).needed)


def test_copy_in_sets_plain_modes_and_manifest_lists_all(tmp_path: Path) -> None:
    source, root = tmp_path / "source", tmp_path / "root"
    (source / "etc").mkdir(parents=True)
    root.mkdir()
    (source / "etc/run").write_text("#!/bin/sh\n")
    (source / "etc/run").chmod(0o700)
    (source / "etc/link").symlink_to("run")
    copy_in(source, root)
    lines = list(manifest(root))
    owner = f"{os.getuid()}:{os.getgid()}"
    assert [line.split("  ")[1:] for line in lines] == [
        [f"40755:{owner}", "/etc"],
        [f"120777:{owner}", "/etc/link"],
        [f"100755:{owner}", "/etc/run"],
    ]


def test_a_layer_holds_what_differs_from_those_below(tmp_path: Path) -> None:
    below, root = tmp_path / "below", tmp_path / "root"
    for folder in (below, root):
        (folder / "etc/same").mkdir(parents=True)
        (folder / "etc/same/file").write_text("same")
        (folder / "etc/other").write_text(folder.name)
    (root / "new").mkdir()
    listed = tmp_path / "manifest"
    listed.write_text("\n".join(manifest(below)) + "\n")
    leave_out(listed, root)
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*")) == [
        "etc", "etc/other", "new",
    ]  # fmt: skip
    (root / "etc/other").unlink()
    with pytest.raises(LabError, match="/etc/other"):
        leave_out(listed, root)


def test_image_keys_differ_by_role_and_unknown_roles_are_named() -> None:
    assert image_key("quarantine") != image_key("storage")
    with pytest.raises(FileNotFoundError, match="quarantine"):
        role_folders("none")


def test_stick_says_what_is_missing_or_too_small(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="boot/initramfs and boot/vmlinuz"):
        write_stick(tmp_path / "stick", {}, machine="m", size_bytes=1 << 30)
    some = tmp_path / "some"
    some.write_bytes(b"x")
    files = {"boot/vmlinuz": some, "boot/initramfs": some}
    with pytest.raises(LabError, match="64 MiB are needed"):
        write_stick(tmp_path / "stick", files, machine="m", size_bytes=1 << 20)


def test_stick_menu_boots_at_once() -> None:
    text = menu("rack.machine=m quiet")
    assert "TIMEOUT 0" in text
    assert " APPEND rack.machine=m quiet\n" in text


def test_a_stick_has_its_times_in_utc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As Linux takes them: behind UTC, new files would be hours old, and pruned."""
    some, stick = tmp_path / "some", tmp_path / "stick"
    some.write_bytes(b"x")
    monkeypatch.setenv("TZ", "UTC+9")
    files = {"boot/vmlinuz": some, "boot/initramfs": some}
    write_stick(stick, files, machine="m", size_bytes=64 << 20)
    listed = run(["mdir", "-i", stick, "::boot/vmlinuz"])
    moment = re.search(r"(\d+-\d\d-\d\d) +(\d+:\d\d)", listed)
    assert moment
    written = datetime.strptime(" ".join(moment.groups()), "%Y-%m-%d %H:%M").replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=5)


def _bzimage(payload: bytes, magic: bytes = b"HdrS", version: int = 0x20F) -> bytes:
    """A kernel with one sector of setup and its payload 64 bytes behind that."""
    whole = bytearray(1024 + 64) + payload
    whole[0x1F1] = 1
    whole[MAGIC : MAGIC + 4] = magic
    struct.pack_into("<H", whole, VERSION, version)
    struct.pack_into("<II", whole, PAYLOAD, 64, len(payload))
    return bytes(whole)


ELF = b"\x7fELF and more"


def test_a_kernel_s_elf_file_is_found() -> None:
    packed = gzip.compress(ELF) + struct.pack("<I", len(ELF))  # its size follows, as Linux has it
    assert elf_of(_bzimage(packed)) == ELF


@pytest.mark.parametrize(
    ("bzimage", "words"),
    [
        (_bzimage(gzip.compress(ELF), magic=b"none"), "no bzImage"),
        (b"", "no bzImage"),
        (_bzimage(gzip.compress(ELF), version=0x207), "no ELF file"),
        (_bzimage(gzip.compress(b"MZ")), "no ELF file"),
        (_bzimage(gzip.compress(ELF)[:-4]), "no ELF file"),
        (_bzimage(b"\xfd7zXZ"), "isn't packed with gzip"),
    ],
)
def test_what_is_no_such_kernel_is_refused(bzimage: bytes, words: str) -> None:
    with pytest.raises(LabError, match=words):
        elf_of(bzimage)
