"""One run at a time on a stack.

Owns the lock file in the stack's folder, telling who holds it, and where a run's events are. Leaves
runs on other machines to Pulumi's own lock in the backend.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

from config.settings import stack_folder

LOCK = "run.lock"
EVENTS = "events.json"  # Pulumi's engine events of the stack's last `up`, in its folder


def holder(stack: str) -> str:
    """Which run works on the stack at this moment; "" for none."""
    path = stack_folder(stack) / LOCK
    if not path.exists():
        return ""
    with path.open("r+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return _told(lock)
    return ""


@contextmanager
def only(stack: str, what: str) -> Iterator[None]:
    """Wait until no other run works on the stack, and keep others waiting.

    `what` is told to those. The lock ends with the process, however that ends (flock(2)).
    """
    path = stack_folder(stack) / LOCK
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Stack {stack}: waiting for {_told(lock)}.", file=sys.stderr, flush=True)
            fcntl.flock(lock, fcntl.LOCK_EX)
        lock.truncate(0)
        since = time.strftime("%H:%M:%S")
        lock.write(f"{what} (process {os.getpid()}, since {since})\n")
        lock.flush()
        yield
        lock.truncate(0)


def _told(lock: TextIO) -> str:
    lock.seek(0)
    return lock.read().strip() or "another run"
