"""Locks of Pulumi runs that were killed.

Owns telling them from those of a run that goes on. Leaves locking to Pulumi, and locks in a
backend that isn't a folder on this machine to `pulumi cancel`.
"""

import json
import socket
from pathlib import Path
from urllib.parse import urlsplit

PROGRAM = "pulumi"


def clear_dead(backend: str, project: str, stack: str, proc: Path = Path("/proc")) -> list[int]:
    """Remove the stack's locks whose run is dead; the process ids of those runs.

    `backend` is PULUMI_BACKEND_URL. A lock file (pulumi, pkg/backend/diy/lock.go) names host and
    process; a run on another host, or one whose process lives, keeps its lock.
    """
    url = urlsplit(backend)
    if url.scheme != "file":
        return []
    folder = Path(url.path) / ".pulumi" / "locks" / "organization" / project / stack
    dead = []
    for file in sorted(folder.glob("*.json")):
        holder = json.loads(file.read_text())
        if holder["hostname"] == socket.gethostname() and not _runs(holder["pid"], proc):
            file.unlink()
            dead.append(holder["pid"])
    return dead


def _runs(pid: int, proc: Path) -> bool:
    try:
        return (proc / str(pid) / "comm").read_text().strip() == PROGRAM
    except FileNotFoundError:
        return False
