"""The command line of `lab`.

Owns names, options and output of the commands; errors end with exit code 1 and one screen.
Leaves the work to the modules beside it.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from artefacts import CommandFailed, run
from config.bill import Bill, bill
from config.errors import ConfigError
from config.load import read_yaml
from config.settings import PROJECT, Settings, load_settings, stack_folder, stack_options
from config.topology import Node
from config.units import format_size
from lab import bmcs, cache, drawing, experiments, sessions
from lab import boot_server as moving
from lab import build as building
from lab import converge as convergence
from lab import cycle as cycling
from lab import doctor as examination
from lab import fault as faults
from lab import power as switching
from lab import publish as publishing
from lab import report as reporting
from lab import start as starting
from lab.idle import idle_costs
from lab.locks import clear_dead
from lab.power import Action
from lab.remote import boot_log
from lab.status import MachineStatus, RackWatch, rack_status, rogue_dhcp_servers
from lab.timeline import Timeline, timeline
from labmachine import machine as lab_machine

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
machine_app = typer.Typer(no_args_is_help=True, help="The virtual lab machine.")
boot_server_app = typer.Typer(no_args_is_help=True, help="The boot server that moves.")
publish_app = typer.Typer(no_args_is_help=True, help="Steps of the Pulumi program.")
fault_app = typer.Typer(no_args_is_help=True, help="Faults on purpose, and mending them.")
app.add_typer(machine_app, name="machine")
app.add_typer(cache.app, name="cache")
app.add_typer(boot_server_app, name="boot-server")
app.add_typer(fault_app, name="fault")
app.add_typer(publish_app, name="publish", hidden=True)

WATCH_S = 3
screen = Console(emoji=False)  # ":ab:" in a MAC address is no emoji


@dataclass
class Chosen:
    """The stack that --stack names; its settings are read when a command needs them."""

    stack: str

    def settings(self) -> Settings:
        """The stack's settings, and its ssh configuration written."""
        settings = load_settings(self.stack, stack_options(self.stack))
        settings.write_access()
        return settings


@app.callback()
def choose(
    context: typer.Context,
    stack: Annotated[str, typer.Option(envvar="STACK", help="The Pulumi stack.")] = "lab",
) -> None:
    """A simulated rack of servers on one lab machine."""
    context.obj = Chosen(stack)


@app.command()
def doctor(context: typer.Context) -> None:
    """What this machine can do; each finding with its remedy."""
    bad = 0
    for finding in examination.examine(context.obj.settings()):
        mark = "[green]✓[/]" if finding.fine else "[red]✗[/]"
        screen.print(f"{mark} {finding.about}: {finding.found}", highlight=False)
        if not finding.fine:
            bad += 1
            screen.print(f"    remedy: {finding.remedy}", highlight=False)
    _print_bill(bill(context.obj.settings().topology))
    raise typer.Exit(1 if bad else 0)


@app.command()
def build(context: typer.Context) -> None:
    """Build what the stack needs and the cache lacks; half an hour the first time."""
    building.build(context.obj.stack)


def _print_bill(found: Bill) -> None:
    table = Table("machine", "level", "on", "RAM, its root included", "its qemu's own")
    for name, entry in found.entries.items():
        memory, own = format_size(entry.memory), format_size(entry.overhead)
        table.add_row(name, str(entry.level), entry.on, memory, own)
    screen.print(table)


@app.command()
def new(
    name: str,
    base: Annotated[str, typer.Option("--from", help="The topology it extends.")] = "rack",
) -> None:
    """Write a new experiment: config/NAME.yaml and Pulumi.NAME.yaml."""
    for file in experiments.new(name, base):
        screen.print(str(file.relative_to(PROJECT)), highlight=False)


@app.command()
def status(
    context: typer.Context,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    watch: Annotated[bool, typer.Option(help="Again and again, until Ctrl-C.")] = False,
) -> None:
    """Each machine: level, power, phase, addresses, what it serves."""
    settings = context.obj.settings()
    if watch:
        _watch(settings)
        return
    report, rogues = rack_status(settings), rogue_dhcp_servers(settings)
    if as_json:
        machines = {name: asdict(each) for name, each in report.items()}
        print(json.dumps({"machines": machines, "rogue_dhcp_servers": rogues}, indent=2))
        return
    screen.print(_status_table(report, whole=True))
    for mac in rogues:
        screen.print(f"{mac} answers DHCP on lan and is no boot server; the switch drops it")


def _watch(settings: Settings) -> None:
    rack = RackWatch(settings)
    with suppress(KeyboardInterrupt), Live(console=screen) as live:
        while True:
            for report in rack.round():
                live.update(_status_table(report, whole=False))
            time.sleep(WATCH_S)


