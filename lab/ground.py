"""What an `up` asks before its first resource: can the rack stand where it is to be raised?

Owns the order of these questions. Leaves each to `host`, `survey`, `power` and Pulumi's own state.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from artefacts import LabError
from config import names
from config.bill import volume_sizes
from config.errors import ConfigError, Problem
from config.settings import Settings
from config.topology import San
from config.units import format_size
from lab import host, pulumi_cli, survey
from lab.power import is_away


def check_ground(settings: Settings) -> list[str]:
    """Refuse a rack that can't be raised there; the first-level machines that are off.

    Raises:
        ConfigError: the lab machine doesn't answer, something collides with the rack, or it isn't
            the one that Pulumi's state tells of. Nothing was written there.
    """
    settings.write_access()
    if not settings.virtual:
        host.require_prepared(settings)
    found = survey.survey(settings)
    try:
        state = pulumi_cli.state(settings.stack)
    except LabError as error:
        raise ConfigError("Pulumi's state", [_unread(settings, error)]) from error
    problems = [
        *survey.mismatches(settings, found, state),
        *survey.conflicts(settings, found),
    ]
    if problems:
        raise ConfigError(f"the lab machine {settings.lab.name}", problems)
    if wrong := list(survey.cpus(settings, found)):
        raise ConfigError(f"the lab machine {settings.lab.name}", wrong)
    if found.lost_power(settings.stack):
        raise ConfigError(f"the lab machine {settings.lab.name}", [_unstarted(settings)])
    if smaller := list(_smaller(settings, state)):
        raise ConfigError(f"stack {settings.stack}", smaller)
    return [name for name in survey.nodes_off(settings, found) if not is_away(settings, name)]


def _unstarted(settings: Settings) -> Problem:
    start, again = f"lab --stack {settings.stack} start", f"pulumi up --stack {settings.stack}"
    return Problem(
        "stack", settings.stack, survey.LOST_POWER, f"bring it back: {start}; then: {again}"
    )


def _smaller(settings: Settings, state: Mapping[str, Any]) -> Iterator[Problem]:
    """Volumes that are larger by Pulumi's state than they shall be: what is cut off is lost."""
    topology, made = settings.topology, {}
    for each in state.get("resources") or []:
        words = str((each.get("inputs") or {}).get("create", "")).split()
        made[each["urn"].rsplit("::", 1)[-1]] = words[-1] if words else ""
    wanted = {}
    for name, size in volume_sizes(topology).items():
        machine, _, disk = name.rpartition("-")
        key = f"machines.{machine}.{'stick' if disk == 'stick' else 'disks'}"
        wanted[f"{name}-volume"] = key, size
    for name, san in topology.of(San).items():
        for volume, size in san.volumes.items():
            key = f"machines.{name}.volumes.{volume}"
            wanted[names.volume_resource(name, volume)] = key, size
    for resource, (key, size) in wanted.items():
        has = made.get(resource, "")
        if has.isdigit() and int(has) > size:
            there = format_size(int(has))
            yield Problem(
                key, format_size(size), f"it has {there}, and is never made smaller",
                f"give it {there} or more, or a new name to a smaller one",
            )  # fmt: skip


def _unread(settings: Settings, error: LabError) -> Problem:
    remedy = f"look at it yourself: pulumi stack export --stack {settings.stack}"
    return Problem(
        "stack", settings.stack, f"its state must be readable: {error.last_words}", remedy
    )
