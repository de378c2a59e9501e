"""What the lab machine has written, in layers that lie one over another.

Owns their folders: which one is written to, what each lies over, and that one goes when nothing
needs it. What the machine reads in the layers below the current one never changes again. Leaves
which moment a layer is to `snapshots`, and what stands in the lowest one to `machine`.

A folder has a file per disk and two links: `under`, the layer it lies over, and `image`, what the
lowest one lies on. Files name each other from their own folder, so that the project can be moved.
"""

import json
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

from artefacts import run, step
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
    # Straight: Linux follows 40 links at most (path_resolution(7)), and layers may be more.
    *_, lowest = _down(state, below)
    (folder / "image").symlink_to(Path("..", lowest, "image"))
    run(["sync", "--file-system", folder])
    return name


def make_current(state: State, name: str) -> None:
    """Write to that layer from now on; whoever reads the link sees the one or the other."""
    _link(state.current, Path(state.layers.name, name))


def depth(state: State) -> int:
    """How many layers the machine reads through."""
    return sum(1 for _ in _down(state, current(state)))


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


def merge(state: State, kept: Iterable[str]) -> None:
    """Bring each layer that no snapshot is of into the one that lies over it; the machine is off.

    One that several lie over stays, as does the lowest. Who is killed here can merge again: until
    a disk's head names another file below, it reads the same with what was copied into it already.
    """
    below = [_below(state, folder.name) for folder in state.layers.glob("*")]
    shared = {name for name, count in Counter(below).items() if name and count > 1}
    stay = {current(state), *kept} | shared
    pairs = []
    for name in stay:
        _, *lower = _down(state, name)
        if not lower:
            continue
        wanted = next((each for each in lower if each in stay), lower[-1])
        if wanted != lower[0]:
            pairs.append((name, wanted))
    if pairs:
        with step("merging the disks of snapshots that are gone"):
            for name, wanted in pairs:
                _lay_over(state, name, wanted)
        drop_unneeded(state, kept)


def _lay_over(state: State, name: str, below: str) -> None:
    """Let a layer lie over another one of those below it, and read as before."""
    folder = state.layers / name
    for file, under in zip(disks(folder), disks(state.layers / below), strict=True):
        run(["qemu-img", "rebase", "-q", "-f", "qcow2", "-F", disk_format(under),
             "-b", Path("..", below, under.name), file])  # fmt: skip
    run(["sync", "--file-system", folder])
    _link(folder / UNDER, Path("..", below))


def _link(link: Path, target: Path) -> None:
    """Let a link lead elsewhere, for good; whoever follows it gets to the one or the other."""
    fresh = link.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
    run(["sync", link.parent])


def _below(state: State, name: str) -> str | None:
    """The layer that one lies over."""
    under = state.layers / name / UNDER
    return under.readlink().name if name != UNLAYERED and under.is_symlink() else None


def _down(state: State, name: str) -> Iterator[str]:
    """A layer, and all that it lies over."""
    below: str | None = name
    while below:
        yield below
        below = _below(state, below)


def _new_name() -> str:
    return os.urandom(ID_BYTES).hex()
