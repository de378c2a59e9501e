"""What Pulumi runs that were killed leave in a backend that is a folder: locks, torn attributes.

Owns telling them from those of a run that goes on. Leaves locking to Pulumi, and locks in a
backend that isn't a folder on this machine to `pulumi cancel`.
"""

import json
import socket
import time
from pathlib import Path
from urllib.parse import unquote, urlsplit

PROGRAM = "pulumi"
WRITTEN_S = 1.0  # a lock of 100 bytes is written within that


def clear_dead(backend: str, project: str, stack: str, proc: Path = Path("/proc")) -> list[int]:
    """Remove the stack's locks whose run is dead; the process ids of those runs.

    `backend` is PULUMI_BACKEND_URL. A lock file (pulumi, pkg/backend/diy/lock.go) names host and
    process; a run on another host, or one whose process lives, keeps its lock. A file that names
    nobody was torn by a power cut or a full disk: it goes, its process told as 0, if it still names
    nobody `WRITTEN_S` later.
    """
    dead = []
    for file in _files(backend, project, stack):
        host, pid = _holder(file)
        if not pid:
            time.sleep(WRITTEN_S)
            host, pid = _holder(file)
        if not pid or (host == socket.gethostname() and not _runs(pid, proc)):
            file.unlink(missing_ok=True)
            dead.append(pid)
    return dead


def holders(backend: str, project: str, stack: str) -> list[str]:
    """Who holds the stack's locks: "process 7 on HOST"."""
    found = map(_holder, _files(backend, project, stack))
    return [f"process {pid} on {host}" for host, pid in found]


def _files(backend: str, project: str, stack: str) -> list[Path]:
    root = folder_of(backend)
    folder = root / ".pulumi/locks/organization" / project / stack if root else None
    return sorted(folder.glob("*.json")) if folder else []


def drop_torn(backend: str) -> bool:
    """Remove files of attributes that a killed run hasn't written to the end; whether any was.

    Pulumi reads no state beside such a one ("EOF"), and needs none: they have a sum and a type
    (gocloud.dev, blob/fileblob/attrs.go). Our own backend has none (`plugins.build`).
    """
    root = folder_of(backend)
    files = (root / ".pulumi").rglob("*.attrs") if root else ()
    torn = [each for each in files if not _is_json(each)]
    for each in torn:
        each.unlink(missing_ok=True)
    return bool(torn)


def folder_of(backend: str) -> Path | None:
    """The folder that a backend's URL names; None where it is none on this machine.

    What follows a question mark is no part of it, as in Pulumi (pkg/backend/diy, massageBlobPath).
    """
    url = urlsplit(backend)
    if url.scheme != "file":
        return None
    written = backend.removeprefix("file://").partition("?")[0]
    for text in (written, unquote(written)):
        if text and Path(text).expanduser().is_dir():
            return Path(text).expanduser()
    return None


def _is_json(file: Path) -> bool:
    try:
        json.loads(file.read_bytes())
    except (OSError, ValueError):
        return False
    return True


def _holder(file: Path) -> tuple[str, int]:
    """Host and process of a lock; of a torn one "" and 0."""
    try:
        found = json.loads(file.read_bytes())
        return str(found["hostname"]), int(found["pid"])
    except (OSError, ValueError, KeyError, TypeError):
        return "", 0


def _runs(pid: int, proc: Path) -> bool:
    try:
        return (proc / str(pid) / "comm").read_text().strip() == PROGRAM
    except OSError:  # it has ended
        return False
