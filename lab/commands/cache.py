"""The commands of `lab cache`.

Owns their output. Leaves what is listed and removed to `artefacts.prune`.
"""

import time
from typing import Annotated

import typer

from artefacts import prune
from artefacts.cache import cache_folder
from artefacts.environment import PROJECT
from lab.commands.context import screen, table

cache_app = typer.Typer(help="The artefacts that all clones share.", invoke_without_command=True)
OLD = PROJECT / ".cache"  # where artefacts were before clones shared them


@cache_app.callback()
def show(context: typer.Context) -> None:
    """What is in the cache: size, and days since a clone used it."""
    if context.invoked_subcommand:
        return
    rows = table("artefact", "MiB", "days unused", unbroken=("artefact",))
    found = prune.entries()
    for each in found:
        days = max(0.0, time.time() - each.used) / prune.DAY_S
        rows.add_row(each.name, f"{each.size / (1 << 20):.0f}", f"{days:.0f}")
    screen.print(rows)
    screen.print(f"{cache_folder()}: {_size(found)}", highlight=False, soft_wrap=True)
    if OLD.is_dir() and cache_folder() != OLD:
        screen.print(
            f"{OLD} is the cache of an older version, which nothing uses now; it can be removed",
            highlight=False, soft_wrap=True,
        )  # fmt: skip


@cache_app.command("prune")
def remove(
    days: Annotated[float, typer.Option(min=0, help="Unused for so many days.")] = 30,
) -> None:
    """Remove what no clone has used for 30 days, but for what used artefacts were made from."""
    removed = prune.prune(days)
    for each in removed:
        screen.print(each.name, highlight=False)
    screen.print(f"removed: {_size(removed)}", highlight=False)


def _size(found: list[prune.Entry]) -> str:
    return f"{sum(each.size for each in found) / (1 << 30):.1f} GiB in {len(found)} artefacts"


def add_to(app: typer.Typer) -> None:
    """Make them commands of `lab`."""
    app.add_typer(cache_app, name="cache")
