"""The initramfs: busybox, a few modules and `guest/initramfs/init`.

Owns packing it, and the folder of boot files. Leaves what init does to `guest/initramfs`, and
putting the boot files and images into a tree to those who make one.
"""

import gzip
import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from alpine import cpio, kernel
from alpine.debian import lines
from alpine.release import OFFLINE, Release
from alpine.wheel import wheel_root
from artefacts import cached, digest

SOURCE = Path(__file__).parent.parent / "guest/initramfs"
SCRIPT = SOURCE.parent / "roles/boot-server/boot.ipxe"
FOLDERS = ("bin", "dev", "etc", "lib", "lib/modules")
LOADER = "lib/ld-musl-x86_64.so.1"
SUMMED = ("vmlinux.gz", "initramfs")
"""What nodes fetch for their guests; they check it against its sum, in `<name>.sha256`."""


def boot_files_key(release: Release = OFFLINE) -> str:
    """The name of a release's boot files, known without building them."""
    return digest(release.key, SOURCE, SCRIPT, Path(__file__), Path(cpio.__file__))


def boot_files(release: Release = OFFLINE) -> Path:
    """A folder with `vmlinuz`, `vmlinux.gz` (an ELF file, PVH entry), `initramfs`, `boot.ipxe`.

    They are of a release. And the sums of those that are SUMMED.
    """
    return cached(
        "boot", boot_files_key(release), lambda work: _build(release, work),
        title="kernel and initramfs",
    )  # fmt: skip


def _build(release: Release, work: Path) -> None:
    root = release.kernel_root
    shutil.copyfile(root / "boot/vmlinuz", work / "vmlinuz")
    elf = (root / "boot/vmlinux").read_bytes()
    (work / "vmlinux.gz").write_bytes(gzip.compress(elf, compresslevel=6, mtime=0))
    script = SCRIPT.read_text().replace("ARGUMENTS", " ".join(kernel.ARGUMENTS))
    (work / "boot.ipxe").write_text(script)
    with tempfile.TemporaryDirectory() as scratch:
        content = _archive(root, Path(scratch))
    (work / "initramfs").write_bytes(gzip.compress(content, compresslevel=9, mtime=0))
    for name in SUMMED:
        sha256 = hashlib.sha256((work / name).read_bytes()).hexdigest()
        (work / f"{name}.sha256").write_text(f"{sha256}\n")


def busybox(folders: Iterable[str], applets: Iterable[str]) -> cpio.Archive:
    """What an initramfs begins with: folders, two devices, busybox with its library, applets."""
    root, archive = wheel_root(), cpio.Archive()
    for folder in folders:
        archive.folder(folder)
    archive.device("dev/console")
    archive.device("dev/null")
    archive.file(LOADER, (root / LOADER).read_bytes(), executable=True)
    archive.link("lib/libc.musl-x86_64.so.1", Path(LOADER).name)
    archive.file("bin/busybox", (root / "bin/busybox").read_bytes(), executable=True)
    for applet in applets:
        archive.link(f"bin/{applet}", "busybox")
    return archive


def _archive(root: Path, scratch: Path) -> bytes:
    archive = busybox(FOLDERS, lines(SOURCE / "applets"))
    archive.file("init", (SOURCE / "init").read_bytes(), executable=True)
    archive.file("lease", (SOURCE / "lease").read_bytes(), executable=True)
    _add_modules(archive, root, scratch)
    return archive.content()


def _add_modules(archive: cpio.Archive, root: Path, scratch: Path) -> None:
    source = kernel.modules_folder(root)
    target = scratch / "lib/modules" / source.name
    kernel.copy_index(source, target)
    kernel.choose_modules(source, lines(SOURCE / "modules"), target)
    needed = kernel.choose_modules(source, lines(SOURCE / "drivers"), target)
    archive.file("drivers", (" ".join(map(kernel.module_name, needed)) + "\n").encode())
    kernel.depmod(scratch, source.name)
    keep = {"modules.dep", "modules.alias", "modules.builtin"}
    for path in sorted(target.parent.rglob("*")):
        name = f"lib/modules/{path.relative_to(target.parent)}"
        if path.is_dir():
            archive.folder(name)
        elif path.suffix == ".ko" or path.name in keep:
            archive.file(name, path.read_bytes())
