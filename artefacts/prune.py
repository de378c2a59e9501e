"""What lies in the cache, and removing what no clone has used for long.

Owns the listing and the choice. What a used artefact was made from counts as used: a change of
one role would else compile the kernel again. Leaves the layout to `artefacts.cache`. A lab
machine lies on its own copy of its image, so nothing here can take it away.
"""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from artefacts.cache import cache_folder, inputs_of, lock_of, locked, sweep
from artefacts.namespace import remove_tree

DAY_S = 86400


@dataclass(frozen=True)
class Entry:
    """One artefact: its folder, bytes on the disk, and when it was last used (Unix time)."""

    folder: Path
    size: int
    used: float

    @property
    def name(self) -> str:
        """`kind/name`."""
        return f"{self.folder.parent.name}/{self.folder.name}"


def entries() -> list[Entry]:
    """All artefacts, by name; those that share a file by hard links share its size."""
    seen: set[tuple[int, int]] = set()
    found = cache_folder().glob("*/[!.]*")
    folders = sorted(each for each in found if each.is_dir() and lock_of(each).exists())
    return [Entry(each, _size(each, seen), each.stat().st_mtime) for each in folders]


def prune(days: float) -> list[Entry]:
    """Remove what was neither used for `days` days, nor to make what was; the removed ones."""
    root, since = cache_folder(), time.time() - days * DAY_S
    sweep(root)
    found = {each.name: each for each in entries()}
    kept: set[str] = set()
    wanted = [name for name, each in found.items() if each.used >= since]
    while wanted:
        name = wanted.pop()
        if name not in kept:
            kept.add(name)
            listed = inputs_of(root / name)
            wanted += listed.read_text().split() if listed.is_file() else []
    return [found[name] for name in sorted(found.keys() - kept) if _remove(found[name], since)]


def _remove(entry: Entry, since: float) -> bool:
    lock = lock_of(entry.folder)
    with locked(lock) as free:
        if not free or entry.folder.stat().st_mtime >= since:
            return False
        work = entry.folder.with_name(f".{entry.folder.name}.work")
        entry.folder.rename(work)  # a half removed artefact must not have its name
        remove_tree(work)
        inputs_of(entry.folder).unlink(missing_ok=True)
        lock.unlink()
    return True


def _size(folder: Path, seen: set[tuple[int, int]]) -> int:
    total = 0
    for inside, _folders, files in os.walk(folder):
        for name in files:
            status = Path(inside, name).lstat()
            if (status.st_dev, status.st_ino) not in seen:
                seen.add((status.st_dev, status.st_ino))
                total += status.st_blocks * 512
    return total
