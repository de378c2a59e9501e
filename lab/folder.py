"""Whether this program belongs to the folder that one stands in.

Owns that question: what `lab` and `pulumi` of one clone do is done to that clone's machines and
states, so another clone's folder is refused. Leaves set-up to setup.sh.
"""

import sys
from pathlib import Path

from config import stacks
from config.errors import ConfigError, Problem
from lab.pulumi_cli import project_name

SET_UP = "run ./setup.sh there, and in this shell: . .venv/bin/activate"


def require_own(program: Path, folder: Path | None) -> None:
    """Refuse to act on this project from a copy of its .venv, or from another clone's folder.

    `program`: the path that was run; `folder`: that of the Pulumi.yaml that counts, if any.

    Raises:
        ConfigError: it names both folders, and the way on.
    """
    copied = program.absolute().parent.parent
    if (copied / "pyvenv.cfg").is_file() and copied.resolve() != Path(sys.prefix).resolve():
        raise _other(copied.parent)
    if folder and folder != stacks.PROJECT.resolve() and project_name(folder) == project_name():
        raise _other(folder)


def _other(folder: Path) -> ConfigError:
    problem = Problem("folder", str(folder), f"this program is of {stacks.PROJECT}", SET_UP)
    return ConfigError("the folder", [problem])
