"""The kernel: which one, its command line, its files for booting, the modules the rack needs.

Owns taking the ELF kernel out of a bzImage and choosing modules. Leaves loading them to
`guest/`, and which ones to the lists there. Why it is Debian's: docs/decisions/0004-kernel.md.
"""

import gzip
import lzma
import shutil
import struct
from collections.abc import Iterable
from pathlib import Path

from alpine.debian import fetch_debs, kernel_package
from alpine.wheel import run_program
from artefacts import cached, digest, run

# No checks that wake an idle machine, no work for attacks between machines of one owner, and no
# search of 256 PCI buses for AMD's AGP aperture, which are 17,000 exits of a machine's boot.
ARGUMENTS = (
    "console=ttyS0", "quiet", "tsc=nowatchdog", "nowatchdog", "mitigations=off", "pci=noearly"
)  # fmt: skip

PAYLOAD_OFFSET = 0x248
PAYLOAD_LENGTH = 0x24C
SETUP_SECTORS = 0x1F1
INDEX_FILES = ("modules.builtin", "modules.builtin.modinfo", "modules.order")


def kernel_root() -> Path:
    """A folder with the kernel's `boot/` and `lib/modules/<version>`, indexed by depmod."""
    key = digest(kernel_package().sha256)
    return cached("kernel", key, _unpack, title="unpacking the kernel")


def _unpack(work: Path) -> None:
    run(["dpkg-deb", "-x", fetch_debs() / f"{kernel_package().name}.deb", work])
    depmod(work, modules_folder(work).name)


def netboot(root: Path, target: Path) -> None:
    """Write `vmlinuz` and `vmlinux.gz` into `target` from a kernel's root."""
    target.mkdir(parents=True)
    (image,) = (root / "boot").glob("vmlinuz-*")
    shutil.copyfile(image, target / "vmlinuz")
    kernel = uncompressed(image.read_bytes())
    (target / "vmlinux.gz").write_bytes(gzip.compress(kernel, compresslevel=6, mtime=0))


def uncompressed(bzimage: bytes) -> bytes:
    """The ELF kernel (with its PVH entry) inside an xz-compressed bzImage.

    Where it lies is in the set-up header: Linux' Documentation/arch/x86/boot.rst,
    fields setup_sects, payload_offset and payload_length.

    Raises:
        ValueError: the payload is not an xz stream holding an ELF file.
    """
    start = (bzimage[SETUP_SECTORS] + 1) * 512
    offset, length = struct.unpack_from("<II", bzimage, PAYLOAD_OFFSET)
    found = bzimage[start + offset : start + offset + length]
    try:
        kernel = lzma.LZMADecompressor().decompress(found)
    except lzma.LZMAError as error:
        raise ValueError(f"the kernel's payload is not xz: {error}") from error
    if kernel[:4] != b"\x7fELF":
        raise ValueError("the kernel's payload is not an ELF file")
    return kernel


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
