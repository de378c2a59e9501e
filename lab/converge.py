"""Bringing a machine to what its boot entry says, and waiting until it is there.

Owns the deadlines. Leaves the work to `rack-converge` in the machine.
"""

from config import addressing
from config.settings import Settings
from config.topology import Guest
from lab.remote import ask, patiently, wait_for_ssh
from lab.status import SAYS, SERVING

BOOT_DEADLINE_S = 900  # a machine of a whole rack that boots at once, under emulation
HEAL_S = 300  # for what failed at the boot and works as soon as all are there
ANSWER_S = 240  # more than a command here waits in the machine; an ssh that hangs is left then
BOOTING, NOT_READY = "grep -q ^booting /run/rack/phase", "! grep -q ^ready /run/rack/phase"
WHILE = (
    "timeout 60 sh -c 'while {0} && ! {1}; do sleep 1; done' || "
    "{{ cat /run/rack/phase >&2; exit 1; }}"
)
LED = f"cat {SAYS} >&2; grep -q 'leads\"' {SAYS}"


def converge(settings: Settings, name: str, key: str, sha256: str) -> str:
    """Wait for the machine, have it run this image and overlay; its timeline as JSON.

    Raises:
        LabError: when it can't be reached, or isn't ready in time; with its own reason.
    """
    wait_for_ssh(settings, name, BOOT_DEADLINE_S)
    return _converged(settings, name, key, sha256)


def catch_up(settings: Settings, name: str) -> None:
    """Bring a machine that booted from an older tree to what its boot entry says now.

    Raises:
        LabError: it can't be brought there while it runs, or isn't ready then.
    """
    machine = settings.topology.machines[name]
    if isinstance(machine, Guest):  # it boots from its node's copy of its entry
        mac = addressing.nics(settings.stack, settings.topology, name)[0].mac_dashed
        ask(settings, machine.node, ["rack-guest-sync", name, mac], timeout_s=ANSWER_S)
    _converged(settings, name)


def _converged(settings: Settings, name: str, *entry: str) -> str:
    command = ["rack-converge", *entry]  # does nothing twice
    again = patiently(BOOT_DEADLINE_S, lost=True)  # it may be as busy as it was while it booted
    return again(ask, settings, name, command, timeout_s=BOOT_DEADLINE_S)


def wait_ready(settings: Settings, name: str) -> None:
    """Wait until the machine says it is ready; what failed at its boot it checks again by itself.

    Raises:
        LabError: when it isn't in time, with the phase it last told.
    """
    _wait(settings, name, enough="false")


def wait_serving(settings: Settings, name: str) -> None:
    """Wait until a boot server serves or, as another one may do that, is ready.

    It may serve long before it is ready: consul's state can be on a SAN that boots from it.

    Raises:
        LabError: when it doesn't in time, with the phase it last told.
    """
    _wait(settings, name, enough=SERVING)


def wait_led(settings: Settings, founder: str) -> None:
    """Wait until the founder knows a leader, and so doesn't serve alone with its own copy any more.

    Raises:
        LabError: nobody leads in time; with what the founder says.
    """
    patiently(HEAL_S)(ask, settings, founder, ["sh", "-c", LED], timeout_s=ANSWER_S)


def _wait(settings: Settings, name: str, *, enough: str) -> None:
    wait_for_ssh(settings, name, BOOT_DEADLINE_S)
    for seconds, phase in ((BOOT_DEADLINE_S, BOOTING), (HEAL_S, NOT_READY)):
        command = ["sh", "-c", WHILE.format(phase, enough)]
        patiently(seconds)(ask, settings, name, command, timeout_s=ANSWER_S)
