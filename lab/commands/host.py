"""Commands about a real lab machine: what it lacks for racks, and giving it that."""

from collections.abc import Sequence
from typing import Annotated

import typer

from config.settings import Settings
from lab import host, survey
from lab.commands.context import chosen, confirm, print_findings, screen
from lab.finding import Change, Finding

host_app = typer.Typer(
    no_args_is_help=True, help="A real lab machine, lab:machine ssh://… or local."
)


@host_app.command("check")
def check(context: typer.Context) -> None:
    """What it has of what racks need, each with its remedy; changes nothing.

    Exit code 1 if something is missing, or would collide with this stack's rack.
    """
    settings = _real(context)
    if settings is None:
        return
    found = host.look(settings)
    fine = print_findings(
        host.findings(settings, found), f"lab --stack {settings.stack} host prepare"
    )
    if found.has_programs:  # with which these are asked
        trial = [host.boots(settings)] if found.kvm else []
        fine = print_findings([*trial, *_ground(settings)]) and fine
    raise typer.Exit(0 if fine else 1)


@host_app.command("prepare")
def prepare(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
    undo: Annotated[bool, typer.Option(help="Take back what this has changed.")] = False,
) -> None:
    """Show what it lacks, ask, and change that; done again it changes nothing."""
    settings = _real(context)
    if settings is None:
        return
    admission = host.letting_in(settings)
    if undo:
        by_sudo = admission is not None  # its sshd doesn't let the project in, or no more
        wanted = host.undoing(settings, host.look(settings, by_sudo=by_sudo))
        _change(settings, wanted, yes=yes, by_sudo=by_sudo)
        if not wanted:
            _nothing(settings)
        return
    if admission:
        _change(settings, [admission], yes=yes)
    found = host.look(settings)
    host.require_usable(settings, found)
    done: list[Change] = []
    while wanted := [
        each for each in host.changes(settings, found, listed=bool(done)) if each not in done
    ]:
        _change(settings, wanted, yes=yes)
        done += wanted
        found = host.look(settings)
    left = host.lacking(settings, found)
    if not left:
        left = [each for each in [host.boots(settings)] if not each.fine]
    if not (done or left):
        _nothing(settings)
    print_findings(left)
    raise typer.Exit(1 if left else 0)


def _nothing(settings: Settings) -> None:
    screen.print(f"Nothing to change on {settings.lab.name}.", highlight=False)


def _change(
    settings: Settings, wanted: Sequence[Change], *, yes: bool, by_sudo: bool = False
) -> None:
    """Show the changes, ask, and make them."""
    for each in wanted:
        screen.print(f"→ {each.title}", highlight=False, soft_wrap=True)
    if wanted and not yes:
        confirm(f"Change that on {settings.lab.name}?")
    for each in wanted:
        host.change(settings, each, by_sudo=by_sudo)


def _real(context: typer.Context) -> Settings | None:
    """The settings of a stack whose lab machine is a real one."""
    settings = chosen(context).settings()
    if not settings.virtual:
        return settings
    screen.print(
        f"Stack {settings.stack} has the virtual lab machine, which comes prepared: "
        "lab machine up, lab doctor",
        highlight=False, soft_wrap=True,
    )  # fmt: skip
    return None


def _ground(settings: Settings) -> list[Finding]:
    """What is on the machine, and whether this stack's rack would collide with it."""
    found = survey.survey(settings)
    bad = [
        Finding(each.key, False, f"{each.value}: {each.rule}", each.remedy)
        for each in [*survey.conflicts(settings, found), *survey.cpus(settings, found)]
    ]
    held = [
        Finding(f"disk {serial}", True, " ".join(filter(None, found.disks[serial])) or "empty")
        for serial in settings.topology.array.disks
        if serial in found.disks
    ]
    return [*held, *bad] or [Finding("the rack", True, "nothing there collides with it")]


def add_to(app: typer.Typer) -> None:
    """Make them commands of `lab`."""
    app.add_typer(host_app, name="host")
