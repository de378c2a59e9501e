"""From a topology file to a validated rack.

Owns how one file extends another, and gathering every problem in one error with the line it
stands in. Leaves YAML to `document`, the rules to `topology` and `checks`.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config import checks, topology
from config.document import read_document, topologies
from config.errors import ConfigError, Problem, from_pydantic, shown
from config.topology import Topology

FOLDER = Path(__file__).resolve().parent


def shipped() -> list[str]:
    """The topologies in config/ by name, sorted."""
    return topologies(FOLDER)


@dataclass(frozen=True)
class _Layers:
    """Files laid over one another: the data, and where each key of it stands, by dotted key."""

    data: Any
    places: Mapping[str, tuple[str, int]]


def read_yaml(path: Path) -> Any:
    """A file's data.

    Raises:
        ConfigError: as `read_document`.
    """
    return read_document(path).data


def read_topology(path: Path) -> Any:
    """A topology file's data; with `extends: NAME` laid over config/NAME.yaml.

    A mapping changes the keys it names, null removes a key, all else replaces what is there.

    Raises:
        ConfigError: as `read_yaml`; when files extend one another in a circle, or null removes
            nothing.
    """
    return _read_layers(path, ()).data


def _read_layers(path: Path, above: tuple[Path, ...]) -> _Layers:
    document = read_document(path)
    places = {key: (path.name, line) for key, line in document.lines.items()}
    data = document.data
    if not (isinstance(data, dict) and "extends" in data):
        return _Layers(data, places)
    base_path = _base(path, data["extends"], (*above, path.resolve()), places)
    base = _read_layers(base_path, (*above, path.resolve()))
    changes = {key: value for key, value in data.items() if key != "extends"}
    merged = dict(base.places)
    found: list[Problem] = []
    whole = _laid_over(base.data, changes, "", merged, found)
    merged.update(places)
    if found:
        raise ConfigError(path.name, located(path.name, found, places))
    return _Layers(whole, merged)


def _base(
    path: Path, name: object, above: tuple[Path, ...], places: Mapping[str, tuple[str, int]]
) -> Path:
    problem = None
    base = FOLDER / f"{name}.yaml"
    if not (isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name)):
        remedy = f"choose one of: {', '.join(shipped())}"
        problem = Problem("extends", shown(name), "the name of a topology in config/", remedy)
    elif base.resolve() in above:
        way = " extends ".join(each.stem for each in [*above, base])
        problem = Problem("extends", name, f"no circle: {way}", "extend another rack")
    elif name not in shipped():
        near = difflib.get_close_matches(name, shipped(), n=1) or shipped()
        remedy = f"choose one of: {', '.join(near)}"
        problem = Problem("extends", name, "the name of a topology in config/", remedy)
    if problem:
        raise ConfigError(path.name, located(path.name, [problem], places))
    return base


def _laid_over(
    base: Any, change: Any, key: str, places: dict[str, tuple[str, int]], found: list[Problem]
) -> Any:
    """`places` loses what `change` replaces; `found` gets what removes nothing."""
    if not (isinstance(base, dict) and isinstance(change, dict)):
        if isinstance(base, dict | list):
            for gone in [each for each in places if each.startswith(f"{key}.")]:
                del places[gone]
        return change
    merged = dict(base)
    for name, value in change.items():
        where = f"{key}.{name}" if key else str(name)
        if value is not None:
            merged[name] = _laid_over(base.get(name), value, where, places, found)
        elif name in base:
            del merged[name]
        else:
            there = difflib.get_close_matches(str(name), map(str, base), n=1) or map(str, base)
            rule, remedy = "null removes a key, and there is none", f"there is: {', '.join(there)}"
            found.append(Problem(where, "null", rule, remedy))
    return merged


def load_topology(path: Path, stack: str, hardware: checks.Hardware | None = None) -> Topology:
    """Read and check a topology whole; with `hardware` also that it fits.

    Raises:
        ConfigError: with every problem found.
    """
    layers = _read_layers(path, ())
    try:
        rack = Topology.model_validate(layers.data)
    except ValidationError as error:
        wrong = from_pydantic(path.name, error, _known_keys()).problems
        raise ConfigError(path.name, located(path.name, wrong, layers.places)) from error
    found = list(checks.problems(stack, rack))
    if not found and hardware is not None:
        found = list(checks.misfits(rack, hardware))
    if found:
        raise ConfigError(path.name, located(path.name, found, layers.places))
    return rack


def located(
    source: str, found: Iterable[Problem], places: Mapping[str, tuple[str, int]]
) -> Iterable[Problem]:
    """Each problem with the line of its key, or of what its key stands in.

    `places`: file and line by dotted key; the file is named where it isn't `source`.
    """
    for problem in found:
        key = problem.key
        while key and key not in places:
            key = key.rpartition(".")[0]
        file, line = places.get(key, ("", 0))
        where = f"line {line}" if file == source else f"{file}, line {line}"
        yield replace(problem, where=where) if file else problem


def _known_keys() -> list[str]:
    models = [value for value in vars(topology).values() if isinstance(value, type)]
    known = {key for model in models for key in getattr(model, "model_fields", {})}
    return sorted(known)
