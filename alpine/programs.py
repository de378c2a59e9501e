"""Go programs that go into role images, next to what Alpine and Debian have packages of.

Owns which programs there are, by the names that the lists `programs` under `guest/` use, and
what they are built from. Leaves building to `artefacts.golang`, and laying them into an image
to `image`.

Consul is built here because some things have no option (`go/consul/patches`). Raft's leader
sends each follower an AppendEntries every CommitTimeout, 10 to 20 a second, and each exchange
costs an emulated guest 25 to 50 ms of CPU; autopilot asks each server for its health every
ServerHealthInterval. It is 1.14, MPL-2.0 with all it needs: docs/decisions/0008-consul.md.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from artefacts import golang

ALPINE = Path(__file__).parent
PATCHES = "patches"
"""Beside a module's go.mod, if dependencies are patched: `MODULE/NNNN-what.patch`."""


@dataclass(frozen=True)
class Program:
    """The folder of the module that it is built in, and its package."""

    folder: Path
    package: str = "."

    def patches(self) -> tuple[golang.Patch, ...]:
        return golang.patches_below(self.folder / PATCHES)


PROGRAMS = {
    "consul": Program(ALPINE / "go/consul", "github.com/hashicorp/consul"),
    "control-plane": Program(ALPINE.parent / "controlplane", "./cmd/control-plane"),
}


@cache  # a preview asks once for each machine
def key(name: str) -> str:
    """The program's key, known without building it.

    Raises:
        KeyError: there is no such program.
    """
    wanted = PROGRAMS[name]
    return golang.program_key(wanted.folder, wanted.package, patches=wanted.patches())


def build(name: str) -> Path:
    """The program, built unless the cache has it.

    Raises:
        KeyError: there is no such program.
        LabError: Go is missing, a module can't be fetched, or the build fails.
    """
    wanted = PROGRAMS[name]
    return golang.program(wanted.folder, name, wanted.package, patches=wanted.patches())
