"""Writing a squashfs so that equal folders give equal bytes.

Owns mksquashfs' settings. Leaves times and owners of what is inside to the caller.
"""

from pathlib import Path

from artefacts import run

COMPRESSION = ("-comp", "zstd", "-Xcompression-level", "15", "-b", "128K")


def make_squashfs(folder: Path, image: Path) -> None:
    """Write `folder` to `image`."""
    fixed = ["-mkfs-time", "0", "-reproducible", "-no-xattrs"]
    run(["mksquashfs", folder, image, "-noappend", "-quiet", "-no-progress", *fixed, *COMPRESSION])
