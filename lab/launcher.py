"""The folder's own `pulumi`, which set-up puts into .venv/bin.

Owns what goes on around Pulumi's command line, so that its own commands are all a user needs: tools
and environment; one operation on a stack at a time; the lock of a run that was killed; a stack that
has a settings file but no state yet; the lab machine that a setting has started; the log of an
`up`, its timeline. What Pulumi's command line means stays as it is. Leaves building the tools to
`plugins.build`.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn, Self

from artefacts import CommandFailed, LabError, run
from config import access, stacks
from config.settings import VIRTUAL, load_settings, machine_of, stack_folder
from config.stacks import PROJECT
from lab import kept, logs, orphans, passphrase, pulumi_cli, runs
from lab.errors import told
from lab.folder import require_own
from lab.locks import clear_dead, drop_torn, folder_of
from lab.operation import (
    Operation,
    is_install,
    operation,
    project_folder,
    removed_stack,
    settings_stack,
)
from lab.pulumi_cli import Known, Pulumi
from labmachine import machine

UNKNOWN = Known(0, "")


def main() -> NoReturn:
    """The console script `pulumi`."""
    arguments = sys.argv[1:]
    with told():
        folder = project_folder(arguments, Path.cwd())
        require_own(Path(sys.argv[0]), folder)
        if is_install(arguments) and folder == PROJECT:
            # Pulumi would make a Python environment of the project's folder.
            _say("Nothing to install: ./setup.sh has put all that the program needs into .venv.")
            sys.exit(0)
        pulumi = pulumi_cli.pulumi()
        if folder != PROJECT:
            # The venv is activated, but that is none of this project's business.
            _become(pulumi.program, arguments, dict(os.environ))
        wanted = operation(arguments)
        if wanted is not None:
            if pulumi.passed_over:
                _say(pulumi.passed_over)
            # An empty name, e.g. of an unset variable, is refused: Pulumi takes the selected stack.
            stack = _selected(pulumi) if wanted.stack is None else wanted.stack
            if stack is not None:
                sys.exit(_operation(pulumi, wanted, stack))
        named = settings_stack(arguments)
        if named and stacks.is_there(named):
            _init(pulumi, named, named)
        if removed := removed_stack(arguments):
            _tell_of_settings(removed.rsplit("/", 1)[-1])
        _become(pulumi.program, arguments, pulumi.environment)


def _tell_of_settings(stack: str) -> None:
    """`pulumi stack rm` removes the stack's settings file, which git may have."""
    file = stacks.settings_file(stack).name
    with suppress(CommandFailed):
        run(["git", "ls-files", "--error-unmatch", file], cwd=PROJECT)
        _say(f"Pulumi removes {file} too. To get it back: git checkout {file}")


def _become(program: Path, arguments: Sequence[str], environment: dict[str, str]) -> NoReturn:
    os.execve(program, ["pulumi", *arguments], environment)  # noqa: S606


def _selected(pulumi: Pulumi) -> str | None:
    """The stack that counts where none is named: PULUMI_STACK's, else the selected one."""
    if named := pulumi.environment.get("PULUMI_STACK"):
        return named
    with suppress(CommandFailed):
        return pulumi.ask("stack", "--show-name").strip() or None
    return None


def _operation(pulumi: Pulumi, wanted: Operation, full_name: str) -> int:
    """Do it; its exit code. `full_name` may be organization/project/stack."""
    stack = full_name.rsplit("/", 1)[-1]
    if wanted.has("--config-file"):  # settings of any name
        stacks.check_name(stack)
        return _operate(pulumi, wanted, stack, full_name)
    stacks.require(stack)
    if wanted.kind in ("up", "preview"):
        stacks.options(stack)
    code = _operate(pulumi, wanted, stack, full_name)
    if code:
        passphrase.check(stack, pulumi.environment)
        if problem := pulumi_cli.damage(stack, pulumi.backend):
            _say(problem)
    return code


