"""The one way this project runs another program.

Owns argv execution, its environment, its error, where the output goes, and that a build's
programs end with the build. Leaves waiting and retrying to the callers.
"""

import logging
import os
import shlex
import shutil
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from artefacts.environment import environment
from artefacts.errors import CommandFailed

MOST_LOGGED = 500  # characters of a command
KILLED_S, LATE_ONES = 0.01, 20  # between kills, and how many at most
FULL = 1 << 20  # bytes: with less a file system takes nothing more

logger = logging.getLogger("rack-lab.programs")

_group: int | None = None
_ended = False  # the group was, and nothing more shall start in it


def full_disk(folder: Path) -> str:
    """What to do if the file system of `folder` is full, else "". Not every program says it."""
    full = shutil.disk_usage(folder).free < FULL
    return f"the file system of {folder} is full; free space there" if full else ""


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    output: Path | None = None,
    log: Path | None = None,
    timeout_s: float | None = None,
    shown: bool = False,
    hint: str = "",
) -> str:
    """Run `argv` without a shell and return its standard output as text.

    `env` replaces the environment whole; without it the program gets `environment()`. With
    `output` its standard output goes to that file, byte for byte; with `log` both streams are
    appended to it; the result is empty then. With `shown` its messages go to this process's
    standard error. `hint` ends the error with what to do next. The logger `rack-lab` is told of the
    command, its exit code and its seconds.

    Raises:
        CommandFailed: on a non-zero exit, a missing program, or after `timeout_s` seconds.
    """
    command = [str(part) for part in argv]
    if _ended:
        raise CommandFailed(command, "not started, as what it is for has ended", hint=hint)
    env = environment() if env is None else env
    began = time.monotonic()
    with ExitStack() as files:
        out: int = subprocess.PIPE
        err: int | None = subprocess.PIPE
        if log is not None:
            out, err = files.enter_context(log.open("ab")).fileno(), subprocess.STDOUT
        elif output is not None:
            out = files.enter_context(output.open("wb")).fileno()
        if shown:
            err = None
        try:
            done = subprocess.run(
                command, cwd=cwd, env=env, stdout=out, stderr=err, timeout=timeout_s,
                check=False, process_group=_group, **_input(stdin),
            )  # fmt: skip
        except FileNotFoundError as error:
            raise CommandFailed(command, "program not found", hint=hint) from error
        except subprocess.TimeoutExpired as error:
            seen = (error.stderr or error.stdout or b"").decode(errors="replace")
            what = f"no end after {timeout_s} s"
            raise CommandFailed(command, what, said=seen, hint=hint) from error
    logger.info(
        "%s: exit code %d, %.1f s", _shown(command), done.returncode, time.monotonic() - began
    )
    if done.stderr:
        logger.debug("it wrote: %s", done.stderr.decode(errors="replace").strip())
    if done.returncode != 0:
        streams = log.read_bytes() if log is not None else done.stderr or done.stdout or b""
        text = streams.decode(errors="replace")
        what = f"exit code {done.returncode}"
        if log is not None:
            hint = full_disk(log.parent) or hint
        raise CommandFailed(command, what, said=text, code=done.returncode, hint=hint)
    return (done.stdout or b"").decode(errors="replace")


def _shown(command: Sequence[str]) -> str:
    """An argv in one line, as far as a log needs it: scripts of many lines are cut."""
    return textwrap.shorten(shlex.join(command), MOST_LOGGED, placeholder=" …")


def _input(stdin: bytes | None) -> dict[str, Any]:
    """A build's programs are no foreground job: reading the terminal would stop them for ever."""
    if stdin is not None:
        return {"input": stdin}
    return {"stdin": subprocess.DEVNULL} if _group is not None else {}


@contextmanager
def ending_together() -> Iterator[Callable[[], None]]:
    """What `run` starts in here ends with this process, and all that was started by it too.

    Gives what ends it now; what another thread starts after that doesn't start.

    They are one process group, whose first member waits for the end of a pipe that only this
    process holds. So it works however this process ends, by SIGKILL too.
    """
    global _group, _ended
    if _group is not None:
        yield lambda: None
        return
    guard = ["sh", "-c", "cat; kill -KILL 0"]
    with subprocess.Popen(
        guard, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, process_group=0
    ) as first:
        _group = first.pid

        def end() -> None:
            global _ended
            if _ended:  # the group's number may be another's by now
                return
            assert first.stdin is not None
            _ended = True
            first.stdin.close()
            first.wait()
            # What another thread was just starting may have joined after the kill: a group is
            # there until its dead have been waited for.
            with suppress(ProcessLookupError, PermissionError):
                for _ in range(LATE_ONES):
                    os.killpg(first.pid, signal.SIGKILL)
                    time.sleep(KILLED_S)

        try:
            yield end
        finally:
            end()
            _group, _ended = None, False
