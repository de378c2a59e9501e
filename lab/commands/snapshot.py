"""Commands about snapshots of the virtual lab machine."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated

import typer

from config import stacks
from config.settings import VIRTUAL
from config.units import MIB
from lab import inventory, kept
from lab import snapshots as of_racks
from lab.commands.context import chosen, confirm, require_virtual, say_which, screen, table
from labmachine import saving, snapshots
from labmachine.state import State

snapshot_app = typer.Typer(
    no_args_is_help=True, help="Moments of the virtual lab machine and of all racks on it."
)


@snapshot_app.command("save")
def save(
    context: typer.Context,
    name: str,
    note: Annotated[str, typer.Option(help="What this moment is.")] = "",
) -> None:
    """Save this moment: memory and disks while it runs, disks alone while it is off."""
    _require_virtual(chosen(context).stack)
    snapshots.require_note(note)
    kept.require_not_its_own(name)
    made = of_racks.save(name, note)
    screen.print(f"{name}: {_size(made)}, {_kind(made)}; stacks: {_stacks(made)}", highlight=False)


@snapshot_app.command("list")
def list_snapshots(context: typer.Context) -> None:
    """All snapshots: age, size, with memory or without, stacks, the project's commit, note."""
    say_which(context)
    found = list(snapshots.all_of(State()))
    if not found:
        screen.print("There are no snapshots; make one: lab snapshot save NAME")
        return
    rows = table("snapshot", "made (UTC)", "size", "kind", "stacks", "commit", "note",
                 unbroken=("snapshot", "made (UTC)", "size", "kind"))  # fmt: skip
    for each in found:
        rows.add_row(each.name, _made(each), _size(each), _kind(each), _stacks(each), each.commit,
                     each.note)  # fmt: skip
    screen.print(rows)


@snapshot_app.command("restore")
def restore(
    context: typer.Context,
    name: str,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Go back to a snapshot; what was written since the newest one is lost."""
    _require_virtual(chosen(context).stack)
    found = snapshots.named(State(), name)
    if not yes:
        lost = set(inventory.raised_on_virtual()) - set(found.stacks)
        more = f" The racks of these stacks go: {', '.join(sorted(lost))}." if lost else ""
        confirm(
            f"All that the lab machine has written since the newest snapshot is lost.{more} "
            f"Go back to {name}, made {_made(found)} UTC?"
        )
    of_racks.restore(name)
    for line in _what_next(found):
        screen.print(line, highlight=False, soft_wrap=True)


@snapshot_app.command("remove")
def remove(name: str) -> None:
    """Remove a snapshot and what no other needs."""
    saving.remove(name, State())
    screen.print(f"{name}: removed", highlight=False)


@snapshot_app.command("forget")
def forget(context: typer.Context) -> None:
    """Remove what `lab:keep` keeps of the stack, so that its next `up` raises it."""
    stack = chosen(context).stack
    was = kept.forget(stack)
    if not was:
        stacks.require(stack)
    said = f"{kept.name_of(stack)}: removed" if was else f"Nothing is kept of stack {stack}."
    screen.print(said, highlight=False)


@snapshot_app.command("diff")
def diff(name: str) -> None:
    """Which resources are others now than in a snapshot: + new, - gone, ~ changed."""
    found = list(of_racks.difference(name))
    for line in found or [f"No resource is another than in {name}."]:
        screen.print(line, highlight=False, soft_wrap=True)


def _require_virtual(stack: str) -> None:
    """Refuse a stack on a real lab machine: its rack would be neither saved nor brought back."""
    rule = f"{VIRTUAL}: a real lab machine has no snapshots"
    require_virtual(stack, rule, "name a stack on the virtual one: lab --stack NAME snapshot ...")


def _what_next(found: snapshots.Snapshot) -> Iterator[str]:
    """What a person does after going back."""
    if not found.warm:
        yield "The lab machine is off. Start it: lab machine up"
        yield from (f"Then its rack: lab --stack {stack} start" for stack in found.stacks)
        return
    if found.hardware["accelerator"] == "tcg":
        yield "All goes on. It is slow for a minute: the emulator translates all code anew."
    yield from (f"To look: lab --stack {stack} status" for stack in found.stacks)


def _made(found: snapshots.Snapshot) -> str:
    return datetime.fromisoformat(found.made).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _size(found: snapshots.Snapshot) -> str:
    return f"{snapshots.bytes_held(State(), found) // MIB} MiB"


def _kind(found: snapshots.Snapshot) -> str:
    return "warm" if found.warm else "cold"


def _stacks(found: snapshots.Snapshot) -> str:
    return ", ".join(found.stacks) or "none"


def add_to(app: typer.Typer) -> None:
    """Make them commands of `lab`."""
    app.add_typer(snapshot_app, name="snapshot")
