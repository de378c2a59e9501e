"""Commands that are steps of the Pulumi program; a person has no need of them."""

import typer

from artefacts import LabError
from config.settings import Settings
from lab import bmcs
from lab import converge as convergence
from lab import publish as publishing
from lab.commands.context import chosen

publish_app = typer.Typer(no_args_is_help=True, help="Steps of the Pulumi program.")


def wait(context: typer.Context, name: str) -> None:
    """Wait until a machine is ready."""
    convergence.wait_ready(*_machine(context, name))


def converge(context: typer.Context, name: str, key: str, sha256: str) -> None:
    """Bring a machine to an image and overlay; prints its timeline."""
    print(convergence.converge(*_machine(context, name), key, sha256), end="")


def commit(context: typer.Context, name: str) -> None:
    """Keep on the boot server what was changed on a machine since its overlay."""
    print(publishing.commit(*_machine(context, name)))


def committed(context: typer.Context, name: str) -> None:
    """The sha256 of a machine's commit, if it has one."""
    settings = chosen(context).reaching()
    if name not in settings.topology.machines:
        raise LabError(f"{name} is in the topology no more: the next up removes it")
    print(publishing.committed(settings, name))


def unpublish(context: typer.Context, mac: str) -> None:
    """Remove a machine's boot entry."""
    publishing.unpublish_entry(chosen(context).reaching(), mac)


@publish_app.command("bmcs")
def publish_bmcs(context: typer.Context) -> None:
    """Put VirtualBMC's settings on the lab machine."""
    bmcs.publish(chosen(context).reaching())


@publish_app.command("stick")
def publish_stick(context: typer.Context, name: str, device: str) -> None:
    """Write the USB stick to a device of the lab machine."""
    publishing.write_stick(*_machine(context, name), device)


@publish_app.command("boot")
def publish_boot(context: typer.Context, key: str) -> None:
    """Put kernel, initramfs and quarantine image on the boot server."""
    publishing.publish_common(chosen(context).reaching(), key)


@publish_app.command("image")
def publish_image(context: typer.Context, role: str, key: str) -> None:
    """Build a role's image and put it on the boot server."""
    publishing.publish_image(chosen(context).reaching(), role, key)


@publish_app.command("entry")
def publish_entry(context: typer.Context, name: str, key: str, sha256: str) -> None:
    """Put a machine's overlay and boot.env on the boot server."""
    publishing.publish_entry(*_machine(context, name), key, sha256)


def _machine(context: typer.Context, name: str) -> tuple[Settings, str]:
    """The settings, and the name of a machine that is in them.

    Raises:
        ConfigError: there is none of that name.
    """
    settings = chosen(context).reaching()
    settings.machine(name)
    return settings, name


def add_to(app: typer.Typer) -> None:
    """Make them commands of `lab` that its help doesn't list."""
    for command in (wait, converge, commit, committed, unpublish):
        app.command(hidden=True)(command)
    app.add_typer(publish_app, name="publish", hidden=True)
