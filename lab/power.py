"""A machine's power button: on, off without warning, reset, and which it is.

Owns how the machine's host is told. Leaves what comes back by itself to the machines' services;
`off` is a power loss, not a shutdown.
"""

from enum import StrEnum

from config import names
from config.settings import Settings
from lab.remote import VIRSH, ask

# Nothing to do is no error: what is on may be switched on (virsh(1): start and destroy fail).
SCRIPT = f"""
is_on() {{ {VIRSH} domstate "$1" | grep -q running; }}
case $2 in
    on) is_on "$1" || {VIRSH} start "$1" ;;
    off) ! is_on "$1" || {VIRSH} destroy "$1" ;;
    reset) {VIRSH} reset "$1" ;;
esac >/dev/null
if is_on "$1"; then echo on; else echo off; fi
"""


class Action(StrEnum):
    """What can be asked of a machine's power."""

    ON = "on"
    OFF = "off"
    RESET = "reset"
    STATUS = "status"


def power(settings: Settings, name: str, action: Action) -> str:
    """Do it, and tell whether the machine is "on" or "off" then.

    Raises:
        ConfigError: there is no such machine.
        CommandFailed: its host can't be reached, or refused.
    """
    domain = names.domain(settings.stack, name)
    command = ["sh", "-euc", SCRIPT, "power", domain, action.value]
    return ask(settings, settings.host_of(name), command).strip()
