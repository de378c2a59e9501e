"""Commands that look at a rack, or only at its topology, and change nothing."""

import json
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.live import Live
from rich.table import Table

from config.bill import Bill, bill
from config.files import write
from config.settings import Settings
from config.units import format_size
from lab import doctor as examination
from lab import drawing
from lab import report as reporting
from lab import validate as validation
from lab.commands.context import chosen, print_findings, screen, table
from lab.idle import idle_costs
from lab.remote import boot_log
from lab.status import MachineStatus, RackWatch, rack_status, rogue_dhcp_servers
from labmachine import machine

WATCH_S = 3
LEAST_IDLE_S, MOST_IDLE_S = 1, 86_400


def doctor(
    context: typer.Context,
    report: Annotated[bool, typer.Option(help="For an issue: what its readers can't see.")] = False,
) -> None:
    """What this machine can do; each finding with its remedy."""
    settings = chosen(context).look()
    if report:
        for line in examination.report(settings):
            print(line)
        return
    fine = print_findings(examination.examine(settings))
    _print_bill(bill(settings.topology))
    raise typer.Exit(0 if fine else 1)


def _print_bill(found: Bill) -> None:
    rows = table("machine", "level", "on", "RAM, its root included", "its qemu's own")
    for name, entry in found.entries.items():
        memory, own = format_size(entry.memory), format_size(entry.overhead)
        rows.add_row(name, str(entry.level), entry.on, memory, own)
    screen.print(rows)


def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    watch: Annotated[bool, typer.Option(help="Again and again, until Ctrl-C.")] = False,
) -> None:
    """Each machine: level, power, phase, addresses, what it serves.

    Exit code 1 if the lab machine doesn't answer: nothing is known then.
    """
    settings = chosen(context).settings()
    if settings.virtual:
        machine.require_able()
    if watch:
        _watch(settings)
        return
    found, rogues = rack_status(settings), rogue_dhcp_servers(settings)
    if as_json:
        machines = {name: asdict(each) for name, each in found.items()}
        print(json.dumps({"machines": machines, "rogue_dhcp_servers": rogues}, indent=2))
    else:
        screen.print(_status_table(found, whole=True))
        for name, each in found.items():
            if each.why:
                screen.print(f"{name}: {each.why}", highlight=False, markup=False, soft_wrap=True)
        for mac in rogues:
            screen.print(f"{mac} answers DHCP on lan and is no boot server; the switch drops it")
    if silent := _silence(settings, found):
        print(silent, file=sys.stderr)
        raise typer.Exit(1)


def _silence(settings: Settings, found: Mapping[str, MachineStatus]) -> str:
    """What is said where the lab machine tells nothing of any machine; else ""."""
    if any(each.power != "unknown" for each in found.values()):
        return ""
    return f"the lab machine {settings.lab.name} doesn't answer\n{settings.lab_machine_remedy}"


def _watch(settings: Settings) -> None:
    rack = RackWatch(settings)
    with suppress(KeyboardInterrupt), Live(console=screen) as live:
        while True:
            for found in rack.round():
                rows = _status_table(found, whole=False)
                rows.caption = _silence(settings, found)
                live.update(rows)
            time.sleep(WATCH_S)


def _status_table(report: Mapping[str, MachineStatus], *, whole: bool) -> Table:
    """Without what never changes (`whole`) it is a line per machine: a rack on a screen."""
    last = ("addresses, services",) if whole else ()
    rows = table("machine", "level", "role", "power", "phase", *last, unbroken=("machine", *last))
    for name, each in report.items():
        addresses = [f"{network} {ip}" for network, ip in each.addresses.items()]
        fixed = ["\n".join([*addresses, *each.serves])] if whole else []
        rows.add_row(name, str(each.level), each.role, each.power, each.phase, *fixed)
    return rows


def report(context: typer.Context) -> None:
    """Addresses, MACs, volumes, and each volume's way from disk to service; contacts nothing."""
    settings = chosen(context).look()
    nics = table("machine", "network", "address", "MAC", unbroken=("address", "MAC"))
    for nic in reporting.addresses(settings):
        nics.add_row(*nic)
    screen.print(nics)
    screen.print()
    volumes = table("on", "volume", "size")
    for volume in reporting.volumes(settings):
        volumes.add_row(*volume)
    screen.print(volumes)
    screen.print()
    for way in reporting.ways(settings):
        screen.print(way, highlight=False, soft_wrap=True)


def validate(
    context: typer.Context,
    files: Annotated[
        list[Path] | None, typer.Argument(help="Topologies; without any the stack's.")
    ] = None,
) -> None:
    """Check topologies; contacts and writes nothing. Exit code 1 if one can't be used."""
    results = list(validation.validate(chosen(context).stack, files or []))
    for each in results:
        print(each, file=sys.stderr if each.wrong else sys.stdout)
    raise typer.Exit(1 if any(each.wrong for each in results) else 0)


def diagram(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where the picture goes.")] = None,
    mermaid: Annotated[bool, typer.Option(help="As Mermaid, to standard output.")] = False,
) -> None:
    """A picture of the rack from its topology: SVG, or Mermaid for a README."""
    settings = chosen(context).look()
    if mermaid:
        print(drawing.mermaid(settings.topology), end="")
        return
    picture = drawing.svg(settings.topology)
    if file is None:
        file = settings.folder / "rack.svg"
        write(file, picture)
    else:
        file.write_text(picture, encoding="utf-8")
    screen.print(str(file), highlight=False, soft_wrap=True)


def logs(context: typer.Context, name: str) -> None:
    """The machine's boot log: all that its console said."""
    print(boot_log(chosen(context).reaching(), name))


def idle(
    context: typer.Context,
    seconds: Annotated[float, typer.Option(min=LEAST_IDLE_S, max=MOST_IDLE_S)] = 60,
) -> None:
    """What each machine costs while nothing is asked of it; kept as idle.json."""
    if seconds != seconds:  # noqa: PLR0124 (not a number: no limit holds it)
        raise typer.BadParameter("a number of seconds", param_hint="--seconds")
    settings = chosen(context).reaching()
    costs = idle_costs(settings, seconds)
    kept = settings.folder / "idle.json"
    write(kept, json.dumps({name: asdict(cost) for name, cost in costs.items()}, indent=2))
    rows = table("machine", "exits/s", "of a core")
    for name, cost in costs.items():
        rows.add_row(name, f"{cost.exits_per_s:.0f}", f"{100 * cost.cpu_share:.1f} %")
    screen.print(rows)


def add_to(app: typer.Typer) -> None:
    """Make them commands of `lab`."""
    for command in (doctor, status, report, validate, diagram, logs, idle):
        app.command()(command)
