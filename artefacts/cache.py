"""The artefact cache: every built thing lies under a name made from what went into it.

Owns the folder (`.cache` in the project, or $LAB_CACHE) and the rule that a name, once
there, is complete and never changes. Leaves building to the callers.
"""

import fcntl
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from artefacts.progress import step

PROJECT = Path(__file__).resolve().parent.parent


def cache_root() -> Path:
    """The cache folder, created if it is not there."""
    root = Path(os.environ.get("LAB_CACHE", PROJECT / ".cache"))
    root.mkdir(parents=True, exist_ok=True)
    return root


def digest(*parts: str | bytes | Path) -> str:
    """16 hex digits that change when any part changes.

    A path stands for its content: a file's bytes, or a folder's relative names, modes
    (executable or not), link targets and bytes.
    """
    total = hashlib.sha256()
    for part in parts:
        total.update(_part_hash(part))
    return total.hexdigest()[:16]


def _part_hash(part: str | bytes | Path) -> bytes:
    if isinstance(part, str):
        return hashlib.sha256(part.encode()).digest()
    if isinstance(part, bytes):
        return hashlib.sha256(part).digest()
    if part.is_symlink():
        return hashlib.sha256(b"link " + str(part.readlink()).encode()).digest()
    if part.is_dir():
        inside = hashlib.sha256()
        for child in sorted(part.iterdir()):
            if child.name != "__pycache__":
                inside.update(child.name.encode() + b"\0" + _part_hash(child))
        return inside.digest()
    with part.open("rb") as source:
        content = hashlib.file_digest(source, "sha256")
    content.update(b"x" if os.access(part, os.X_OK) else b"-")
    return content.digest()


def cached(kind: str, name: str, build: Callable[[Path], None], *, title: str = "") -> Path:
    """The folder `<cache>/<kind>/<name>`; if it is missing, `build` fills an empty one first.

    `build` fills the folder it is given; it appears under its final name only when
    `build` returned, so a killed build leaves nothing that looks finished. Two processes
    that want the same artefact build it once.
    """
    shelf = cache_root() / kind
    final = shelf / name
    if final.is_dir():
        return final
    shelf.mkdir(parents=True, exist_ok=True)
    with (shelf / f".{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if final.is_dir():
            return final
        with step(title or f"building {kind} {name}"):
            work = Path(tempfile.mkdtemp(prefix=f".{name}.", dir=shelf))
            work.chmod(0o755)
            try:
                build(work)
                work.rename(final)
            except BaseException:
                shutil.rmtree(work, ignore_errors=True)
                raise
    return final
