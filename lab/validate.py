"""Whether topologies, and the virtual lab machine's settings, can be used.

Contacts no machine and writes no file. Owns which files are meant and what is said of each. Leaves
the rules to `config`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config import stacks
from config.bill import bill, summary
from config.checks import Hardware
from config.errors import ConfigError
from config.labmachine import FILE as LAB_MACHINE_FILE
from config.labmachine import load_labmachine
from config.load import FOLDER, load_topology
from config.settings import VIRTUAL, machine_of
from config.units import format_size


@dataclass(frozen=True)
class Verdict:
    """What is said of a file; `wrong`: it can't be used."""

    text: str
    wrong: bool

    def __str__(self) -> str:
        return self.text


def validate(stack: str, files: Sequence[Path]) -> Iterator[Verdict]:
    """Check files as topologies of a stack; without any the stack's own.

    A labmachine.yaml is checked as the virtual lab machine's settings. Where the stack's lab
    machine is the virtual one, the topologies must also fit it.

    Raises:
        ConfigError: there is no such stack, or config/labmachine.yaml is wrong.
    """
    option = stacks.options(stack)
    hardware = None
    if machine_of(option) == VIRTUAL:
        virtual = load_labmachine()
        hardware = Hardware(virtual.memory, dict(virtual.disks))
    own = FOLDER / f"{option('topology') or stack}.yaml"
    for file in files or [own]:
        try:
            if files and file.name == LAB_MACHINE_FILE.name and file.exists():
                found = _hardware(file)
            else:
                found = _rack(file, stack, hardware)
        except ConfigError as error:
            yield Verdict(str(error), wrong=True)
        else:
            yield Verdict(f"{file.name} can be used: {found}", wrong=False)


def _hardware(file: Path) -> str:
    """What the virtual lab machine's settings give it."""
    virtual = load_labmachine(own=file)
    memory, disks = format_size(virtual.memory), ", ".join(virtual.disks)
    cores = f"{virtual.cores} cores" if virtual.cores else "as many cores as it is best with"
    return f"{cores}, {memory} of memory, disks {disks}"


def _rack(file: Path, stack: str, hardware: Hardware | None) -> str:
    """What a topology takes."""
    taken = bill(load_topology(file, stack, hardware))
    return summary(taken, hardware.memory if hardware else None)
