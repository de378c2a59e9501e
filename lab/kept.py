"""A rack that is kept as it was raised: a snapshot that an `up` of the same goes back to.

Owns what "the same" is, when such a snapshot is made and when it is gone back to (`lab:keep`).
Leaves snapshots to `snapshots`, raising to Pulumi.
"""

import json
import sys

import typer

from artefacts import digest
from config import files, stacks
from config.errors import ConfigError, Problem, Refused
from config.load import FOLDER, read_topology
from config.settings import PROJECT, VIRTUAL, load_settings, machine_of, stack_folder
from lab import inventory, snapshots
from labmachine import saving
from labmachine.process import MachineError
from labmachine.snapshots import Snapshot, all_of
from labmachine.state import State

RAISING = "raising"  # in the stack's folder: of what the `up` that began from nothing is
# What machines and the program are made from; of config/ its modules alone, as any experiment's
# topology is there.
SOURCES = (
    "alpine", "artefacts", "components", "controlplane", "equipment", "guest", "lab", "labmachine",
    "plugins", "__main__.py", "requirements.lock",
)  # fmt: skip
PREFIX = "raised-"  # of the snapshots' names, then the stack's


def name_of(stack: str) -> str:
    """The name of the snapshot that is kept of a stack."""
    return f"{PREFIX}{stack}"


def require_not_its_own(name: str) -> None:
    """Refuse a person's snapshot a name by which the next raise would replace it.

    Raises:
        Refused: it is such a one.
    """
    if name.startswith(PREFIX):
        rule = f"names that begin with {PREFIX} are of racks that are kept as they were raised"
        raise Refused("lab snapshot", [Problem("name", name, rule, "name it otherwise")])


def inputs(stack: str) -> str:
    """What an `up` of the stack makes its rack from: 16 hex digits that change when that does.

    Keys and passwords aren't in it: a snapshot has its own.

    Raises:
        ConfigError: the stack's settings or topology can't be used.
    """
    option = stacks.options(stack)
    settings = load_settings(stack, option, keep=False)
    topology = read_topology(FOLDER / f"{option('topology') or stack}.yaml")
    profile = list(settings.profile.shown())
    own = json.dumps([topology, profile], sort_keys=True, default=str)
    modules = sorted((PROJECT / "config").glob("*.py"))
    return digest(own, *modules, *(PROJECT / each for each in SOURCES))


def fitting(stack: str) -> Snapshot | None:
    """The snapshot that an `up` of a stack without a rack goes back to, if there is one.

    Raises:
        ConfigError: the stack's settings or topology can't be used.
    """
    found = _same(stack)
    return found if found and not _others(stack) else None


def go_back(stack: str, *, ask: bool) -> bool:
    """Where there is a fitting snapshot go back to it; whether that was done.

    Raises:
        ConfigError: the stack's settings or topology can't be used.
    """
    found = _same(stack)
    if found is None:
        return False
    name = found.name
    if others := _others(stack):
        _say(f"Snapshot {name} isn't gone back to: {_too(others)}, and would be lost.")
        return False
    anew = f"lab --stack {stack} snapshot forget"
    _say(f"Snapshot {name} is what this `up` would raise. To raise it anew: {anew}")
    if ask and not (
        sys.stdin and sys.stdin.isatty() and typer.confirm("Go back to it?", default=True)
    ):
        return False
    try:
        snapshots.restore(name, held=stack)
    except (ConfigError, MachineError) as error:  # all is as it was; the `up` raises the rack
        _say(f"It can't be gone back to: {error}")
        return False
    return True


def begin(stack: str) -> None:
    """Note what the rack is made from where an `up` is about to raise it from nothing."""
    if _begins(stack):
        files.write(stack_folder(stack) / RAISING, inputs(stack))


def keep(stack: str) -> None:
    """After an `up`: if it was the end of a raise keep its rack, in place of the one before."""
    note = stack_folder(stack) / RAISING
    if not note.exists():
        return
    made_of = note.read_text()
    note.unlink()
    if not _wanted(stack) or made_of != inputs(stack):
        return
    if others := _others(stack):
        _say(f"The rack isn't kept: {_too(others)}.")
        return
    forget(stack)
    snapshots.save(name_of(stack), "as it was raised", inputs=made_of, held=stack)


def forget(stack: str) -> bool:
    """Remove what is kept of a stack, so that its next `up` raises it; whether anything was."""
    if _of(stack) is None:
        return False
    saving.remove(name_of(stack), State())
    return True


def _same(stack: str) -> Snapshot | None:
    """The snapshot of what an `up` is about to raise from nothing."""
    found = _of(stack) if _begins(stack) else None
    return found if found and found.inputs == inputs(stack) else None


def _begins(stack: str) -> bool:
    return _wanted(stack) and stack not in inventory.raised()


def _wanted(stack: str) -> bool:
    option = stacks.options(stack)
    return option("keep") == "true" and machine_of(option) == VIRTUAL


def _of(stack: str) -> Snapshot | None:
    return next((each for each in all_of(State()) if each.name == name_of(stack)), None)


def _others(stack: str) -> list[str]:
    """Other racks: a snapshot is of the whole lab machine, so they would be lost, or in it."""
    return [each for each in inventory.raised_on_virtual() if each != stack]


def _too(others: list[str]) -> str:
    return f"{', '.join(others)} stands on the lab machine too"


def _say(text: str) -> None:
    print(text, file=sys.stderr)
