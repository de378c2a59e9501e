"""What a JSON schema (draft 7) says of data, for the keywords that this project's has.

A keyword it doesn't know is an error: none is passed over.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

SILENT = {"$schema", "$defs", "description", "default", "examples", "discriminator", "then", "else"}
INNER = {"items", "properties", "patternProperties", "additionalProperties", "propertyNames"}
TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda data: isinstance(data, dict),
    "array": lambda data: isinstance(data, list),
    "string": lambda data: isinstance(data, str),
    "integer": lambda data: isinstance(data, int) and not isinstance(data, bool),
    "null": lambda data: data is None,
}
SIMPLE: dict[str, Callable[[Any, Any], bool]] = {
    "type": lambda data, wanted: TYPES[wanted](data),
    "enum": lambda data, wanted: any(data == each and type(data) is type(each) for each in wanted),
    "const": lambda data, wanted: bool(data == wanted),
    "pattern": lambda data, wanted: not isinstance(data, str) or bool(re.search(wanted, data)),
    "minimum": lambda data, wanted: not isinstance(data, int) or data >= wanted,
    "maximum": lambda data, wanted: not isinstance(data, int) or data <= wanted,
    "maxLength": lambda data, wanted: not isinstance(data, str) or len(data) <= wanted,
    "minItems": lambda data, wanted: not isinstance(data, list) or len(data) >= wanted,
    "maxItems": lambda data, wanted: not isinstance(data, list) or len(data) <= wanted,
    "minProperties": lambda data, wanted: not isinstance(data, dict) or len(data) >= wanted,
    "required": lambda data, wanted: not isinstance(data, dict) or set(wanted) <= set(data),
}  # fmt: skip


def refusals(schema: dict[str, Any], data: Any, whole: dict[str, Any], key: str = "") -> list[str]:
    """What the schema, a part of `whole`, refuses of data whose names are texts."""
    return list(_refusals(schema, data, whole, key))


def _refusals(schema: Any, data: Any, whole: dict[str, Any], key: str) -> Iterator[str]:
    for word, wanted in schema.items():
        match word:
            case "$ref":
                yield from _refusals(whole["$defs"][wanted.rpartition("/")[2]], data, whole, key)
            case "anyOf" | "oneOf":
                fitting = [each for each in wanted if not refusals(each, data, whole, key)]
                if not fitting or (word == "oneOf" and len(fitting) > 1):
                    yield f"{key}: {len(fitting)} of {word}"
            case "if":
                branch = "else" if refusals(wanted, data, whole, key) else "then"
                yield from _refusals(schema[branch], data, whole, key)
            case _ if word in SIMPLE:
                if not SIMPLE[word](data, wanted):
                    yield f"{key}: {word} {wanted}"
            case _:
                assert word in SILENT or word in INNER, word
    for part, inner, place in _parts(schema, data):
        if part is False:
            yield f"{key}{place}: no such key"
        elif isinstance(part, dict):
            yield from _refusals(part, inner, whole, f"{key}{place}")


def _parts(schema: dict[str, Any], data: Any) -> Iterator[tuple[Any, Any, str]]:
    """The schemas of what data holds, each with that and its place."""
    for index, each in enumerate(data if isinstance(data, list) else ()):
        yield schema.get("items", True), each, f".{index}"
    for name, value in data.items() if isinstance(data, dict) else ():
        yield schema.get("propertyNames", True), name, f".{name} (name)"
        for part in _of_property(schema, name):
            yield part, value, f".{name}"


def _of_property(schema: dict[str, Any], name: str) -> list[Any]:
    """The schemas of a property; the additional one where there is no other."""
    found = [schema["properties"][name]] if name in schema.get("properties", {}) else []
    patterns = schema.get("patternProperties", {}).items()
    found += [each for pattern, each in patterns if re.search(pattern, name)]
    return found or [schema.get("additionalProperties", True)]


def named(data: Any) -> Any:
    """With texts as names, as JSON has them."""
    if isinstance(data, dict):
        return {str(key): named(value) for key, value in data.items()}
    return [named(each) for each in data] if isinstance(data, list) else data
