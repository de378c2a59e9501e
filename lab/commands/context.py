"""What every command has: the stack that was chosen, and the screen.

Owns when a stack's settings are read and its files written. Leaves both to `config.settings`.
"""

import sys
from collections.abc import Iterable
from dataclasses import dataclass

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from config import stacks
from config.errors import Problem, Refused
from config.settings import VIRTUAL, Settings, load_settings, machine_of
from lab import logs
from lab.finding import Finding
from labmachine import machine

screen = Console(emoji=False)  # ":ab:" in a MAC address is no emoji
GAP = (0, 2, 0, 0)  # between columns; frames would take what 80 columns have for addresses


@dataclass
class Chosen:
    """The stack that --stack names; its settings are read when `command` needs them."""

    stack: str
    command: str

    def look(self) -> Settings:
        """The stack's settings, for what contacts nothing; nothing is written."""
        return load_settings(self.stack, stacks.options(self.stack), keep=False)

    def settings(self) -> Settings:
        """The stack's settings, its ssh configuration written, and a log of this run begun."""
        settings = load_settings(self.stack, stacks.options(self.stack))
        logs.keep(self.stack, self.command)
        settings.write_access()
        return settings

    def reaching(self) -> Settings:
        """The same, for what needs the lab machine.

        Its port may be another clone's, and many an attempt is made again for minutes: a virtual
        one that is off is told before.

        Raises:
            MachineError: the virtual lab machine is off.
        """
        settings = self.settings()
        if settings.virtual:
            machine.require_running()
        return settings


def chosen(context: typer.Context) -> Chosen:
    """The stack of this command line."""
    found = context.obj
    assert isinstance(found, Chosen)
    return found


def real_lab_machine(stack: str) -> str | None:
    """The `lab:machine` of a stack that has a real one."""
    named = machine_of(stacks.options(stack))
    return None if named == VIRTUAL else named


def say_which(context: typer.Context) -> None:
    """Say that this is about the virtual lab machine, where the stack has a real one."""
    stack = chosen(context).stack
    if stacks.is_there(stack) and (named := real_lab_machine(stack)):
        print(
            f"stack {stack}: its lab machine is {named} (lab --stack {stack} host check); "
            "this is about the virtual one",
            file=sys.stderr,
        )


def require_virtual(stack: str, rule: str, remedy: str) -> None:
    """Refuse a stack on a real lab machine.

    Raises:
        ConfigError: it is on one; with the rule that this breaks.
    """
    if named := real_lab_machine(stack):
        raise Refused(f"stack {stack}", [Problem("lab:machine", named, rule, remedy)])


def print_findings(findings: Iterable[Finding], prepare: str = "") -> bool:
    """Print each, with its remedy where it isn't fine; whether all are.

    `prepare`: the command that makes the changes which findings have.
    """
    fine = True
    for each in findings:
        mark = "[green]✓[/]" if each.fine else "[red]✗[/]"
        told = escape(f"{each.about}: {each.found}")
        screen.print(f"{mark} {told}", highlight=False, soft_wrap=True)
        if not each.fine:
            fine = False
            by = f": {prepare}" if each.change and prepare else ""
            screen.print(f"    remedy: {escape(each.remedy + by)}", highlight=False, soft_wrap=True)
    return fine


def tell_state(stack: str) -> None:
    """Say what is to be done with Pulumi's state of a rack that is gone."""
    screen.print(
        f"Pulumi still knows the rack of {stack}. Before its next up: "
        f"pulumi state delete --all --force --yes --stack {stack}",
        highlight=False, soft_wrap=True,
    )  # fmt: skip


def confirm(question: str) -> None:
    """Ask before what can't be undone; where the answer isn't yes the command ends with code 1."""
    try:
        if typer.confirm(question):
            return
    except (typer.Abort, RuntimeError):  # input() has the second where there is no stdin
        print("\nno answer; to go on without one: --yes", file=sys.stderr)
    raise typer.Exit(1)


def table(*columns: str, unbroken: tuple[str, ...] = (), title: str | None = None) -> Table:
    """A table without frames; a column of `unbroken` is never cut, others are wrapped.

    Addresses, MACs and URLs stay whole on 80 columns.
    """
    made = Table(box=None, padding=GAP, title=title, title_justify="left")
    for column in columns:
        made.add_column(column, overflow="fold", no_wrap=column in unbroken)
    return made