def _status_table(report: Mapping[str, MachineStatus], *, whole: bool) -> Table:
    """Without what never changes (`whole`) it is a line a machine: a rack on a screen."""
    table = Table("machine", "level", "role", "power", "phase")
    if whole:
        table.add_column("addresses")
        table.add_column("serves")
    for name, each in report.items():
        fixed = [
            "\n".join(f"{net} {ip}" for net, ip in each.addresses.items()),
            "\n".join(each.serves),
        ]
        table.add_row(
            name, str(each.level), each.role, each.power, each.phase, *(fixed if whole else [])
        )
    return table


@app.command()
def report(context: typer.Context) -> None:
    """Addresses, MACs, volumes, and each volume's way from disk to service; contacts nothing."""
    settings = context.obj.settings()
    nics = Table("machine", "network", "address", "MAC")
    for nic in reporting.addresses(settings):
        nics.add_row(*nic)
    screen.print(nics)
    volumes = Table("on", "volume", "size")
    for volume in reporting.volumes(settings):
        volumes.add_row(*volume)
    screen.print(volumes)
    for way in reporting.ways(settings):
        screen.print(way, highlight=False, soft_wrap=True)


@app.command()
def diagram(
    context: typer.Context,
    file: Annotated[Path | None, typer.Argument(help="Where the picture goes.")] = None,
    mermaid: Annotated[bool, typer.Option(help="As Mermaid, to standard output.")] = False,
) -> None:
    """A picture of the rack from its topology: SVG, or Mermaid for a README."""
    settings = context.obj.settings()
    if mermaid:
        print(drawing.mermaid(settings.topology), end="")
        return
    file = file or settings.folder / "rack.svg"
    file.write_text(drawing.svg(settings.topology))
    screen.print(str(file), highlight=False)


@app.command()
def ssh(
    context: typer.Context, name: str, command: Annotated[list[str] | None, typer.Argument()] = None
) -> None:
    """A shell, or `-- COMMAND`, on any machine or container; its exit code is passed on.

    One word after `--` is a shell command line, several are a program and its arguments.
    """
    sessions.ssh(context.obj.settings(), name, command or [])


@app.command()
def power(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A machine, or all: every first-level one.")],
    action: Action,
    pxe: Annotated[bool, typer.Option(help="Its next boot is from the network.")] = False,
    via: Annotated[str | None, typer.Option(help="The machine that speaks IPMI: router.")] = None,
) -> None:
    """Switch a machine on, off (a power loss, no shutdown), reset it, or tell which it is."""
    settings = context.obj.settings()
    for each in settings.topology.of(Node) if name == "all" else [name]:
        screen.print(f"{each}: {switching.power(settings, each, action, pxe=pxe, via=via)}")


@app.command()
def cycle(context: typer.Context, seed: int = 1, rounds: int = 5) -> None:
    """Switch random servers off for a time, one after another; the rack must heal each time."""
    cycling.cycle(context.obj.settings(), seed, rounds)


@fault_app.command("disk")
def fault_disk(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="A storage node, or labmachine.")],
    disk: Annotated[str, typer.Argument(help="sda, sdb, ...; a serial number of labmachine.")],
    repair: Annotated[bool, typer.Option(help="Put it in again.")] = False,
) -> None:
    """Pull a disk out of a running machine."""
    faults.disk(context.obj.settings(), name, disk, repair=repair)
    screen.print(f"{name} {disk}: {'in again' if repair else 'pulled out'}", highlight=False)


@boot_server_app.command("move")
def boot_server_move(
    context: typer.Context,
    node: Annotated[str, typer.Argument(help="Its compute node, or labmachine.")],
) -> None:
    """Move it, while it runs, off its stick into a compute node, or back."""
    moving.move(context.obj.settings(), node)
    screen.print(f"the boot server runs on {node}")


@app.command()
def start(context: typer.Context) -> None:
    """Bring a rack that was raised once back from no power at all; needs no Pulumi."""
    starting.start(context.obj.settings())


@app.command()
def console(context: typer.Context, name: str) -> None:
    """The serial console; Ctrl-] ends it."""
    sessions.console(context.obj.settings(), name)


@app.command()
def logs(context: typer.Context, name: str) -> None:
    """The machine's boot log: all that its console said."""
    print(boot_log(context.obj.settings(), name))


@app.command("timeline")
def show_timeline(context: typer.Context, events: Path) -> None:
    """What an `up` took, from its event log; kept as timeline.json in the stack's folder."""
    stack = context.obj.stack
    state = json.loads(run(["pulumi", "stack", "export", "--stack", stack], env=os.environ))
    resources = state["deployment"].get("resources", [])
    found = timeline(events.read_text().splitlines(), resources)
    if found is None:
        screen.print("Nothing was changed.")
        return
    kept = stack_folder(stack) / "timeline.json"
    kept.write_text(json.dumps(asdict(found), indent=2))
    _print_timeline(found)
    screen.print(f"The whole timeline: {kept.relative_to(PROJECT)}", highlight=False)


