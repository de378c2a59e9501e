"""The kernel: its files for booting, and the few modules the rack needs.

Owns taking the compressed ELF kernel out of a bzImage and choosing modules. Leaves loading
them to `guest/`, and which ones to the lists there.
"""

import gzip
import shutil
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path

from alpine.wheel import run_program

PAYLOAD_OFFSET = 0x248
PAYLOAD_LENGTH = 0x24C
SETUP_SECTORS = 0x1F1
GZIP_WINDOW = 31
INDEX_FILES = ("modules.builtin", "modules.builtin.modinfo", "modules.order")


def netboot(root: Path, target: Path) -> None:
    """Write `vmlinuz` and `vmlinux.gz` into `target` from a root that has linux-virt installed."""
    target.mkdir(parents=True)
    shutil.copyfile(root / "boot/vmlinuz-virt", target / "vmlinuz")
    (target / "vmlinux.gz").write_bytes(payload((target / "vmlinuz").read_bytes()))


def payload(bzimage: bytes) -> bytes:
    """The gzip stream with the ELF kernel (and its PVH entry) inside a bzImage.

    Where it lies is in the set-up header: Linux' Documentation/arch/x86/boot.rst,
    fields setup_sects, payload_offset and payload_length.

    Raises:
        ValueError: the payload is not a gzip stream holding an ELF file.
    """
    start = (bzimage[SETUP_SECTORS] + 1) * 512
    offset, length = struct.unpack_from("<II", bzimage, PAYLOAD_OFFSET)
    found = bzimage[start + offset : start + offset + length]
    stream = zlib.decompressobj(GZIP_WINDOW)
    try:
        kernel = stream.decompress(found)
    except zlib.error as error:
        raise ValueError(f"the kernel's payload is not gzip: {error}") from error
    if kernel[:4] != b"\x7fELF":
        raise ValueError("the kernel's payload is not an ELF file")
    return found[: len(found) - len(stream.unused_data)]


def modules_folder(root: Path) -> Path:
    """The one `lib/modules/<version>` under `root`."""
    (folder,) = (root / "lib/modules").iterdir()
    return folder


def choose_modules(source: Path, names: Iterable[str], target: Path) -> list[str]:
    """Copy the modules called `names` and all they depend on to `target`, uncompressed.

    `source` and `target` are `lib/modules/<version>` folders. A name stands for a module, or
    with a slash at its end for every module in that folder (`kernel/net/netfilter/`). Returns
    the paths copied, in loading order; `depmod` comes next.

    Raises:
        KeyError: there is no module of that name.
    """
    depends = read_depends(source)
    by_name = {module_name(path): path for path in depends}
    wanted: dict[str, None] = {}
    for name in names:
        if name.endswith("/"):
            roots = [path for path in depends if path.startswith(name)]
        else:
            roots = [by_name[name.replace("-", "_")]]
        for path in roots:
            for dependency in [*reversed(depends[path]), path]:
                wanted[dependency] = None
    chosen = [path.removesuffix(".gz") for path in wanted]
    for path, plain in zip(wanted, chosen, strict=True):
        (target / plain).parent.mkdir(parents=True, exist_ok=True)
        content = (source / path).read_bytes()
        (target / plain).write_bytes(gzip.decompress(content) if path != plain else content)
    return chosen


def copy_index(source: Path, target: Path) -> None:
    """Copy what `depmod` wants to find beside the modules."""
    target.mkdir(parents=True, exist_ok=True)
    for name in INDEX_FILES:
        shutil.copyfile(source / name, target / name)


def depmod(base: Path, version: str) -> None:
    """Write the module indexes of `base/lib/modules/<version>` with the wheel's kmod."""
    run_program("bin/kmod", "-b", base, version, called="depmod")


def read_depends(source: Path) -> dict[str, list[str]]:
    """`modules.dep`: `{module path: paths it needs, nearest first}`."""
    rows = (line.partition(":") for line in (source / "modules.dep").read_text().splitlines())
    return {path: needs.split() for path, _, needs in rows}


def module_name(path: str) -> str:
    """`kernel/fs/9p/9p.ko.gz` -> `9p`; dashes become underscores, as modprobe has it."""
    return path.rsplit("/", 1)[-1].split(".ko", maxsplit=1)[0].replace("-", "_")
