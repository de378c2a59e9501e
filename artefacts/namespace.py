"""Being root for files' owners and mounts, without being root: a user namespace of Linux.

Owns the command that gives it, and removing what was made in it. Root in the namespace is the
user outside, so it can get through his private home; other owners are his subordinate ids
(subuid(5)). Leaves the check whether this machine allows it to setup.sh.
"""

import os
import shutil
import sys
from pathlib import Path

from artefacts.environment import PROJECT
from artefacts.process import run

HINT = "an ordinary user needs user namespaces; ./setup.sh says what this machine lacks for them"
NAMESPACE = ("unshare", "--user", "--map-root-user", "--map-auto", "--mount")


def as_root(*argv: str | Path) -> list[str | Path]:
    """The command that runs `argv` as root: itself for root, else in a user namespace."""
    return [*argv] if os.geteuid() == 0 else [*NAMESPACE, *argv]


def build_as_root(module: str, *arguments: str) -> None:
    """Run one of the project's modules as root, showing its progress.

    Raises:
        CommandFailed: it fails.
    """
    argv = as_root(sys.executable, "-m", module, *arguments)
    run(argv, cwd=PROJECT, shown=True, hint=f"the reason is above; {HINT}")


def remove_tree(folder: Path) -> None:
    """Remove a folder with all in it, whoever of the user's ids owns it; or nothing, if it is gone.

    Raises:
        CommandFailed: something in it can't be removed.
    """
    if not os.path.lexists(folder):
        return
    try:
        shutil.rmtree(folder)
    except OSError:  # of a subordinate id, or in a read-only folder
        run(as_root("rm", "-rf", folder), hint=HINT)
