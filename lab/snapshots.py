"""Snapshots of the virtual lab machine, with what belongs to each of the stacks on it.

Owns that: Pulumi's state of each stack, its folder with seed and keys, and that no run is under
way. Leaves the machine to `labmachine.saving`.
"""

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from artefacts import CommandFailed, LabError, run
from config import files
from config.labmachine import load_labmachine
from config.settings import PROJECT, stack_folder
from lab import inventory, pulumi_cli, runs
from lab.locks import clear_dead, holders
from labmachine import saving, snapshots
from labmachine.snapshots import Label, Snapshot
from labmachine.state import State

STACKS, STATE = "stacks", "state.json"
LOCKS = "*.lock"


def save(name: str, note: str, *, inputs: str = "", held: str = "") -> Snapshot:
    """Save this moment of the lab machine and of all stacks that are raised on it.

    `inputs`: of a rack as it was raised what it was made from. `held`: the stack whose run this is
    part of.

    Raises:
        ConfigError: the name is none.
        LabError: Pulumi's state can't be read, or is locked by a run elsewhere.
        MachineError: as `saving.save`.
    """
    snapshots.require_new(State(), name)  # before a run is waited for
    with _alone("lab snapshot save", held) as stacks:

        def keep(folder: Path) -> None:
            for stack in stacks:
                _keep(stack, folder / STACKS / stack)

        label = Label(name, note, project_commit(), tuple(stacks), inputs)
        return saving.save(label, keep, load_labmachine(), State())


def restore(name: str, *, held: str = "") -> Snapshot:
    """Go back to a moment; what was raised since isn't there any more, by Pulumi's state too.

    `held`: the stack whose run this is part of.

    Raises:
        ConfigError: there is no such snapshot, or it can't go on here.
        LabError: Pulumi's state can't be written, or is locked by a run elsewhere.
        MachineError: as `saving.restore`.
    """
    found = snapshots.named(State(), name)
    with _alone("lab snapshot restore", held, found.stacks) as now:

        def put_back(folder: Path) -> None:
            for stack in found.stacks:
                _put_back(stack, folder / STACKS / stack)
            for stack in set(now) - set(found.stacks):
                _ask("state", "delete", "--all", "--force", "--yes", "--stack", stack)

        return saving.restore(name, put_back, load_labmachine(), State())


def project_commit() -> str:
    """The project's commit, or nothing; what a rack is made from may have been changed since.

    Pulumi writes to a stack's settings by itself, which is no change of the project.
    """
    with suppress(CommandFailed):
        commit = run(["git", "describe", "--always", "--abbrev=12"], cwd=PROJECT).strip()
        own = ["--", ".", ":(exclude)Pulumi.*.yaml"]
        changed = run(["git", "status", "--porcelain", "--untracked-files=no", *own], cwd=PROJECT)
        return f"{commit}-dirty" if changed else commit
    return ""


@contextmanager
def _alone(what: str, held: str, more: Iterable[str] = ()) -> Iterator[list[str]]:
    """No run is under way on the lab machine meanwhile; the stacks that are raised there then.

    A run that is waited for may raise a rack, or destroy it. `held`: the stack whose run this is
    part of, which waits for no others that have raised nothing yet; `more`: are kept waiting too.
    """
    while True:
        begun = () if held else inventory.under_way_on_virtual()
        wanted = {*inventory.raised_on_virtual(), *more, *begun}
        with ExitStack() as locks:
            for stack in sorted(wanted - {held}):
                locks.enter_context(runs.only(stack, what))
                _unlock(stack)
            if wanted.issuperset(now := inventory.raised_on_virtual()):
                yield now
                return


def _unlock(stack: str) -> None:
    """Remove the locks that runs which were killed have left in Pulumi's backend.

    Raises:
        LabError: a run elsewhere has one: Pulumi's state couldn't be put back.
    """
    backend, project = pulumi_cli.backend(), pulumi_cli.project_name()
    clear_dead(backend, project, stack)
    if held := holders(backend, project, stack):
        raise LabError(
            f"stack {stack} is locked by {', '.join(held)}; wait for its end, or, if it is dead: "
            f"pulumi cancel --stack {stack}"
        )


def _keep(stack: str, folder: Path) -> None:
    files.write(folder / STATE, _ask("stack", "export", "--stack", stack))
    for file in _files(stack_folder(stack)):
        _copy(file, folder / file.relative_to(stack_folder(stack)))


def _put_back(stack: str, kept: Path) -> None:
    folder = stack_folder(stack)
    wanted = {folder / each.relative_to(kept): each for each in _files(kept)}
    state = wanted.pop(folder / STATE)
    for target, file in wanted.items():
        _copy(file, target)
    for gone in set(_files(folder)) - set(wanted):
        gone.unlink()
    if stack not in pulumi_cli.stacks():
        _ask("stack", "init", stack, "--no-select")
    _ask("stack", "import", "--stack", stack, "--file", str(state))


def _files(folder: Path) -> list[Path]:
    """A stack's files; not the sockets of its ssh connections, nor locks, which are held now."""
    return [each for each in folder.rglob("*") if each.is_file() and not each.match(LOCKS)]


def _copy(file: Path, target: Path) -> None:
    files.write(target, file.read_bytes())
    at = file.stat()
    os.utime(target, ns=(at.st_atime_ns, at.st_mtime_ns))  # the newest overlay counts


def _ask(*arguments: str) -> str:
    return pulumi_cli.pulumi().ask(*arguments)


def difference(name: str) -> Iterator[str]:
    """What of the stacks' resources is another now than in a snapshot, a line each.

    Raises:
        ConfigError: there is no such one.
        LabError: Pulumi's state can't be read.
    """
    found = snapshots.named(State(), name)
    folder = snapshots.folder_of(State(), name) / STACKS
    now = inventory.raised_on_virtual()
    for stack in sorted({*now, *found.stacks}):
        then = json.loads((folder / stack / STATE).read_text()) if stack in found.stacks else {}
        before, after = _resources(then.get("deployment") or {}), {}
        if stack in now:
            after = _resources(pulumi_cli.state(stack))
        for urn in sorted({*before, *after}):
            if before.get(urn) != after.get(urn):
                mark = "+" if urn not in before else "-" if urn not in after else "~"
                yield f"{mark} {stack}: {urn.rsplit('::', 1)[-1]} ({urn.split('::')[2]})"


def _resources(deployment: dict[str, object]) -> dict[str, object]:
    """What each resource was made with, by its URN."""
    listed = deployment.get("resources") or []
    assert isinstance(listed, list)
    return {each["urn"]: each.get("inputs") for each in listed}
