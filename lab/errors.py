"""The one place where an error becomes what a user reads, and an exit code.

Owns that: one screen on standard error, 1. Leaves wrong usage, 2, to typer. What isn't named here
is a mistake of the program, and shows its traceback.
"""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from artefacts import LabError
from config.errors import ConfigError

INTERRUPTED = 130  # as shells tell SIGINT


@contextmanager
def told() -> Iterator[None]:
    """Tell what a user can cause or mend, and end with 1.

    SIGTERM, and SIGHUP of a terminal that is closed, are as Ctrl-C: what is under way is put right.
    """
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_DFL:  # nohup(1) ignores one
            signal.signal(number, signal.default_int_handler)
    try:
        yield
    except (ConfigError, LabError) as error:
        _end(str(error))
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # `lab report | head`: who reads has enough. Nothing more is written, also not at the end.
        sys.stdout = None
        sys.exit(1)
    except OSError as error:
        _end(_file_error(error))


def _file_error(error: OSError) -> str:
    """What the system says, of which file."""
    what = error.strerror or str(error)
    files = [str(each) for each in (error.filename, error.filename2) if each is not None]
    remedies = {
        "No space left on device": "free space there",
        "Permission denied": "it may be another user's, e.g. root's: look with ls -l",
        "Read-only file system": "mount it writable, or move the project",
    }
    remedy = remedies.get(what)
    return f"{': '.join([*files, what])}{f'; {remedy}' if remedy else ''}"


def _end(text: str) -> None:
    print(text, file=sys.stderr)
    sys.exit(1)
