"""Interactive ways into a machine: ssh, its serial console, its boot log.

Owns which argv that is. Leaves the connection to ssh and virsh; each replaces this process,
so the exit code is the session's own.
"""

import os
import shlex
import sys
from collections.abc import Sequence
from typing import NoReturn

from config import access, names
from config.settings import Settings
from config.topology import LxcHost
from lab.power import where
from lab.remote import VIRSH, shell_argv


def ssh(settings: Settings, name: str, command: Sequence[str]) -> NoReturn:
    """Open a shell, or run a command, on a machine, a container or the lab machine.

    A command of one word is a shell command line, as with ssh(1).
    """
    argument = ["sh", "-c", *command] if len(command) == 1 else command
    host, wrapped = _inside(settings, name, argument)
    argv = shell_argv(settings, host)
    if sys.stdin.isatty() and sys.stdout.isatty() and argv[0] == "ssh":
        argv = ["-tt" if part == "-T" else part for part in argv]
    if wrapped:
        argv.append(shlex.join(wrapped))
    elif argv[0] != "ssh":
        argv = ["/bin/sh"]
    os.execvp(argv[0], argv)  # noqa: S606


def console(settings: Settings, name: str) -> NoReturn:
    """Attach to a machine's serial console; Ctrl-] ends it (virsh(1), console)."""
    host = where(settings, name) or settings.host_of(name)
    argv = [part if part != "-T" else "-tt" for part in shell_argv(settings, host)]
    argv.append(f"{VIRSH} console {names.domain(settings.stack, name)}")
    os.execvp(argv[0], argv)  # noqa: S606


def _inside(settings: Settings, name: str, command: Sequence[str]) -> tuple[str, list[str]]:
    """The machine to go to, and the command there; a container is entered through its host."""
    if name in settings.topology.machines or name == access.LAB_MACHINE:
        return name, list(command)
    for host, machine in settings.topology.of(LxcHost).items():
        if name in machine.containers:
            attach = ["lxc-attach", "-n", name]
            return host, [*attach, "--", *command] if command else attach
    raise settings.unknown(name)
