"""docs/topology.md, made of the schema's own descriptions; `make topology-docs` writes it anew.

Owns the page's order and words around the keys. Leaves keys and what they mean to `topology`,
least sizes to `checksizes`.
"""

import inspect
import textwrap
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from config import schema, topology
from config.checksizes import (
    CONSUL_VOLUME,
    LEAST_DISK,
    LEAST_MEMORY,
    LEAST_STICK,
    LEAST_VOLUME,
    MOVED,
)
from config.load import FOLDER
from config.netem import Netem
from config.topology import Array, Container, Guest, Machine, Network, Node, Server, Topology
from config.units import format_size

FILE = FOLDER.parent / "docs" / "topology.md"
WIDTH = 100
INTRO = """\
# Topologies

A topology is a file in `config/`; a stack names its own (`lab:topology` in `Pulumi.STACK.yaml`).
This page is made of the schema's descriptions (`make topology-docs`).

    lab new NAME [--from BASE]     an experiment: a topology that extends another, and its stack
    lab validate [FILE...]         checks files, or the stack's topology; contacts nothing
    lab report                     what it makes of names and numbers;  lab diagram: a picture

Files are YAML 1.2 in UTF-8: `no` and `1:30` are texts, numbers are plain decimal ones. Anchors,
aliases and `<<` work within limits (512 KiB, 50,000 values, 16 levels). A name is a lower-case
letter, then letters, digits or dashes, at most 15 in all; a stack's has at most 27.

With `extends: NAME` a file has the changed keys only: a mapping changes the keys it names, null
removes one, all else replaces what is there. Editors that speak to yaml-language-server read
`config/topology.schema.json`, which a file's first line names:
`# yaml-language-server: $schema=topology.schema.json`.
"""
SIZES = """\
## Least sizes

The least memory is what a machine of that role was seen to run with (docs/status.md).
"""
ENTRIES: Mapping[str, type[BaseModel]] = {
    "The file": Topology,
    "`array`": Array,
    "`networks.NAME`": Network,
    "`netem`: a bad line": Netem,
    "`machines.NAME`": Machine,
    "First-level machines": Node,
    "Servers: first-level machines but the boot server": Server,
    "Guests: second-level machines": Guest,
}
LEVELS = {Server: "server", Node: "first-level machine", Guest: "guest"}
SHARED = (Machine, Node, Server, Guest)  # their keys are told once


def text() -> str:
    """The page."""
    entries = dict(ENTRIES)
    for role, kind in topology.roles().items():
        level = next(word for base, word in LEVELS.items() if issubclass(kind, base))
        entries[f"Role `{role}`, a {level}"] = kind
    entries["`containers.NAME`"] = Container
    sections = [_section(title, model) for title, model in entries.items()]
    return "\n".join([INTRO, *sections, SIZES, *_least()])


def _section(title: str, model: type[BaseModel]) -> str:
    """A model's description and its own keys."""
    found = model.model_json_schema()
    about = textwrap.fill(inspect.cleandoc(model.__doc__ or "").replace("\n\n", " "), WIDTH)
    bases = [base for base in SHARED if issubclass(model, base) and model is not base]
    told = {key for base in bases for key in base.model_fields}
    keys = [key for key in model.model_fields if key not in told]
    if model in SHARED:
        keys = [key for key in model.__annotations__ if key in model.model_fields]
    items = []
    for key in keys:
        entry = found["properties"][key]
        needed = ", required" if key in found.get("required", []) else ""
        items.append(_item(f"`{key}` ({_kind(entry)}{needed}): {entry['description']}"))
    return "\n".join([f"## {title}", "", about, *([""] if items else []), *items, ""])


def _kind(of: dict[str, Any]) -> str:
    """A value's kind in words."""
    if "anyOf" in of:
        return " or ".join(_kind(each) for each in of["anyOf"] if each.get("type") != "null")
    if "enum" in of:
        return "one of " + ", ".join(str(each) for each in of["enum"])
    if "examples" in of:
        return f"e.g. `{of['examples'][0]}`"
    if "minimum" in of:
        return f"{of['minimum']} to {of['maximum']}"
    kinds = {"array": "list", "object": "mapping", "string": "text"}
    return kinds.get(of.get("type", "object"), "mapping")


def _least() -> Iterator[str]:
    memory = ", ".join(f"{role} {format_size(size)}" for role, size in LEAST_MEMORY.items())
    yield _item(f"memory: {memory}; a node's guests take theirs, and some more, of it")
    for what, size in (
        ("a stick", LEAST_STICK),
        ("a storage node's disk", LEAST_DISK),
        ("a volume", LEAST_VOLUME),
        ("a consul server's volume", CONSUL_VOLUME),
        ("the volume of a boot server that moves", MOVED),
    ):
        yield _item(f"{what}: {format_size(size)}")
    yield ""


def _item(text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent="- ", subsequent_indent="  ")


def write() -> Iterator[str]:
    """Write the page and the schema; the files' names."""
    for file, content in ((FILE, text()), (schema.FILE, schema.text())):
        file.write_text(content)
        yield str(file.relative_to(FOLDER.parent))


if __name__ == "__main__":
    print(*write(), sep="\n")
