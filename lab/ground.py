"""What an `up` asks before its first resource: can the rack stand where it is to be raised?

Owns the order of these questions. Leaves each to `survey`, `power` and Pulumi's own state.
"""

from artefacts import CommandFailed
from config.errors import ConfigError, Problem
from config.settings import Settings
from lab import pulumi_cli, survey
from lab.power import is_away


def check_ground(settings: Settings) -> list[str]:
    """Refuse a rack that can't be raised there; the first-level machines that are off.

    Raises:
        ConfigError: the lab machine doesn't answer, something collides with the rack, or it isn't
            the one that Pulumi's state tells of. Nothing was written there.
    """
    settings.write_access()
    found = survey.survey(settings)
    try:
        state = pulumi_cli.state(settings.stack)
    except CommandFailed as error:
        raise ConfigError("Pulumi's state", [_unread(settings, error)]) from error
    problems = [
        *survey.mismatches(settings, found, state),
        *survey.conflicts(settings, found),
    ]
    if problems:
        raise ConfigError(f"the lab machine {settings.lab.name}", problems)
    return [name for name in survey.nodes_off(settings, found) if not is_away(settings, name)]


def _unread(settings: Settings, error: CommandFailed) -> Problem:
    said = str(error).splitlines()[-1].strip(" |")
    remedy = f"look at it yourself: pulumi stack export --stack {settings.stack}"
    return Problem("stack", settings.stack, f"its state must be readable: {said}", remedy)