def _operate(pulumi: Pulumi, wanted: Operation, stack: str, full_name: str) -> int:
    drop_torn(pulumi.backend)
    if not wanted.changes:
        return _look(pulumi, wanted, stack, full_name)
    with runs.only(stack, title := f"pulumi {wanted.kind}"):
        logs.keep(stack, title)
        for pid in clear_dead(pulumi.backend, pulumi_cli.project_name(), stack):
            _say(f"The lock of a run that was killed (process {pid}) is removed.")
        if wanted.kind == "up":
            return _raise(pulumi, wanted, stack, full_name)
        if not _exists(pulumi, stack):
            _say(f"Stack {stack} has no state in {pulumi.backend or 'the backend'}: nothing to do.")
            return 0
        _follow_folder(stack)
        if wanted.kind == "destroy":
            _start_lab_machine(wanted, stack)
        own = _named(wanted, full_name)
        if wanted.kind == "refresh" and not any(map(wanted.has, PENDING)):
            # What was being made when a run was killed: every step here can be done again.
            own.append("--clear-pending-creates")
        return _run(pulumi, own)


def _look(pulumi: Pulumi, wanted: Operation, stack: str, full_name: str) -> int:
    """Show settings, or what an `up` would do, and write nothing.

    Pulumi adds a salt to the settings file where it finds none, and needs a state: it gets a copy
    of the one, and where there is no state yet an empty one, which both end with this.
    """
    if wanted.has(SAVED):
        _init(pulumi, stack, full_name)
        return _run(pulumi, _named(wanted, full_name))
    with tempfile.TemporaryDirectory() as folder:
        file, named = stacks.settings_file(stack), wanted.value("--config-file")
        if named:
            file = Path.cwd() / wanted.value("--cwd") / named
        copy = Path(folder) / f"Pulumi.{stack}.yaml"
        copy.write_bytes(file.read_bytes() if named or file.is_file() else b"{}")
        own = [*wanted.arguments, "--config-file", str(copy)]
        if _exists(pulumi, stack):
            return _run(pulumi, [*own, "--stack", full_name])
        shutil.copy(PROJECT / "Pulumi.yaml", folder)
        (Path(folder) / "state").mkdir()
        backend = {"PULUMI_BACKEND_URL": (Path(folder) / "state").as_uri()}
        alone = Pulumi(pulumi.program, {**pulumi.environment, **backend})
        alone.ask("stack", "init", stack, "--no-select", "--cwd", folder)
        return _run(alone, [*own, "--stack", stack])


SAVED = "--secrets-provider"  # of the stack that is made for the preview
OTHER_SETTINGS = ("--config-file", "--config")  # than the stack's own, for this run
PARTS = ("--target", "--exclude", "--target-replace")  # of the stack, not all of it
PENDING = ("--clear-pending-creates", "--import-pending-creates", "--skip-pending-creates")


def _named(wanted: Operation, full_name: str) -> list[str]:
    """The arguments, with the stack named: what is selected may change while this runs."""
    named = () if wanted.stack is not None else ("--stack", full_name)
    return [*wanted.arguments, *named]


def _exists(pulumi: Pulumi, stack: str) -> bool:
    """Whether the backend has the stack."""
    if folder := folder_of(pulumi.backend):
        return pulumi_cli.state_file(folder, stack) is not None
    return stack in pulumi_cli.stacks()


def _init(pulumi: Pulumi, stack: str, full_name: str) -> None:
    """A stack with a settings file in this folder is a stack, raised or not."""
    if _exists(pulumi, stack):
        return
    try:
        pulumi.ask("stack", "init", full_name, "--no-select")
    except CommandFailed:
        if not _exists(pulumi, stack):  # a preview beside this has made it
            raise


def _start_lab_machine(wanted: Operation, stack: str) -> None:
    """Start it where a setting says so; else say at once that it is off, where it is needed.

    Its port may be another program's, which would be waited for.
    """
    if any(map(wanted.has, OTHER_SETTINGS)):
        return
    option = stacks.options(stack)
    if machine_of(option) != VIRTUAL:
        return
    if option("start") == "true":
        machine.up()
    elif wanted.kind == "up" or pulumi_cli.stacks().get(stack, UNKNOWN).raised:
        machine.require_running()


