"""Alpine's own kernel for virtual machines, as the rest wants a kernel.

Owns what is taken from the package `linux-virt`: its bzImage's ELF file, its modules without those
that no machine of a rack has a use for. Leaves which machines have it to `config.profile`, and its
package to `release`.
"""

import gzip
import shutil
import struct
import zlib
from pathlib import Path

from alpine import kernel
from alpine.apk import extract
from artefacts import LabError, cached, digest
from config.profile import Kernel

# Sound, pictures, controllers of real hardware, file systems of clusters: a third of its modules,
# which would be in each machine's memory.
LEFT_OUT = (
    "sound", "drivers/gpu", "drivers/hid", "drivers/message", "drivers/nvme", "drivers/target",
    "drivers/video", "drivers/xen", "drivers/net/ethernet", "drivers/net/wireless",
    "drivers/net/vmxnet3", "drivers/net/hyperv", "fs/ceph", "fs/dlm", "fs/f2fs", "fs/gfs2",
    "fs/jfs", "fs/nilfs2", "fs/ntfs3", "fs/ocfs2", "fs/smb", "net/ceph", "net/sctp",
    "net/vmw_vsock",
)  # fmt: skip

# The x86 boot protocol (docs.kernel.org, arch/x86/boot): offsets of the setup header's fields.
SETUP_SECTORS, MAGIC, VERSION, PAYLOAD = 0x1F1, 0x202, 0x206, 0x248
WITH_PAYLOAD = 0x208  # the protocol since which the header says where the compressed ELF is
SECTOR = 512
GZIP = 16 + zlib.MAX_WBITS


def kernel_key(release_key: str) -> str:
    """Its name in the cache, known without the package."""
    return digest(Kernel.ALPINE, release_key, Path(__file__))


def kernel_root(packages: Path, release_key: str) -> Path:
    """As `kernelbuild.kernel_root`, of the package in a folder of packages.

    Raises:
        LabError: the package isn't as Alpine's has been.
    """

    def build(work: Path) -> None:
        content = work / "content"
        extract(_package(packages), content)
        (work / "boot").mkdir()
        bzimage = content / "boot/vmlinuz-virt"
        shutil.copyfile(bzimage, work / "boot/vmlinuz")
        (work / "boot/vmlinux").write_bytes(elf_of(bzimage.read_bytes()))
        (content / "lib").rename(work / "lib")
        shutil.rmtree(content)
        _make_modules(work)

    return cached("kernel", kernel_key(release_key), build, title=f"kernel {Kernel.ALPINE}")


def _package(packages: Path) -> Path:
    found = list(packages.glob(f"{Kernel.ALPINE}-[0-9]*.apk"))
    if len(found) != 1:
        raise LabError(f"the packages have no {Kernel.ALPINE}; lock them anew: lab alpine lock")
    return found[0]


def elf_of(bzimage: bytes) -> bytes:
    """The ELF file in a bzImage, which a guest starts by its PVH entry.

    Raises:
        LabError: there is none, or it isn't packed with gzip.
    """
    if bzimage[MAGIC : MAGIC + 4] != b"HdrS":
        raise LabError("the kernel is no bzImage")
    (version,) = struct.unpack_from("<H", bzimage, VERSION)
    offset, length = struct.unpack_from("<II", bzimage, PAYLOAD)
    start = ((bzimage[SETUP_SECTORS] or 4) + 1) * SECTOR + offset
    packed = zlib.decompressobj(GZIP)
    try:
        elf = packed.decompress(bzimage[start : start + length])
    except zlib.error as error:
        raise LabError(f"the kernel isn't packed with gzip: {error}") from error
    if version < WITH_PAYLOAD or not packed.eof or not elf.startswith(b"\x7fELF"):
        raise LabError("there is no ELF file in the kernel, or half of one")
    return elf


def _make_modules(root: Path) -> None:
    """Unpack the modules, as the image that holds them is packed already, and index them."""
    folder = kernel.modules_folder(root)
    for each in folder.iterdir():
        if each.name not in ("kernel", *kernel.INDEX_FILES):
            each.unlink()
    for name in LEFT_OUT:
        shutil.rmtree(folder / "kernel" / name, ignore_errors=True)
    for packed in folder.rglob("*.ko.gz"):
        packed.with_suffix("").write_bytes(gzip.decompress(packed.read_bytes()))
        packed.unlink()
    kernel.depmod(root, folder.name)
