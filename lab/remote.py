"""Reaching machines over ssh, with the stack's own client configuration.

Owns running a command on a machine and waiting until one can be reached. Leaves addresses,
keys and jumps to `config.access`.
"""

import fcntl
import shlex
import time
from collections.abc import Sequence
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_fixed

from artefacts import CommandFailed, LabError, run
from artefacts.environment import users_environment
from config import access, addressing
from config.settings import PROJECT, Settings
from config.topology import Server
from equipment import Equipment

CONSOLE_LINES = 8
BOOT_SERVER_LOGS = "tail -n 4 /var/log/control-plane.log /var/log/dnsmasq.log 2>/dev/null || true"
SSH_FAILED = 255  # the exit code of ssh where it isn't the command's, ssh(1)
PAUSE_S = 2  # until what failed is tried again
LOOK_S = access.CONNECT_TIMEOUT_S + 60  # to connect, and to read what is there
VIRSH = "virsh -c qemu:///system"


def shell_argv(settings: Settings, machine: str) -> list[str]:
    """The argv that runs its last argument, a shell command, on a machine."""
    return access.shell(settings.lab, machine, PROJECT / settings.ssh_config)


def ask(
    settings: Settings,
    machine: str,
    command: Sequence[object],
    *,
    stdin: bytes | None = None,
    output: Path | None = None,
    timeout_s: float | None = None,
) -> str:
    """Run a command on a machine and return its output, or write it to the file `output`.

    Raises:
        CommandFailed: when it fails or the machine can't be reached.
    """
    script = shlex.join(str(word) for word in command)
    return _on(settings, machine, script, stdin=stdin, output=output, timeout_s=timeout_s)


def reachable(settings: Settings, machine: str) -> bool:
    """Whether the machine's sshd takes connections at this moment, seen from the lab machine."""
    address = addressing.management_address(settings.topology, machine)
    try:
        on_lab_machine(settings, f"timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/22' 2>/dev/null")
    except CommandFailed:
        return False
    return True


def patiently(seconds: float, *, lost: bool = False) -> Retrying:
    """Calls what it is given again while that fails; then the last `LabError` is raised.

    `lost`: only where the connection was lost, which says nothing of the command. Where all is
    emulated and busy, a machine may not answer for a minute.
    """

    def again(error: BaseException) -> bool:
        if lost:
            return isinstance(error, CommandFailed) and error.code == SSH_FAILED
        return isinstance(error, LabError)

    return Retrying(
        stop=stop_after_delay(seconds),
        wait=wait_fixed(PAUSE_S),
        retry=retry_if_exception(again),
        reraise=True,
    )


def on_lab_machine(
    settings: Settings, script: str, *, stdin: bytes | None = None, timeout_s: float | None = None
) -> str:
    """Run a shell script on the lab machine and return its output."""
    return _on(settings, access.LAB_MACHINE, script, stdin=stdin, timeout_s=timeout_s)


def _on(
    settings: Settings,
    machine: str,
    script: str,
    *,
    stdin: bytes | None = None,
    output: Path | None = None,
    timeout_s: float | None = None,
) -> str:
    _connect(settings, machine)
    return run(
        [*shell_argv(settings, machine), script],
        env=users_environment(),
        stdin=stdin,
        output=output,
        timeout_s=timeout_s,
        hint=_look_at(settings, machine),
    )


def _connect(settings: Settings, machine: str) -> None:
    """Have one command make the connection to a machine, which all that follow share.

    Commands that begin while there is none would each make one of their own (ssh_config(5),
    ControlMaster), and where all is emulated a dozen handshakes at once take minutes.

    Raises:
        LabError: the machine can't be reached.
    """
    if access.is_here(settings.lab, machine) or not access.shares(settings.folder):
        return
    if _connected(settings, machine):
        return
    if machine != access.LAB_MACHINE:
        _connect(settings, access.LAB_MACHINE)  # the way there
    with (settings.folder / f"ssh-{machine}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            fcntl.flock(lock, fcntl.LOCK_EX)  # whoever had it has connected, or told why not
            return
        run(
            [*shell_argv(settings, machine), "exit"],
            env=users_environment(),
            timeout_s=LOOK_S,
            hint=_look_at(settings, machine),
        )


def _connected(settings: Settings, machine: str) -> bool:
    try:
        run(access.is_connected(machine, PROJECT / settings.ssh_config), env=users_environment())
    except CommandFailed:
        return False
    return True


def _look_at(settings: Settings, machine: str) -> str:
    """What a person looks with when a command on the machine has failed."""
    if machine != access.LAB_MACHINE:
        return f"to look: lab --stack {settings.stack} logs {machine}"
    return "to look: lab machine status" if settings.virtual else settings.lab_machine_remedy


def equip(settings: Settings, piece: Equipment) -> None:
    """Make a piece of the lab machine's equipment, or bring it back, as Pulumi does."""
    ask(settings, access.LAB_MACHINE, piece.applying, stdin=piece.text.encode())


def wait_for_ssh(settings: Settings, machine: str, deadline_s: int) -> None:
    """Wait on the lab machine, which is close, until the machine's sshd takes connections.

    Raises:
        LabError: after `deadline_s` seconds, or when the lab machine itself is lost; it
            tells what the machine's console last said, and those it boots from.
    """
    began = time.monotonic()
    address = addressing.management_address(settings.topology, machine)
    probe = f"until (exec 3<>/dev/tcp/{address}/22) 2>/dev/null; do sleep 1; done"
    try:
        on_lab_machine(settings, f"timeout {deadline_s} bash -c {shlex.quote(probe)}")
    except CommandFailed as error:
        seen = _last_words(settings, machine)
        raise LabError(
            f"{machine}: no sshd at {address} after {time.monotonic() - began:.0f} s.\n{error}\n"
            f"Its console last said:\n{seen or '(nothing)'}\n{boot_server_logs(settings, machine)}"
            f"to look: lab --stack {settings.stack} console {machine}"
        ) from error


def boot_server_logs(settings: Settings, machine: str) -> str:
    """What each boot server last did, if the machine boots from them: why nobody answered it."""
    if not isinstance(settings.topology.machines[machine], Server):
        return ""
    told = ""
    for name in settings.topology.boot_servers:
        try:
            said = ask(settings, name, ["sh", "-c", BOOT_SERVER_LOGS], timeout_s=LOOK_S)
        except CommandFailed as error:
            said = f"(it can't be asked: {error})"
        told += f"Boot server {name} last said:\n{said.strip()}\n"
    return told


def _last_words(settings: Settings, machine: str) -> str:
    try:
        return boot_log(settings, machine, lines=CONSOLE_LINES)
    except CommandFailed as error:
        return f"(its log can't be read: {error})"


def boot_log(settings: Settings, machine: str, lines: int | None = None) -> str:
    """What a machine wrote to its serial console, or the last `lines` of it.

    Raises:
        ConfigError: there is no such machine.
        LabError: its log can't be read.
    """
    tail = ["tail", "-n", str(lines) if lines else "+1"]
    host = settings.host_of(machine)
    return ask(settings, host, [*tail, settings.console_log(machine)], timeout_s=LOOK_S)
