"""Commands as resources: equipment of the lab machine, a command on a machine, a local step.

Owns how such a resource is made, so that each is idempotent and its text shows in a preview.
Leaves what a command does to `equipment/`, `guest/` and the `lab` command.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

import pulumi
from pulumi_command import local

from config import access
from config.settings import PROJECT, Settings
from equipment import Equipment

REACH = Path(__file__).with_name("reach.sh").relative_to(PROJECT)


def equipment_command(
    settings: Settings, equipment: Equipment, opts: pulumi.ResourceOptions
) -> local.Command:
    """A piece of equipment on the lab machine, made and removed by its script."""
    return local.Command(
        equipment.name,
        create=_words(equipment.applying),
        delete=_words(equipment.removing),
        stdin=equipment.text,
        interpreter=_shell(settings, access.LAB_MACHINE, settings.lab_machine_remedy),
        opts=opts,
    )


def machine_command(
    name: str,
    settings: Settings,
    machine: str,
    *,
    create: Sequence[object],
    delete: Sequence[object] | None = None,
    stdin: str | None = None,
    wanted: Sequence[pulumi.Input[str]] = (),
    opts: pulumi.ResourceOptions,
) -> local.Command:
    """A command inside a machine of the rack, at any level.

    It is run again when anything of it changes; `wanted` only tells that it must.
    """
    remedy = f"if it is off, switch it on: {settings.power_on(machine)}"
    return local.Command(
        name,
        create=_words(create),
        delete=_words(delete) if delete else None,
        stdin=stdin,
        environment=_wanted(wanted),
        interpreter=_shell(settings, machine, remedy),
        opts=opts,
    )


def lab_command(
    name: str,
    settings: Settings,
    *,
    create: Sequence[object],
    delete: Sequence[object] | None = None,
    wanted: Sequence[pulumi.Input[str]] = (),
    opts: pulumi.ResourceOptions,
) -> local.Command:
    """A step of the `lab` command on the machine Pulumi runs on, e.g. building an image.

    It is run again when anything of it changes; `wanted` only tells that it must.
    """
    own = ["lab", "--stack", settings.stack]
    return local.Command(
        name,
        create=_words([*own, *create]),
        delete=_words([*own, *delete]) if delete else None,
        environment=_wanted(wanted),
        opts=opts,
    )


def _shell(settings: Settings, machine: str, remedy: str) -> list[str]:
    """The interpreter that runs a shell command line there, or tells the remedy."""
    shell = access.shell(settings.lab, machine, settings.ssh_config)
    return ["sh", str(REACH), f"{machine} can't be reached; {remedy}", *shell]


def _wanted(parts: Sequence[pulumi.Input[str]]) -> dict[str, pulumi.Input[str]] | None:
    return {f"WANTED_{index}": part for index, part in enumerate(parts)} or None


def _words(argv: Sequence[object]) -> str:
    return shlex.join(str(word) for word in argv)
