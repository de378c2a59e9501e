"""The JSON schema of topology files, for editors (yaml-language-server).

Owns what a file that extends another may leave out. Leaves keys, types and descriptions to
`topology`, and rules across entries to `checks`: `lab validate` knows them all.
"""

import json
from typing import Any

from config.load import FOLDER
from config.topology import Topology

FILE = FOLDER / "topology.schema.json"
# A topology's first line.
COMMENT = "# yaml-language-server: $schema=topology.schema.json"
CHANGES = "Changes"
Schema = dict[str, Any]


def schema() -> Schema:
    """The schema (json-schema.org, draft 7): of a whole rack, or of changes with `extends`."""
    whole = _tidy(Topology.model_json_schema())
    definitions = whole.pop("$defs")
    changes = _changes(whole, definitions)
    changes["properties"]["extends"] = {
        "type": "string",
        "description": "The topology in config/ of which this file changes keys; null removes one.",
    }
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "if": {"required": ["extends"]},
        "then": changes | {"required": ["extends"]},
        "else": whole,
        "$defs": definitions,
    }


def _tidy(of: Any) -> Any:
    """Without pydantic's titles, which say what the keys say; other names are no keys."""
    if isinstance(of, list):
        return [_tidy(each) for each in of]
    if not isinstance(of, dict):
        return of
    tidy = {
        key: _tidy(value)
        for key, value in of.items()
        if not isinstance(value, str) or key != "title"
    }
    return tidy | {"additionalProperties": False} if "patternProperties" in tidy else tidy


def _changes(of: Schema, definitions: Schema) -> Schema:
    """What may stand for an entry in a file that changes it: any of its keys."""
    if "$ref" in of:
        return _changes(definitions[of["$ref"].rpartition("/")[2]], definitions)
    if "discriminator" in of:  # a machine whose role isn't told may have the keys of any
        roles = [_changes(each, definitions) for each in of["oneOf"]]
        keys = dict.fromkeys(key for role in roles for key in role["properties"])
        merged = {
            key: _any([role["properties"][key] for role in roles if key in role["properties"]])
            for key in keys
        }
        return {"type": "object", "additionalProperties": False, "properties": merged}
    if "anyOf" in of:
        return of | {"anyOf": [_changes(each, definitions) for each in of["anyOf"]]}
    if of.get("type") != "object":
        return of
    changed = {key: value for key, value in of.items() if key not in ("required", "minProperties")}
    if "properties" in of:
        changed["properties"] = {
            key: _removable(value, definitions) for key, value in of["properties"].items()
        }
    if isinstance(of.get("additionalProperties"), dict):
        changed["additionalProperties"] = _removable(of["additionalProperties"], definitions)
    if "patternProperties" in of:
        changed["patternProperties"] = {
            key: _removable(value, definitions) for key, value in of["patternProperties"].items()
        }
    return changed


def _removable(of: Schema, definitions: Schema) -> Schema:
    inner = _changes(of, definitions)
    about = {key: of[key] for key in ("description",) if key in of}
    return _any([inner, {"type": "null"}]) | about


def _any(choices: list[Schema]) -> Schema:
    """One of several, each once."""
    flat = [each for choice in choices for each in choice.get("anyOf", [choice])]
    unique = {json.dumps(each, sort_keys=True): each for each in flat}
    about = {key: choice[key] for choice in choices for key in ("description",) if key in choice}
    return {"anyOf": list(unique.values())} | about


def text() -> str:
    """The file's content."""
    return json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
