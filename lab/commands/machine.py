"""Commands about the virtual lab machine."""

import sys
from typing import Annotated

import typer

from artefacts import LabError
from config import stacks
from config.settings import VIRTUAL
from config.stacks import PROJECT
from lab import inventory, kept, pulumi_cli, runs
from lab.commands.context import (
    chosen,
    confirm,
    real_lab_machine,
    require_virtual,
    say_which,
    screen,
    tell_state,
)
from lab.locks import folder_of
from labmachine import machine, process, saving, snapshots
from labmachine.state import State

machine_app = typer.Typer(no_args_is_help=True, help="The virtual lab machine.")


@machine_app.command("up")
def up(
    context: typer.Context,
    unless_kept: Annotated[
        bool, typer.Option(help="Not where an `up` goes back to a snapshot, which starts it.")
    ] = False,
) -> None:
    """Start it, or say that it runs; nothing to do for a stack that has a real one."""
    stack = chosen(context).stack
    if unless_kept and kept.fitting(stack):
        return
    if _is_real(stack, "start"):
        return
    was_off = State().pid() is None
    machine.up()
    if was_off:
        _tell_racks()


@machine_app.command("down")
def down(
    context: typer.Context,
    unless_used: Annotated[
        bool, typer.Option(help="Not while another stack has a rack on it.")
    ] = False,
) -> None:
    """Shut it down; its disks stay."""
    stack = chosen(context).stack
    if unless_used:
        if _is_real(stack, "switch off"):
            return
        others = [each for each in inventory.raised_on_virtual() if each != stack]
        if others:
            screen.print(f"The lab machine goes on: {', '.join(others)} is raised on it.")
            return
    say_which(context)
    _require_idle()
    machine.down()
    if told := saving.unfinished(State()):
        screen.print(told, highlight=False, soft_wrap=True)
    else:
        _tell_racks()


@machine_app.command("reset")
def reset(
    context: typer.Context,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")] = False,
) -> None:
    """Switch it off and forget all that it and the racks on it have written; snapshots stay."""
    stack = chosen(context).stack
    if stacks.is_there(stack):
        rule = f"{VIRTUAL}: this resets the virtual lab machine, not a stack's real one"
        require_virtual(stack, rule, f"remove the rack: pulumi destroy --stack {stack}")
    _require_idle()
    try:
        racks = inventory.raised_on_virtual()
    except LabError as error:  # it can be done all the same
        racks = []
        print(f"which racks are on it can't be told: {error}", file=sys.stderr)
    if not yes:
        lost = f" The racks of these stacks are lost: {', '.join(racks)}." if racks else ""
        confirm(f"All that the lab machine has written goes.{lost} Reset it?")
    machine.reset()
    for stack in racks:
        tell_state(stack)


@machine_app.command("status")
def status(context: typer.Context) -> None:
    """Whether it runs and answers."""
    say_which(context)
    saving.require_whole(State())
    found = machine.status()
    if found.pid is None:
        made = {"stopped": "its disks are there", "absent": "nothing was made yet"}[found.state]
        screen.print(f"off; {made}; start it: lab machine up")
        return
    screen.print(f"{found.state}, pid {found.pid}, ssh {'answers' if found.answers else 'silent'}")
    if found.guest == machine.DISK_FULL:
        screen.print("stopped by qemu: its disks can't grow; free space, then: lab machine up")
    elif found.guest == saving.PAUSED:
        screen.print("it stands still, as a save was broken off; let it go on: lab machine up")
    elif found.guest not in {"", process.RUNNING}:
        screen.print(f"its CPUs: {found.guest}")


def removable() -> None:
    """Fail if a stack's rack, or its state, would stay when this folder's files go.

    `make clean` asks this. A rack on the virtual lab machine goes with that, its state with it.
    """
    kept = folder_of(pulumi_cli.backend())
    own = kept is not None and kept.resolve().is_relative_to(PROJECT / ".lab")
    racks = [
        f"\n  {stack} on {where}: pulumi destroy --stack {stack}"
        for stack, where in inventory.raised().items()
        if where != VIRTUAL or not own
    ]
    if racks:
        raise LabError(
            "stacks are raised, and their keys, which nothing else has, are in this folder; "
            f"destroy them first:{''.join(racks)}"
        )


def _is_real(stack: str, what: str) -> bool:
    """Whether the stack's lab machine is a real one, which is then said."""
    named = real_lab_machine(stack)
    if named:
        print(f"stack {stack}: its lab machine is {named}, nothing to {what}", file=sys.stderr)
    return bool(named)


def _tell_racks() -> None:
    """Say how the racks come back that have lost their power with the lab machine."""
    saved = [each for each in snapshots.all_of(State()) if each.warm]
    for stack in inventory.raised_on_virtual():
        back = f"lab --stack {stack} start"
        if moments := [each for each in saved if stack in each.stacks]:
            newest = max(moments, key=lambda each: each.made)
            back += f"; or, as it was then: lab snapshot restore {newest.name}"
        screen.print(
            f"The rack of {stack} has no power; to bring it back: {back}",
            highlight=False, soft_wrap=True,
        )  # fmt: skip


def _require_idle() -> None:
    """Refuse to take the power from under a run.

    Raises:
        LabError: one is under way; with whose it is.
    """
    for stack in stacks.known():
        if held := runs.holder(stack):
            raise LabError(f"stack {stack}: {held} is under way; wait for its end, or end it")


def add_to(app: typer.Typer) -> None:
    """Make them commands of `lab`."""
    app.add_typer(machine_app, name="machine")
    app.command(hidden=True)(removable)
