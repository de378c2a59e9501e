"""The command line of `lab`.

Owns which stack is meant and what is a command. Leaves the commands to `lab.commands`, errors to
`lab.errors`.
"""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from lab import logs
from lab.commands import acting, alpine, cache, host, looking, machine, snapshot, stacks, steps
from lab.commands.context import Chosen
from lab.errors import INTERRUPTED, told
from lab.folder import require_own
from lab.operation import project_folder

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
for subject in (looking, acting, stacks, machine, host, snapshot, alpine, cache, steps):
    subject.add_to(app)


@app.callback()
def choose(
    context: typer.Context,
    stack: Annotated[str, typer.Option(envvar="STACK", help="The Pulumi stack.")] = "lab",
    verbose: Annotated[
        int,
        typer.Option(
            "--verbose",
            "-v",
            count=True,
            help="Show the programs that are run and their seconds; -vv: what they say, too.",
        ),
    ] = 0,
) -> None:
    """A simulated rack of servers on one lab machine."""
    logs.show(verbose)
    context.obj = Chosen(stack, f"lab {context.invoked_subcommand}")


def main() -> None:
    """The console script."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that has no arrows, e.g. Latin-1
    with told():
        require_own(Path(sys.argv[0]), project_folder([], Path.cwd()))
        try:
            app()
        except SystemExit as end:
            if end.code == INTERRUPTED:
                print("interrupted; to go on run the same command again", file=sys.stderr)
            raise
