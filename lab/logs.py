"""The log of each run: what was done, which programs ran, and for how long.

Owns where the lines of the logger `rack-lab` go: to standard error as far as -v asks for that, and
whole to a file in the stack's folder. Leaves the lines to those who write them, `artefacts` above
all; Pulumi's own events to `lab.launcher`.
"""

import logging
import os
import sys
import time
from pathlib import Path

from artefacts.progress import STEPS
from config.settings import stack_folder

VARIABLE = "LAB_LOG"  # the file of the run under way, for the programs that are part of it
KEPT = 10  # files per stack and command
FORMAT = "%(asctime)s %(process)d %(levelname)s %(message)s"

logger = logging.getLogger("rack-lab")


def show(verbosity: int) -> None:
    """Write lines to standard error, too: each program that ran (1), also what it said (2)."""
    if not verbosity:
        return
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)
    terminal.addFilter(lambda record: record.name != STEPS)  # these are there anyway
    terminal.setFormatter(logging.Formatter("%(message)s"))
    _add(terminal)


def keep(stack: str, title: str) -> None:
    """Write all lines from now on to a file in the stack's folder, which is made if it isn't there.

    It is the file of the run that this process is part of, else a new one, e.g.
    `log/20261204T110512Z-lab-power.log`. `title`: the command, without its arguments, which may
    hold a user's secrets.
    """
    folder = stack_folder(stack) / "log"
    file = Path(os.environ.get(VARIABLE, ""))
    if file.parent != folder or not file.is_file():
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{title.replace(' ', '-')}.log"
        for old in sorted(folder.glob(f"*Z-{name}"))[: 1 - KEPT]:
            old.unlink(missing_ok=True)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        file = folder / f"{stamp}-{name}"
        file.touch(mode=0o600)
        os.environ[VARIABLE] = str(file)
    handler = logging.FileHandler(file)
    formatter = logging.Formatter(FORMAT, "%Y-%m-%dT%H:%M:%SZ")
    formatter.converter = time.gmtime
    handler.setFormatter(formatter)
    _add(handler)
    logger.info("%s, stack %s", title, stack)


def of_this_run() -> dict[str, str]:
    """The variable that makes a program part of this run; nothing where it has no file."""
    return {VARIABLE: os.environ[VARIABLE]} if VARIABLE in os.environ else {}


def _add(handler: logging.Handler) -> None:
    logger.setLevel(logging.DEBUG)
    logger.addHandler(handler)
