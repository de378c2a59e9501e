"""From a topology file to a validated rack.

Owns reading the file and gathering every problem in one error. Leaves the rules to
`topology` and `checks`.
"""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from config import checks, topology
from config.errors import ConfigError, Problem, from_pydantic
from config.topology import Topology

FOLDER = Path(__file__).resolve().parent


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys; two machines with one name must be an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the name {key!r} stands twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)


def read_yaml(path: Path) -> Any:
    """The file's data.

    Raises:
        ConfigError: when it isn't there, isn't YAML, or has a key twice.
    """
    try:
        return yaml.load(path.read_text(), Loader=_UniqueKeys)  # noqa: S506 (a SafeLoader)
    except FileNotFoundError as error:
        there = ", ".join(sorted(each.stem for each in FOLDER.glob("*.yaml")))
        rule, remedy = "a topology is a file in config/", f"choose one of: {there}"
        raise ConfigError(path.name, [Problem("file", path.name, rule, remedy)]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "whole file"
        what = getattr(error, "problem", None) or "unreadable"
        problem = Problem(where, what, "valid YAML, each name once", "correct that line")
        raise ConfigError(path.name, [problem]) from error


def load_topology(path: Path, stack: str, hardware: checks.Hardware | None = None) -> Topology:
    """Read and check a topology whole; with `hardware` also that it fits.

    Raises:
        ConfigError: with every problem found.
    """
    data = read_yaml(path)
    try:
        rack = Topology.model_validate(data)
    except ValidationError as error:
        raise from_pydantic(path.name, error, _known_keys()) from error
    found = list(checks.problems(stack, rack))
    if not found and hardware is not None:
        found = list(checks.misfits(rack, hardware))
    if found:
        raise ConfigError(path.name, found)
    return rack


def _known_keys() -> list[str]:
    models = [value for value in vars(topology).values() if isinstance(value, type)]
    known = {key for model in models for key in getattr(model, "model_fields", {})}
    return sorted(known)
