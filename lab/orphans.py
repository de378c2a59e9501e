"""What a Pulumi that was killed leaves running: its plug-ins, and the steps they were at.

Owns finding and ending them, so that the next run isn't beside them. Leaves when to `launcher`.
"""

import ctypes
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


@contextmanager
def adopted() -> Iterator[None]:
    """Processes whose parent ends become this one's children, not init's (prctl(2))."""
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        yield
    finally:
        libc.prctl(PR_SET_CHILD_SUBREAPER, 0)


def end() -> None:
    """Kill the children that this process has, and theirs, until none is left.

    A session of its own is a service, as the lab machine's qemu, and goes on.
    """
    while found := list(_children()):
        for each in found:
            with suppress(ProcessLookupError, ChildProcessError):
                os.kill(each, signal.SIGKILL)
                os.waitpid(each, 0)


def _children() -> Iterator[int]:
    """proc_pid_stat(5): the second field, in parentheses, may have any character in it."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            _, parent, _, session, *_ = stat.read_text().rpartition(")")[2].split()
            if int(parent) == os.getpid() and int(session) == os.getsid(0):
                yield int(stat.parent.name)
