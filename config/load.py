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


def shipped() -> list[str]:
    """The topologies in config/ by name, sorted."""
    return sorted({each.stem for each in FOLDER.glob("*.yaml")} - {"labmachine"})


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML keeps the last of two equal keys; two machines with one name must be an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue  # "<<": what stands beside it goes before what it brings in
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
        there = ", ".join(shipped())
        rule, remedy = "a topology is a file in config/", f"choose one of: {there}"
        raise ConfigError(path.name, [Problem("file", path.name, rule, remedy)]) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "whole file"
        what = getattr(error, "problem", None) or "unreadable"
        problem = Problem(where, what, "valid YAML, each name once", "correct that line")
        raise ConfigError(path.name, [problem]) from error


def read_topology(path: Path) -> Any:
    """A topology file's data; with `extends: NAME` laid over config/NAME.yaml.

    A mapping changes the keys it names, null removes a key, all else replaces what is there.

    Raises:
        ConfigError: as `read_yaml`, and when files extend one another in a circle.
    """
    layers: list[Any] = []
    seen = [path]
    data = read_yaml(path)
    while isinstance(data, dict) and "extends" in data:
        layers.append(data)
        base = FOLDER / f"{data.pop('extends')}.yaml"
        if base in seen:
            way = " extends ".join(each.stem for each in [*seen, base])
            problem = Problem("extends", base.stem, f"no circle: {way}", "extend another rack")
            raise ConfigError(path.name, [problem])
        seen.append(base)
        data = read_yaml(base)
    for layer in reversed(layers):
        data = _laid_over(data, layer)
    return data


def _laid_over(base: Any, change: Any) -> Any:
    if not (isinstance(base, dict) and isinstance(change, dict)):
        return change
    merged = base | {key: _laid_over(base.get(key), value) for key, value in change.items()}
    return {key: value for key, value in merged.items() if value is not None}


def load_topology(path: Path, stack: str, hardware: checks.Hardware | None = None) -> Topology:
    """Read and check a topology whole; with `hardware` also that it fits.

    Raises:
        ConfigError: with every problem found.
    """
    data = read_topology(path)
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
