"""The command of `lab alpine`.

Owns its output. Leaves locking to `lab.mirror`.
"""

import typer

from config.errors import ConfigError, Problem
from config.mirror import OFFICIAL
from lab import mirror
from lab.commands.context import chosen, screen

alpine_app = typer.Typer(no_args_is_help=True, help="Alpine's packages from a mirror, lab:alpine.")


@alpine_app.command("lock")
def lock(context: typer.Context) -> None:
    """Take the versions that the stack's mirror has now; every image is made anew of them.

    Each package is fetched once and its signature checked. What is locked is for all stacks and
    all clones: commit the file.
    """
    settings = chosen(context).settings()
    if not settings.mirror:
        remedy = f"pulumi config set lab:alpine {OFFICIAL} --stack {settings.stack}"
        problem = Problem("lab:alpine", "(unset)", "the mirror to take packages from", remedy)
        raise ConfigError("lab alpine lock", [problem])
    count = mirror.lock(settings.mirror)
    screen.print(
        f"{count} packages of {settings.mirror.place} are locked in {mirror.LOCK}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def add_to(app: typer.Typer) -> None:
    """Make it a command of `lab`."""
    app.add_typer(alpine_app, name="alpine")
