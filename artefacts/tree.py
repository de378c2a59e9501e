"""Folders as tar archives whose bytes depend on names and content alone.

Owns how one is written. Leaves what lies in it, and where it goes, to the callers.
"""

import tarfile
from pathlib import Path


def pack_tree(source: Path, target: Path) -> None:
    """Write a folder as a tar that belongs to root, with modes 755 and 644 and no times.

    Its entries are sorted by the parts of their paths.
    """

    def as_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = entry.mtime = 0
        entry.uname = entry.gname = "root"
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(target, "w") as tar:
        for child in sorted(source.rglob("*")):
            tar.add(child, child.relative_to(source).as_posix(), recursive=False, filter=as_root)
