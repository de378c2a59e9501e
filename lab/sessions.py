"""Interactive ways into a machine: ssh, its serial console, its boot log.

Owns which argv that is, and what is said where the machine can't be reached. Leaves the connection
to ssh and virsh; the exit code is the session's own.
"""

import shlex
import signal
import subprocess
import sys
from collections.abc import Sequence
from typing import NoReturn

from config import access, names
from config.settings import Settings
from lab.power import host_or_home
from lab.remote import SSH_FAILED, VIRSH, shell_argv


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
    _session(settings, name, argv)


def console(settings: Settings, name: str) -> NoReturn:
    """Attach to a machine's serial console; Ctrl-] ends it (virsh(1), console)."""
    host = host_or_home(settings, name)
    argv = [part if part != "-T" else "-tt" for part in shell_argv(settings, host)]
    argv.append(f"{VIRSH} console {names.domain(settings.stack, name)}")
    _session(settings, name, argv)


def _session(settings: Settings, name: str, argv: Sequence[str]) -> NoReturn:
    """Run it in the terminal's foreground, where Ctrl-C is the session's."""
    signal.signal(signal.SIGINT, lambda *_: None)
    code = subprocess.run(argv, check=False).returncode
    if code == SSH_FAILED:
        lab = f"lab --stack {settings.stack}"
        print(f"no answer from {name}; is it on? {lab} status; how far it came: {lab} logs {name}",
              file=sys.stderr)  # fmt: skip
    sys.exit(code if code >= 0 else 128 - code)


def _inside(settings: Settings, name: str, command: Sequence[str]) -> tuple[str, list[str]]:
    """The machine to go to, and the command there; a container is entered through its host."""
    if name in settings.topology.machines or name == access.LAB_MACHINE:
        return name, list(command)
    if host := settings.topology.host_of_container(name):
        attach = ["lxc-attach", "-n", name]
        return host, [*attach, "--", *command] if command else attach
    raise settings.unknown(name)
