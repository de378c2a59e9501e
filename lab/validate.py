"""Whether topologies can be used, without a machine and without a file written.

Owns which files are meant and what is said of each. Leaves the rules to `config`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from config import stacks
from config.bill import bill, summary
from config.checks import Hardware
from config.errors import ConfigError
from config.labmachine import load_labmachine
from config.load import FOLDER, load_topology
from config.settings import VIRTUAL


@dataclass(frozen=True)
class Verdict:
    """What is said of a file; `wrong`: it can't be used."""

    text: str
    wrong: bool

    def __str__(self) -> str:
        return self.text


def validate(stack: str, files: Sequence[Path]) -> Iterator[Verdict]:
    """Check files as topologies of a stack; without any the stack's own.

    Where the stack's lab machine is the virtual one, they must also fit it.

    Raises:
        ConfigError: there is no such stack, or config/labmachine.yaml is wrong.
    """
    option = stacks.options(stack)
    hardware = None
    if (option("machine") or VIRTUAL) == VIRTUAL:
        virtual = load_labmachine()
        hardware = Hardware(virtual.memory, dict(virtual.disks))
    for file in files or [FOLDER / f"{option('topology') or stack}.yaml"]:
        try:
            found = bill(load_topology(file, stack, hardware))
        except ConfigError as error:
            yield Verdict(str(error), wrong=True)
        else:
            memory = hardware.memory if hardware else None
            yield Verdict(f"{file.name} can be used: {summary(found, memory)}", wrong=False)
