"""The files of a stack's own folder: how they are written, and its seed.

Owns that a file is whole or isn't there, for its owner only, and that two processes find the same
seed. Leaves what stands in the other files to `access`, which keys follow from a seed to `secrets`.
"""

import fcntl
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config import secrets
from config.errors import ConfigError, Problem

SEED = re.compile(rf"[0-9a-f]{{{2 * secrets.SEED_BYTES}}}")


def write(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all, 0600; untouched when it is right already.

    It survives a power cut right after this: data and name are on the disk (fsync(2)).
    """
    data = content.encode() if isinstance(content, str) else content
    if path.is_file() and path.read_bytes() == data:
        return
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle, fresh = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(fresh).replace(path)
    except BaseException:
        Path(fresh).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def seed(folder: Path, *, keep: bool = True) -> str:
    """The stack's seed, 64 hex digits; made the first time, and kept if `keep`.

    Raises:
        ConfigError: the file holds anything else. All keys follow from it, so nothing is guessed.
    """
    path = folder / "seed"
    if not keep:
        return _read_seed(path) if path.exists() else secrets.new_seed()
    with locked(folder / "seed.lock"):
        if not path.exists():
            write(path, secrets.new_seed())
        return _read_seed(path)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock file; who comes second waits."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _read_seed(path: Path) -> str:
    found = path.read_bytes().decode("ascii", errors="replace").strip()
    if not SEED.fullmatch(found):
        problem = Problem(
            str(path), f"{len(found)} characters",
            f"a seed is {2 * secrets.SEED_BYTES} hex digits, 0 to 9 and a to f",
            "copy it from where the stack was raised; a stack that has no machines gets a new "
            "one when the file is removed",
        )  # fmt: skip
        raise ConfigError("the stack's seed", [problem])
    return found


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