def _follow_folder(stack: str) -> None:
    """Where the project was moved, its ssh configuration names files that are gone.

    An `up` writes it anew; these operations don't run the program. It is left as it is otherwise:
    the topology may have lost a machine since, which they still have to reach.
    """
    config = stack_folder(stack) / "ssh_config"
    if not config.exists() or access.quoted(stack_folder(stack) / "id_ecdsa") in config.read_text():
        return
    load_settings(stack, stacks.options(stack), keep=False).write_access()


def _raise(pulumi: Pulumi, wanted: Operation, stack: str, full_name: str) -> int:
    """An `up`, which goes back to what was kept of the rack where that is the same."""
    whole = not any(map(wanted.has, (*OTHER_SETTINGS, *PARTS)))
    back = whole and kept.go_back(stack, ask=not wanted.has("--yes"))
    if not back:
        _start_lab_machine(wanted, stack)
    _init(pulumi, stack, full_name)
    if whole and not back:
        kept.begin(stack)
    code = _up(pulumi, wanted, stack, full_name)
    if whole and code == 0:
        kept.keep(stack)
    return code


def _up(pulumi: Pulumi, wanted: Operation, stack: str, full_name: str) -> int:
    own = _named(wanted, full_name)
    if wanted.has("--event-log"):
        return _run(pulumi, own)
    log = stack_folder(stack) / runs.EVENTS
    log.unlink(missing_ok=True)
    # The flag is one for debugging: Pulumi has it only with this variable.
    environment = {**pulumi.environment, "PULUMI_DEBUG_COMMANDS": "true"}
    code = _run(Pulumi(pulumi.program, environment), [*own, "--event-log", str(log)])
    if code == 0 and not any(map(wanted.has, PARTS)):
        # Of a run that was killed: this one has made what that had begun.
        pulumi_cli.clear_pending(stack)
    if log.exists():
        from lab.commands.stacks import print_timeline  # noqa: PLC0415 (rich: half a second)

        try:
            print_timeline(stack, log, refused=bool(code))
        except LabError as error:  # it took place all the same
            _say(str(error))
    return code


def _run(pulumi: Pulumi, arguments: Sequence[str]) -> int:
    """Run it in the terminal's foreground; signals to this process are passed on to it.

    Where this process is killed, and its lock on the stack with it, Pulumi ends its steps in order.
    Where Pulumi is killed, its plug-ins and its steps end with it.
    """
    argv = ["setpriv", "--pdeathsig", "INT", "--", str(pulumi.program), *arguments]
    with (
        orphans.adopted(),
        _Signals() as signals,
        subprocess.Popen(argv, env={**pulumi.environment, **logs.of_this_run()}) as child,
    ):
        signals.go_to(child)
        code = child.wait()
        if code == -signal.SIGKILL:
            orphans.end()
        return _code(code)


def _code(code: int) -> int:
    """As a shell tells it: 128 and the number of the signal that ended it."""
    return code if code >= 0 else 128 - code


class _Signals:
    """Ctrl-C reaches a child by the terminal, and Pulumi ends its steps in order then; what ends
    this process alone is passed on, also what comes before the child is there."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None
        self._early: list[int] = []
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup(1): it is to stay ignored, here and in the child
            to = _leave_to_the_child if number is signal.SIGINT else self._pass_on
            self._before[number] = signal.signal(number, to)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def go_to(self, child: subprocess.Popen[bytes]) -> None:
        """Pass them on to it from now on."""
        self._child = child
        for number in self._early:
            child.send_signal(number)

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if self._child is None:
            self._early.append(number)
        else:
            self._child.send_signal(number)


def _leave_to_the_child(_number: int, _frame: FrameType | None) -> None:
    """A function, as an ignored signal would stay ignored in the child (execve(2))."""


def _say(text: str) -> None:
    print(text, file=sys.stderr)
