"""Bringing a machine to what its boot entry says, and waiting until it is there.

Owns the deadlines. Leaves the work to `rack-converge` in the machine.
"""

from artefacts import CommandFailed
from config.settings import Settings
from lab.remote import ask, wait_for_ssh

BOOT_DEADLINE_S = 900  # a machine of a whole rack that boots at once, under emulation


def converge(settings: Settings, name: str, key: str, sha256: str) -> str:
    """Wait for the machine, have it run this image and overlay; its timeline as JSON.

    Raises:
        CommandFailed: when it can't be reached, or isn't ready in time; with its own reason.
    """
    wait_for_ssh(settings, name, BOOT_DEADLINE_S)
    return ask(settings, name, ["rack-converge", key, sha256], timeout_s=BOOT_DEADLINE_S)


def wait_ready(settings: Settings, name: str) -> None:
    """Wait until the machine says it is ready.

    Raises:
        CommandFailed: when it isn't in time, with the phase it last told.
    """
    wait_for_ssh(settings, name, BOOT_DEADLINE_S)
    script = "until grep -q -e ^ready -e ^failed /run/rack/phase; do sleep 1; done"
    ask(settings, name, ["timeout", str(BOOT_DEADLINE_S), "sh", "-c", script])
    phase = ask(settings, name, ["cat", "/run/rack/phase"]).strip()
    if not phase.startswith("ready"):
        raise CommandFailed(
            f"{name}: {phase}\nto look: lab --stack {settings.stack} ssh {name} -- rc-status"
        )
