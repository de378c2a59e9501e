"""What the lab machine has written, in layers that lie one over another.

Owns their folders: which one is written to, what each lies over, and that one goes when nothing
needs it. All below the current one are never written to again. Leaves which moment a layer is to
`snapshot`, and what stands in the lowest one to `machine`.

A folder has a file per disk and two links: `under`, the layer it lies over, and `image`. Files name
each other from their own folder, so that the project can be moved.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from artefacts import run
from artefacts.namespace import remove_tree
from labmachine.state import State

UNLAYERED = ".."  # the machine's own folder, seen from `layers/`: disks older than layers
UNDER = "under"
ID_BYTES = 4


def current(state: State) -> str:
    """The layer that is written to."""
    return state.current.readlink().name if state.current.is_symlink() else UNLAYERED


def make_lowest(state: State) -> None:
    """Let the machine write to a new layer that lies over nothing."""
    name = _new_name()
    (state.layers / name).mkdir(parents=True)
    make_current(state, name)


def make_over(state: State, below: str) -> str:
    """A new layer, empty, over another one."""
    name = _new_name()
    folder = state.layers / name
    folder.mkdir(parents=True)
    for file in disks(state.layers / below):
        backing = Path("..", below, file.name)
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", disk_format(file), "-b", backing,
             folder / f"{file.stem}.qcow2"])  # fmt: skip
    (folder / UNDER).symlink_to(Path("..", below))
    (folder / "image").symlink_to(Path(UNDER, "image"))
    run(["sync", "--file-system", folder])
    return name


def make_current(state: State, name: str) -> None:
    """Write to that layer from now on; whoever reads the link sees the one or the other."""
    fresh = state.current.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(Path(state.layers.name, name))
    fresh.replace(state.current)
    run(["sync", state.folder])


def disks(folder: Path) -> list[Path]:
    """A layer's files of the machine's disks, the system's first."""
    return [folder / "root.qcow2", *sorted(folder.glob("disk-*"))]


def disk_format(file: Path) -> str:
    """What qemu calls a disk file's format."""
    return file.suffix.removeprefix(".")


def disk_size(file: Path) -> int:
    """Bytes that the machine sees."""
    if file.suffix == ".raw":
        return file.stat().st_size
    told = run(["qemu-img", "info", "--output=json", file])
    return int(json.loads(told)["virtual-size"])


def drop_unneeded(state: State, kept: Iterable[str]) -> None:
    """Remove the layers that neither a layer of `kept` nor the current one lies over."""
    needed = {each for top in [current(state), *kept] for each in _down(state, top)}
    if UNLAYERED not in needed:
        for file in disks(state.folder):
            file.unlink(missing_ok=True)
        remove_tree(state.folder / "image")
    for folder in state.layers.glob("*"):
        if folder.name not in needed:
            remove_tree(folder)


def _down(state: State, name: str) -> Iterator[str]:
    """A layer, and all that it lies over."""
    while True:
        yield name
        under = state.layers / name / UNDER
        if name == UNLAYERED or not under.is_symlink():
            return
        name = under.readlink().name


def _new_name() -> str:
    return os.urandom(ID_BYTES).hex()
