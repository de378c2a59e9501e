"""The snapshots of the lab machine that there are, and whether one can be gone back to here.

Owns their folders, their names and what is noted of each. Leaves making one and going back to
`saving`, what belongs to a stack to `lab.snapshots`.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from config.errors import ConfigError, Problem, Refused
from config.files import write
from labmachine.process import MachineError
from labmachine.state import State, bytes_of

MOST_NOTE = 200
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
NOTES = "snapshot.json"
MEMORY = "memory.qcow2"


@dataclass(frozen=True)
class Label:
    """What a person sees of a snapshot.

    `commit`: the project's, "" where git can't tell; `stacks`: those that were raised there;
    `inputs`: of a rack as it was raised what it was made from, a digest, else "".
    """

    name: str
    note: str
    commit: str
    stacks: tuple[str, ...]
    inputs: str


@dataclass(frozen=True)
class Snapshot(Label):
    """One moment. `made`: ISO 8601, UTC; `warm`: with memory; `layer`: its disks.

    `hardware`: what it needs to go on, by what it is called.
    """

    made: str
    warm: bool
    layer: str
    hardware: Mapping[str, str]

    def keep(self, folder: Path) -> None:
        """Write it into its folder."""
        write(folder / NOTES, json.dumps(asdict(self), indent=2))


def folder_of(state: State, name: str) -> Path:
    """Where a snapshot of that name is, or would be.

    Raises:
        ConfigError: it can't be a name.
    """
    if not NAME.fullmatch(name):
        rule = "1 to 64 letters, digits, dots, dashes and underscores, no dot or dash first"
        raise _unusable(name, rule, "choose another name, e.g. formed")
    return state.snapshots / name


def all_of(state: State) -> Iterator[Snapshot]:
    """Those that are whole, by name."""
    for file in sorted(state.snapshots.glob(f"[!.]*/{NOTES}")):
        noted = json.loads(file.read_text())
        yield Snapshot(**{"inputs": "", **noted, "stacks": tuple(noted["stacks"])})


def named(state: State, name: str) -> Snapshot:
    """The snapshot of that name.

    Raises:
        ConfigError: there is none.
    """
    there = {each.name: each for each in all_of(state)}
    if name not in there:
        if not there:
            raise _unusable(name, "there are no snapshots", "make one: lab snapshot save NAME")
        raise _unusable(name, f"one of: {', '.join(there)}", "name one of these")
    return there[name]


def require_new(state: State, name: str) -> Path:
    """The folder of a snapshot that isn't there yet.

    Raises:
        ConfigError: it can't be a name.
        MachineError: there is one of that name.
    """
    folder = folder_of(state, name)
    if folder.exists():
        raise MachineError(f"snapshot {name} is there; remove it: lab snapshot remove {name}")
    return folder


def require_note(note: str) -> None:
    """Refuse a note that a line of a list has no room for.

    Raises:
        ConfigError: it is so.
    """
    if len(note) > MOST_NOTE or not note.isprintable():
        rule = f"one line of at most {MOST_NOTE} characters"
        problem = Problem("note", note[:MOST_NOTE], rule, "make it shorter")
        raise Refused("lab snapshot", [problem])


def layers_kept(state: State) -> list[str]:
    """The layers that snapshots need."""
    return [each.layer for each in all_of(state)]


def bytes_held(state: State, found: Snapshot) -> int:
    """What its memory and its own layer take; layers below it may be others' too."""
    folders = [state.snapshots / found.name, state.layers / found.layer]
    return bytes_of(each for folder in folders for each in folder.glob("*"))


def require_fitting(found: Snapshot, now: Mapping[str, str]) -> None:
    """Refuse a snapshot that can't go on on the lab machine as it would be now.

    Raises:
        ConfigError: with everything that is another.
    """
    needed = found.hardware if found.warm else {"disks": found.hardware["disks"]}
    problems = [
        Problem(what, now[what], f"as it was when {found.name} was made: {was}", _remedy(what))
        for what, was in needed.items()
        if now[what] != was and not (what == "devices" and _told_before(needed, now))
    ]
    if problems:
        raise ConfigError(f"snapshot {found.name}", problems)


def _told_before(needed: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Whether another setting explains that devices differ."""
    return any(now[each] != was for each, was in needed.items() if each != "devices")


def _remedy(what: str) -> str:
    if what in ("cores", "memory", "disks"):
        return f"set `{what}` in labmachine.yaml back, or make the snapshot anew"
    return "make the snapshot anew, or take the project's commit that made it: lab snapshot list"


def _unusable(name: str, rule: str, remedy: str) -> ConfigError:
    return Refused("lab snapshot", [Problem("name", name, rule, remedy)])
