"""Commands about stacks: new ones, all there are, what they need, what an `up` took or left."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from config.files import write
from config.settings import PROJECT, stack_folder
from lab import build as building
from lab import clear as clearing
from lab import experiments, inventory, pulumi_cli, runs
from lab.commands.context import chosen, confirm, screen, table, tell_state
from lab.locks import clear_dead
from lab.timeline import Timeline, timeline


def new(
    name: str,
    base: Annotated[str, typer.Option("--from", help="The topology it extends.")] = "rack",
) -> None:
    """Write a new experiment: config/NAME.yaml and Pulumi.NAME.yaml."""
    for file in experiments.new(name, base):
        screen.print(str(file.relative_to(PROJECT)), highlight=False)


def list_stacks() -> None:
    """All stacks: what each extends, on which lab machine, its memory, raised since when."""
    rows = table(
        "stack", "extends", "lab machine", "memory", "raised since (UTC)", unbroken=("stack",)
    )
    problems = []
    for row in inventory.rows():
        since = row.since[:16].replace("T", " ") or "yes" if row.raised else "-"
        since = runs.holder(row.stack) or since
        memory = f"{row.memory / (1 << 30):.1f} GiB" if row.memory else "?"
        rows.add_row(row.stack, " < ".join(row.extends) or "?", row.machine, memory, since)
        if row.problem:
            problems.append(f"{row.stack} can't be used: {row.problem}")
    screen.print(rows)
    for problem in problems:
        screen.print(problem, highlight=False, soft_wrap=True)
    raise typer.Exit(1 if problems else 0)


def show_timeline(
    context: typer.Context,
    events: Annotated[
        Path | None, typer.Argument(help="Pulumi's event log; that of the last up.")
    ] = None,
) -> None:
    """What an `up` took, from its event log; kept as timeline.json in the stack's folder."""
    stack = chosen(context).stack
    print_timeline(stack, events or stack_folder(stack) / runs.EVENTS)


def print_timeline(stack: str, events: Path, *, refused: bool = False) -> None:
    """Show and keep the timeline of an event log; an `up` that was `refused` may have none."""
    resources = pulumi_cli.state(stack).get("resources") or []
    lines = events.read_bytes().decode(errors="replace").splitlines()
    found = timeline(lines, resources)
    if found is None:
        screen.print("No machine was touched." if refused else "No resource was changed.")
        return
    kept = stack_folder(stack) / "timeline.json"
    write(kept, json.dumps(asdict(found), indent=2))
    _print_timeline(found)
    screen.print(f"The whole timeline: {kept.relative_to(PROJECT)}", highlight=False)


def _print_timeline(found: Timeline) -> None:
    path = table("critical path", "start", "took", title=f"{found.seconds} s in all")
    for name in found.critical_path:
        span = found.spans[name]
        path.add_row(name, f"{span.start} s", f"{span.took} s")
    screen.print(path)
    boots = table("machine", "power on", "to ready", "its own clock: seconds since kernel start")
    for name, boot in found.machines.items():
        phases = "  ".join(f"{phase} {seconds:.0f}" for phase, seconds in boot.phases.items())
        boots.add_row(name, f"{boot.power_on} s", f"{boot.ready - boot.power_on} s", phases)
    if found.machines:
        screen.print(boots)


def clear(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Remove the stack's rack from its lab machine without Pulumi, whose state of it is lost.

    Where Pulumi has the state, `pulumi destroy` is the way.
    """
    settings = chosen(context).reaching()
    if not yes:
        what = f"All that carries the tag of stack {settings.stack} on {settings.lab.name} goes"
        known = settings.stack in inventory.raised()
        way = f"Pulumi has its state: pulumi destroy --stack {settings.stack} is the way. "
        confirm(f"{way if known else ''}{what}, its volumes too. Remove it?")
    with runs.only(settings.stack, "lab clear"):
        clearing.clear(settings)
    if settings.stack in inventory.raised():
        tell_state(settings.stack)


def build(context: typer.Context) -> None:
    """Build what the stack needs and the cache lacks; half an hour the first time."""
    settings = chosen(context).look()  # what is wrong with it is told now, not by a part's log
    building.build(settings.stack)


def unlock(context: typer.Context) -> None:
    """Remove the stack's lock if the run that holds it was killed; `pulumi cancel` asks nobody."""
    stack = chosen(context).stack
    for pid in clear_dead(pulumi_cli.backend(), pulumi_cli.project_name(), stack):
        screen.print(f"The lock of a run that was killed (process {pid}) is removed.")


def add_to(app: typer.Typer) -> None:
    """Make them commands of `lab`."""
    app.command()(new)
    app.command("list")(list_stacks)
    app.command("timeline")(show_timeline)
    app.command()(clear)
    app.command()(build)
    app.command(hidden=True)(unlock)
