"""All stacks of this folder: what each extends, whether it is raised, where, since when.

Owns putting that together from settings files, topologies and Pulumi's state. Leaves looking at the
lab machine itself to `survey`.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from config import bill, stacks
from config.access import LabMachine
from config.errors import ConfigError
from config.load import FOLDER, load_topology, read_yaml
from config.settings import VIRTUAL, machine_of
from lab import pulumi_cli, runs
from lab.pulumi_cli import Known

MOST_LAYERS = 20  # a longer chain of `extends` is a circle, which loading it tells


@dataclass(frozen=True)
class Row:
    """One stack. `extends`: topologies, its own first; `memory`: bytes; `since`: ISO 8601 or "".

    `problem`: why its settings, topology or state can't be used, if they can't.
    """

    stack: str
    extends: tuple[str, ...]
    machine: str
    memory: int
    raised: bool
    since: str
    problem: str = ""


def rows() -> Iterator[Row]:
    """Every stack that has a settings file or a state, by name.

    Raises:
        LabError: Pulumi's backend can't be asked.
    """
    there = pulumi_cli.stacks()
    for stack in sorted({*stacks.known(), *there}):
        yield _row(stack, there.get(stack, Known(0, "")))


def raised() -> dict[str, str]:
    """The stacks that have a rack by Pulumi's state, with the lab machine each names.

    Raises:
        LabError: Pulumi's backend can't be asked.
    """
    return {stack: _machine(stack) for stack, each in pulumi_cli.stacks().items() if each.raised}


def raised_on_virtual() -> list[str]:
    """The stacks that have a rack on the virtual lab machine by Pulumi's state.

    Raises:
        LabError: Pulumi's backend can't be asked.
    """
    return [stack for stack, where in raised().items() if where == VIRTUAL]


def under_way_on_virtual() -> list[str]:
    """The stacks with a run under way, whose lab machine is the virtual one."""
    return [each for each in stacks.known() if _machine(each) == VIRTUAL and runs.holder(each)]


def _machine(stack: str) -> str:
    try:
        return machine_of(stacks.options(stack))
    except ConfigError:
        return "?"


def _row(stack: str, known: Known) -> Row:
    since = _since(stack) if known.raised and not known.problem else ""
    try:
        option = stacks.options(stack)
        name = option("topology") or stack
        topology = load_topology(FOLDER / f"{name}.yaml", stack)
    except ConfigError as error:
        told = _told(error)
        if not stacks.is_there(stack):
            told = f"Pulumi has a state of it, and Pulumi.{stack}.yaml is gone; " + (
                "write that and its topology again" if known.raised
                else f"to forget it: pulumi stack rm {stack}"
            )  # fmt: skip
        return Row(stack, (), _machine(stack), 0, known.raised, since, told)
    memory = bill.bill(topology).memory
    machine = machine_of(option)
    wrong = known.problem or _machine_problem(machine, stack)
    layers = tuple(_layers(name))
    return Row(stack, layers, machine, memory, known.raised, since, wrong)


def _machine_problem(machine: str, stack: str) -> str:
    try:
        if machine != VIRTUAL:
            LabMachine.parse(machine, stack)
    except ConfigError as error:
        return _told(error)
    return ""


def _told(error: ConfigError) -> str:
    return f"{error.problems[0].key}: {error.problems[0].rule}"


def _layers(name: str | None) -> Iterator[str]:
    for _ in range(MOST_LAYERS):
        if name is None:
            return
        yield name
        data = read_yaml(FOLDER / f"{name}.yaml")
        name = data.get("extends") if isinstance(data, dict) else None


def _since(stack: str) -> str:
    """When the first of its resources was made."""
    resources: list[dict[str, Any]] = pulumi_cli.state(stack).get("resources") or []
    return min((each["created"] for each in resources if each.get("created")), default="")
