"""A machine's power button: on, off without warning, reset, and which it is.

Owns how that is told: to a server by IPMI through its BMC (seed: "a script ... driving the life
cycle of those KVMs"), to the laptop and to guests by the libvirt they run on. Leaves what comes
back by itself to the machines' services; `off` is a power loss, not a shutdown.
"""

from enum import StrEnum

from artefacts import CommandFailed
from config import access, addressing, names
from config.errors import Problem, Refused
from config.settings import BMC_USER, Settings
from config.topology import Server
from lab.remote import VIRSH, ask, on_lab_machine, patiently

# Nothing to do is no error: what is on may be switched on (virsh(1): start and destroy fail).
BUTTON = f"""
is_on() {{ {VIRSH} domstate "$1" | grep -q running; }}
off() {{ ! is_on "$1" || {VIRSH} destroy "$1"; }}
on() {{ is_on "$1" || {VIRSH} start "$1"; }}
case $2 in
    on) on "$1" ;;
    off) off "$1" ;;
    reset) {VIRSH} reset "$1" ;;
esac >/dev/null
if is_on "$1"; then echo on; else echo off; fi
"""

RUNNING = ["sh", "-c", f"{VIRSH} list --name --state-running"]

# A start takes libvirt seconds where all is emulated, hence the patience of -N and -R. While many
# machines start, a BMC refuses what ipmitool sends again, or a session: that is tried again.
PATIENCE_S = 120
REASON_LINES = 5
IPMI = """
read -r IPMI_PASSWORD
export IPMI_PASSWORD
address=$1 user=$2
shift 2
ipmitool -I lanplus -H "$address" -U "$user" -E -N 20 -R 3 chassis "$@"
"""


class Action(StrEnum):
    """What can be asked of a machine's power."""

    ON = "on"
    OFF = "off"
    CYCLE = "cycle"
    RESET = "reset"
    STATUS = "status"


def power(
    settings: Settings, name: str, action: Action, *, pxe: bool = False, via: str | None = None
) -> str:
    """Do it, and tell whether the machine is "on" or "off" then.

    `pxe`: its next boot is from the network. `via`: the machine that speaks to the BMC, the lab
    machine or one with a way to ipmi and ipmitool, as the router.

    Raises:
        ConfigError: there is no such machine, or it has no BMC to tell that.
        LabError: what it is told through can't be reached, or refused.
    """
    machine = settings.machine(name)
    if isinstance(machine, Server):
        # VirtualBMC has no cycle.
        acts = {Action.CYCLE: ["off", "on"], Action.STATUS: []}.get(action, [action.value])
        chassis = [["power", act] for act in acts] + [["power", "status"]]
        if pxe:
            chassis.insert(0, ["bootdev", "pxe"])
        address = addressing.bmc(settings.topology, machine).ip
        password = f"{settings.bmc_password(name)}\n".encode()
        # Each tried again by itself: a reset isn't sent twice because the question after it failed.
        for words in chassis:
            command = ["sh", "-euc", IPMI, "ipmi", address, BMC_USER, *words]
            try:
                said = patiently(PATIENCE_S)(
                    ask, settings, via or access.LAB_MACHINE, command, stdin=password
                )
            except CommandFailed as error:
                raise error.with_hint(_reason(settings)) from error
        return said.split()[-1]
    if pxe or via:
        option = "--pxe" if pxe else "--via"
        rule = f"{name} has no BMC: it is a {machine.role}"
        raise Refused("lab power", [Problem(option, name, rule, "leave the option out")])
    here = host_or_home(settings, name)
    if action is Action.CYCLE:
        _press(settings, name, here, Action.OFF)
        here, action = settings.host_of(name), Action.ON
    return _press(settings, name, here, action)


def _reason(settings: Settings) -> str:
    """What the BMCs have logged last: to IPMI whatever libvirt refuses them is "Node busy"."""
    unit = names.bmcs(settings.stack)
    lines = f"journalctl --quiet --no-pager --output=cat --lines={REASON_LINES} --unit={unit}"
    try:
        return f"{unit} says last:\n{on_lab_machine(settings, lines)}"
    except CommandFailed as error:
        return f"what {unit} says can't be read: {error}"


def host_or_home(settings: Settings, name: str) -> str:
    """Which of its hosts a machine runs on; of one that is off, where it is at home.

    Raises:
        LabError: as `where`.
    """
    return where(settings, name) or settings.host_of(name)


def where(settings: Settings, name: str) -> str | None:
    """Which of its hosts a machine runs on; None: it is off.

    Raises:
        LabError: a host that runs, and may run it, doesn't answer.
    """
    home, *others = settings.hosts_of(name)
    running = ask(settings, home, RUNNING).split()
    if names.domain(settings.stack, name) in running:
        return home
    for host in others:  # one that is off runs nothing, and can't be asked
        if names.domain(settings.stack, host) in running and (
            names.domain(settings.stack, name) in ask(settings, host, RUNNING).split()
        ):
            return host
    return None


def is_away(settings: Settings, name: str) -> bool:
    """Whether a machine without power at home may run where it moves to."""
    if name not in settings.topology.moves:
        return False
    try:
        return where(settings, name) is not None
    except CommandFailed:  # nobody knows while that host is silent
        return True


def _press(settings: Settings, name: str, host: str, action: Action) -> str:
    command = ["sh", "-euc", BUTTON, "power", names.domain(settings.stack, name), action.value]
    return ask(settings, host, command).strip()
