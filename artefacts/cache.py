"""The artefact cache: every built thing lies under a name made from what went into it.

Owns the folder ($XDG_CACHE_HOME/rack-lab, or $LAB_CACHE), which all clones share, and the rule
that a name, once there, is complete and never changes. An artefact's time of change is when it
was last used; `.<name>.inputs` beside it lists the artefacts that it was made from. Leaves
building to the callers, and removing what nobody uses to `artefacts.prune`.
"""

import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from artefacts.environment import UMASK, users_folder
from artefacts.namespace import build_as_root, remove_tree
from artefacts.process import ending_together, run
from artefacts.progress import step
from config.errors import ConfigError, Problem

VARIABLE = "LAB_CACHE"

_inputs: list[list[str]] = []  # of the artefacts that are being built, outermost first


def cache_root() -> Path:
    """The cache folder, created if it is not there.

    Raises:
        ConfigError: LAB_CACHE isn't an absolute path, or no folder can be found or made.
    """
    root = cache_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _refused(str(root), f"a folder that can be written ({error.strerror})") from error
    return root


def cache_folder() -> Path:
    """Where the cache is or would be.

    Raises:
        ConfigError: LAB_CACHE isn't an absolute path, or unset without a home.
    """
    named = os.environ.get(VARIABLE, "")
    users = users_folder("XDG_CACHE_HOME", ".cache")
    if not named and users is None:
        raise _refused("unset", "a home folder, or LAB_CACHE, says where artefacts go")
    root = Path(named) if named else Path(users or "/") / "rack-lab"
    if not root.is_absolute() or ":" in str(root):
        raise _refused(str(root), "an absolute path without a colon, which PATH can't hold")
    return root


def _refused(value: str, rule: str) -> ConfigError:
    remedy = "export LAB_CACHE=/a/folder with 12 GiB free, or unset it for ~/.cache/rack-lab"
    return ConfigError("the artefact cache", [Problem(VARIABLE, value, rule, remedy)])


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


def cached(
    kind: str, name: str, build: Callable[[Path], None], *, title: str = "", module: str = ""
) -> Path:
    """The folder `<cache>/<kind>/<name>`; if it is missing, `build` fills an empty one first.

    `build` fills the folder it is given; that appears under its final name when `build` has
    returned and all is on the disk, so a build that was killed, or a power cut, leaves nothing
    that looks finished. Two processes that want the same artefact build it once. Where
    files' owners matter, `module` is what builds it when it is run: an ordinary user does that
    as root of a user namespace.
    """
    root = cache_root()
    final = root / kind / name
    if _inputs:
        _inputs[-1].append(f"{kind}/{name}")
    if final.is_dir():
        mark_used(final)
        return final
    if module and os.geteuid() != 0:
        build_as_root(module)
        return final
    final.parent.mkdir(parents=True, exist_ok=True)
    title = title or f"building {kind} {name}"
    with locked(lock_of(final), waiting=title):
        if not final.is_dir():
            sweep(root)
            with step(title):
                _build(final, build)
    return final


def _build(final: Path, build: Callable[[Path], None]) -> None:
    work = final.with_name(f".{final.name}.work")
    remove_tree(work)
    umask = os.umask(UMASK)  # the user's would be in the modes of what is built
    _inputs.append([])
    try:
        work.mkdir()
        with ending_together():
            build(work)
            inputs_of(final).write_text("".join(f"{each}\n" for each in sorted(set(_inputs[-1]))))
            run(["sync", "--file-system", work])
        work.rename(final)
    except BaseException:
        with suppress(Exception):
            remove_tree(work)
        raise
    finally:
        _inputs.pop()
        os.umask(umask)


def mark_used(folder: Path) -> None:
    """Note that a clone uses the folder now; in a cache that is only read, nothing."""
    with suppress(OSError):
        os.utime(folder)


def shared_folder(kind: str, name: str) -> Path:
    """The folder `<cache>/<kind>/<name>` that a program keeps its own cache in."""
    folder = cache_root() / kind / name
    folder.mkdir(parents=True, exist_ok=True)
    with suppress(OSError):
        lock_of(folder).touch()
    mark_used(folder)
    return folder


def lock_of(artefact: Path) -> Path:
    """The file that whoever builds or removes the artefact holds locked; every artefact has it."""
    return artefact.with_name(f".{artefact.name}.lock")


def inputs_of(artefact: Path) -> Path:
    """The file with the artefacts it was made from, `kind/name` per line."""
    return artefact.with_name(f".{artefact.name}.inputs")


@contextmanager
def locked(path: Path, *, waiting: str = "") -> Iterator[bool]:
    """Hold the lock file; whether it could be had.

    With `waiting`, which names what is waited for, it always can; else only if it is free now.
    """
    while True:
        with path.open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if not waiting:
                    yield False
                    return
                print(f"another run does this, waiting: {waiting}", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            # who removed the artefact meanwhile has removed its lock file too
            if path.exists() and os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                yield True
                return


def sweep(root: Path) -> None:
    """Remove the work folders of builds that were killed; whose lock is held isn't dead."""
    for work in root.glob("*/.*.*"):
        lock = work.with_name(f"{work.name.rpartition('.')[0]}.lock")
        # LAB_CACHE may be a folder with other things in it: what has no lock isn't ours
        if work.is_dir() and lock.exists():
            with locked(lock) as dead:
                if dead:
                    remove_tree(work)