def _print_timeline(found: Timeline) -> None:
    path = Table("critical path", "start", "took", title=f"{found.seconds} s in all")
    for name in found.critical_path:
        span = found.spans[name]
        path.add_row(name, f"{span.start} s", f"{span.took} s")
    screen.print(path)
    boots = Table("machine", "power on", "to ready", "its own clock: seconds since kernel start")
    for name, boot in found.machines.items():
        phases = "  ".join(f"{phase} {seconds:.0f}" for phase, seconds in boot.phases.items())
        boots.add_row(name, f"{boot.power_on} s", f"{boot.ready - boot.power_on} s", phases)
    if found.machines:
        screen.print(boots)


@app.command()
def idle(context: typer.Context, seconds: float = 60) -> None:
    """What each machine costs while nothing is asked of it; kept as idle.json."""
    settings = context.obj.settings()
    costs = idle_costs(settings, seconds)
    kept = settings.folder / "idle.json"
    kept.write_text(json.dumps({name: asdict(cost) for name, cost in costs.items()}, indent=2))
    table = Table("machine", "exits/s", "of a core")
    for name, cost in costs.items():
        table.add_row(name, f"{cost.exits_per_s:.0f}", f"{100 * cost.cpu_share:.1f} %")
    screen.print(table)


@app.command(hidden=True)
def unlock(context: typer.Context) -> None:
    """Remove the stack's lock if the run that holds it was killed; `pulumi cancel` asks nobody."""
    project = read_yaml(PROJECT / "Pulumi.yaml")["name"]
    for pid in clear_dead(os.environ.get("PULUMI_BACKEND_URL", ""), project, context.obj.stack):
        screen.print(f"The lock of a run that was killed (process {pid}) is removed.")


@app.command(hidden=True)
def wait(context: typer.Context, name: str) -> None:
    """Wait until a machine is ready."""
    convergence.wait_ready(context.obj.settings(), name)


@app.command(hidden=True)
def converge(context: typer.Context, name: str, key: str, sha256: str) -> None:
    """Bring a machine to an image and overlay; prints its timeline."""
    print(convergence.converge(context.obj.settings(), name, key, sha256), end="")


@app.command(hidden=True)
def commit(context: typer.Context, name: str) -> None:
    """Keep on the boot server what was changed on a machine since its overlay."""
    print(publishing.commit(context.obj.settings(), name))


@app.command(hidden=True)
def committed(context: typer.Context, name: str) -> None:
    """The sha256 of a machine's commit, if it has one."""
    print(publishing.committed(context.obj.settings(), name))


@app.command(hidden=True)
def unpublish(context: typer.Context, mac: str) -> None:
    """Remove a machine's boot entry."""
    publishing.unpublish_entry(context.obj.settings(), mac)


@publish_app.command("bmcs")
def publish_bmcs(context: typer.Context) -> None:
    """Put VirtualBMC's settings on the lab machine."""
    bmcs.publish(context.obj.settings())


@publish_app.command("stick")
def publish_stick(context: typer.Context, name: str, device: str) -> None:
    """Write the USB stick to a device of the lab machine."""
    publishing.write_stick(context.obj.settings(), name, device)


@publish_app.command("boot")
def publish_boot(context: typer.Context, key: str) -> None:
    """Put kernel, initramfs and quarantine image on the boot server."""
    publishing.publish_common(context.obj.settings(), key)


@publish_app.command("image")
def publish_image(context: typer.Context, role: str, key: str) -> None:
    """Build a role's image and put it on the boot server."""
    publishing.publish_image(context.obj.settings(), role, key)


@publish_app.command("entry")
def publish_entry(context: typer.Context, name: str, key: str, sha256: str) -> None:
    """Put a machine's overlay and boot.env on the boot server."""
    publishing.publish_entry(context.obj.settings(), name, key, sha256)


@machine_app.command("up")
def machine_up() -> None:
    """Start it, or say that it runs."""
    lab_machine.up()


@machine_app.command("down")
def machine_down() -> None:
    """Shut it down; its disks stay."""
    lab_machine.down()


@machine_app.command("reset")
def machine_reset() -> None:
    """Switch it off and forget all that it and the racks on it have written."""
    lab_machine.reset()


@machine_app.command("status")
def machine_status() -> None:
    """Whether it runs and answers."""
    found = lab_machine.status()
    screen.print(f"{found.state}, pid {found.pid}, ssh {'answers' if found.answers else 'silent'}")
    if found.guest == lab_machine.DISK_FULL:
        screen.print("stopped by qemu: its disks can't grow; free space, then: lab machine up")
    elif found.guest not in {"", "running"}:
        screen.print(f"its CPUs: {found.guest}")


def main() -> None:
    """The console script: one-screen errors, exit code 1."""
    try:
        app()
    except (ConfigError, CommandFailed, lab_machine.MachineError) as error:
        print(error, file=sys.stderr)
        sys.exit(1)
