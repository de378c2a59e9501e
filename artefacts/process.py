"""The one way this project runs another program.

Owns argv execution, its error, and where the output goes. Leaves waiting and retrying
to the callers.
"""

import subprocess
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

LAST_LINES = 15


class CommandFailed(RuntimeError):
    """A program ended with a non-zero code, or was not found, or ran out of time.

    The message is what a person needs: the command, its code, its last lines, a hint.
    """


def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | None = None,
    output: Path | None = None,
    log: Path | None = None,
    timeout_s: float | None = None,
    hint: str = "",
) -> str:
    """Run `argv` without a shell and return its standard output as text.

    `env` replaces the environment whole. With `output` its standard output goes to that
    file, byte for byte; with `log` both streams are appended to it; the result is empty
    then. `hint` ends the error with what to do next.

    Raises:
        CommandFailed: on a non-zero exit, a missing program, or after `timeout_s` seconds.
    """
    command = [str(part) for part in argv]
    with ExitStack() as files:
        out = err = subprocess.PIPE
        if log is not None:
            out, err = files.enter_context(log.open("ab")).fileno(), subprocess.STDOUT
        elif output is not None:
            out = files.enter_context(output.open("wb")).fileno()
        try:
            done = subprocess.run(
                command, cwd=cwd, env=env, input=stdin, stdout=out, stderr=err,
                timeout=timeout_s, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise CommandFailed(_message(command, "program not found", "", hint)) from error
        except subprocess.TimeoutExpired as error:
            seen = (error.stderr or error.stdout or b"").decode(errors="replace")
            what = f"no end after {timeout_s} s"
            raise CommandFailed(_message(command, what, seen, hint)) from error
    if done.returncode != 0:
        streams = log.read_bytes() if log is not None else done.stderr or done.stdout or b""
        text = streams.decode(errors="replace")
        raise CommandFailed(_message(command, f"exit code {done.returncode}", text, hint))
    return (done.stdout or b"").decode(errors="replace")


def _message(command: Sequence[str], what: str, seen: str, hint: str) -> str:
    tail = "\n".join(f"  | {line}" for line in seen.strip().splitlines()[-LAST_LINES:])
    parts = [f"{' '.join(command)}: {what}", tail, hint]
    return "\n".join(part for part in parts if part)
