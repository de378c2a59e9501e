"""What every boot tree has, whichever machines it serves.

Owns that list: kernel and initramfs, their sums, the PXE script, the quarantine image. Leaves
building each to `initramfs` and `image`, and machines' own files to their entries.
"""

from collections.abc import Sequence
from pathlib import Path

from alpine import image, initramfs
from alpine.release import OFFLINE, Release
from artefacts import digest

QUARANTINE = "quarantine"


def common_key(release: Release = OFFLINE) -> str:
    """A name for the common files' content, known without building them."""
    return digest(initramfs.boot_files_key(release), image.image_key(QUARANTINE, release=release))


def common_files(release: Release = OFFLINE) -> dict[str, Path]:
    """The common files by their path in the tree, built if need be."""
    boot = initramfs.boot_files(release)
    summed = [f"{name}.sha256" for name in initramfs.SUMMED]
    names = ("vmlinuz", "vmlinux.gz", "initramfs", *summed)
    files = {f"boot/{name}": boot / name for name in names}
    files["boot.ipxe"] = boot / "boot.ipxe"
    return files | image_files(QUARANTINE, QUARANTINE, release=release)


def image_files(
    role: str, key: str, extra: Sequence[str] = (), release: Release = OFFLINE
) -> dict[str, Path]:
    """The layers of a role with the folders `extra`, and their list, named `key` in the tree."""
    built = image.role_image(role, extra, release)
    layers = {f"images/{layer.name}": layer for layer in built.layers}
    return {f"images/{key}.layers": built.list, **layers}
