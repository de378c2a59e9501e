"""What every boot tree has, whichever machines it serves.

Owns that list: kernel and initramfs, the PXE script, the quarantine image. Leaves building each
to `initramfs` and `image`, and machines' own files to their entries.
"""

from pathlib import Path

from alpine import image, initramfs
from artefacts import digest

QUARANTINE = "quarantine"


def common_key() -> str:
    """A name for the common files' content, known without building them."""
    return digest(initramfs.boot_files_key(), image.image_key(QUARANTINE))


def common_files() -> dict[str, Path]:
    """The common files by their path in the tree, built if need be."""
    boot = initramfs.boot_files()
    files = {f"boot/{name}": boot / name for name in ("vmlinuz", "vmlinux.gz", "initramfs")}
    files["boot.ipxe"] = boot / "boot.ipxe"
    return files | image_files(QUARANTINE, QUARANTINE)


def image_files(role: str, key: str) -> dict[str, Path]:
    """A role's image and its sha256, named `key` in the tree."""
    built = image.role_image(role)
    return {
        f"images/{key}.squashfs": built,
        f"images/{key}.squashfs.sha256": built.with_name(f"{built.name}.sha256"),
    }
