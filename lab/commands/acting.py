"""Commands that do something to a raised rack, and ways into its machines."""

from typing import Annotated

import typer

from config.topology import Node
from lab import boot_server as moving
from lab import cycle as cycling
from lab import fault as faults
from lab import power as switching
from lab import runs, sessions, survey
from lab import start as starting
from lab.commands.context import chosen, screen
from lab.cycle import Kind
from lab.power import Action

boot_server_app = typer.Typer(no_args_is_help=True, help="The boot server that moves.")
fault_app = typer.Typer(no_args_is_help=True, help="Faults on purpose, and mending them.")


def ssh(
    context: typer.Context, name: str, command: Annotated[list[str] | None, typer.Argument()] = None
) -> None:
    """A shell, or `-- COMMAND`, on any machine or container; its exit code is passed on.

    One word after `--` is a shell command line, several are a program and its arguments.
    """
    sessions.ssh(chosen(context).reaching(), name, command or [])


def console(context: typer.Context, name: str) -> None:
    """The serial console; Ctrl-] ends it."""
    sessions.console(chosen(context).reaching(), name)


def power(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A machine, or all: every first-level one.")],
    action: Action,
    pxe: Annotated[bool, typer.Option(help="Its next boot is from the network.")] = False,
    via: Annotated[str | None, typer.Option(help="The machine that speaks IPMI: router.")] = None,
) -> None:
    """Switch a machine on, off (a power loss, no shutdown), reset it, or tell which it is."""
    settings = chosen(context).reaching()
    survey.require_started(settings)  # ipmitool asks for minutes where nobody listens
    for each in settings.topology.of(Node) if name == "all" else [name]:
        screen.print(f"{each}: {switching.power(settings, each, action, pxe=pxe, via=via)}")


def cycle(
    context: typer.Context,
    seed: int = 1,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    only: Annotated[
        list[Kind] | None, typer.Option(help="This kind of faults; repeatable.")
    ] = None,
) -> None:
    """Make random faults, one after another; the rack must heal after each."""
    cycling.cycle(chosen(context).reaching(), seed, rounds, only or ())


def start(context: typer.Context) -> None:
    """Bring a rack that was raised once back from no power at all; needs no Pulumi.

    Starts the virtual lab machine, if that is off.
    """
    settings = chosen(context).settings()
    with runs.only(settings.stack, "lab start"):
        starting.start(settings)


@fault_app.command("disk")
def fault_disk(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A storage node, or labmachine.")],
    disk: Annotated[str, typer.Argument(help="sda, sdb, ...; a serial number of labmachine.")],
    repair: Annotated[bool, typer.Option(help="Put it in again.")] = False,
) -> None:
    """Pull a disk out of a running machine."""
    faults.disk(chosen(context).reaching(), name, disk, repair=repair)
    screen.print(f"{name} {disk}: {'in again' if repair else 'pulled out'}", highlight=False)


@fault_app.command("link")
def fault_link(
    context: typer.Context,
    name: str,
    network: Annotated[str, typer.Argument(help="The network whose switch it leads to.")],
    repair: Annotated[bool, typer.Option(help="Put it in again.")] = False,
) -> None:
    """Pull a running machine's cable out of a switch."""
    faults.link(chosen(context).reaching(), name, network, repair=repair)
    screen.print(f"{name} {network}: {'in again' if repair else 'pulled out'}", highlight=False)


@fault_app.command("freeze")
def fault_freeze(
    context: typer.Context,
    name: str,
    repair: Annotated[bool, typer.Option(help="Let it go on.")] = False,
) -> None:
    """Let a machine stand still, as one whose host has no time for it."""
    faults.freeze(chosen(context).reaching(), name, repair=repair)
    screen.print(f"{name}: {'goes on' if repair else 'stands still'}", highlight=False)


@boot_server_app.command("move")
def boot_server_move(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="Its compute node, or labmachine.")],
) -> None:
    """Move it, while it runs, off its stick into a compute node, or back."""
    moving.move(chosen(context).reaching(), node)
    screen.print(f"the boot server runs on {node}")


def add_to(app: typer.Typer) -> None:
    """Make them commands of `lab`."""
    for command in (ssh, console, power, cycle, start):
        app.command()(command)
    app.add_typer(boot_server_app, name="boot-server")
    app.add_typer(fault_app, name="fault")
