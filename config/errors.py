"""The one shape of a configuration error: key, value, rule, remedy.

Owns how a problem is told to a person, pydantic's own findings included. Leaves finding
problems to the models and checks.
"""

import difflib
import json
import reprlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

MOST_SHOWN = 6  # a one-screen error
MOST_VALUE = 60  # characters of a wrong value


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong: where, what stands there, the rule it breaks, what to do.

    `where`: the line of the key, if it is known.
    """

    key: str
    value: str | int
    rule: str
    remedy: str
    where: str = ""

    def __str__(self) -> str:
        place = f" ({self.where})" if self.where else ""
        value = "(empty)" if self.value == "" else self.value
        return f"{self.key}: {value}{place}\n    rule:   {self.rule}\n    remedy: {self.remedy}"


class ConfigError(ValueError):
    """The configuration can't be used; nothing was created. Holds every problem found."""

    outcome = "can't be used, nothing was created"

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(dict.fromkeys(problems))
        lines = [f"  {problem}" for problem in self.problems[:MOST_SHOWN]]
        left = len(self.problems) - len(lines)
        if left > 0:
            lines.append(f"  … and {left} more")
        super().__init__("\n".join([f"{source} {self.outcome}:", *lines]))


class Refused(ConfigError):
    """What was asked of a rack can't be done; nothing was changed."""

    outcome = "was refused, nothing was changed"


def from_pydantic(
    source: str, error: ValidationError, known_keys: Sequence[str] = ()
) -> ConfigError:
    """Translate pydantic's findings; unknown keys get the nearest known one as remedy."""
    problems = []
    findings = error.errors(include_url=False)
    inside = {finding["loc"][:-1] for finding in findings}
    for finding in findings:
        if finding["type"] == "too_short" and finding["loc"] in inside:
            continue  # pydantic counts the right ones alone; the wrong ones are told
        key = _key(finding["loc"])
        rule, remedy = _explain(finding["type"], finding["msg"], finding.get("ctx", {}))
        value: Any = finding["input"]
        if finding["type"] == "union_tag_invalid":
            value = value.get("role")
        if finding["type"] == "extra_forbidden":
            name = str(finding["loc"][-1])
            near = difflib.get_close_matches(name, known_keys, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else "remove it"
            if name in known_keys:
                remedy = f"remove it: {name} is a key of other entries (docs/topology.md)"
        elif finding["type"] == "missing":
            value = "(missing)"
        problems.append(Problem(key, shown(value), rule, remedy))
    return ConfigError(source, problems)


class _Flow(reprlib.Repr):
    """A value as YAML's flow style has it: {delay: 40ms, jitter: null}; of a large one a part."""

    def repr_str(self, text: str, _level: int) -> str:
        return text if text.isprintable() else reprlib.repr(text)

    def repr_bool(self, value: bool, _level: int) -> str:
        return json.dumps(value)

    def repr_NoneType(self, value: None, _level: int) -> str:  # noqa: N802 (reprlib's naming)
        return json.dumps(value)


def shown(value: object) -> str:
    """On one line, and without a look at all of a large value."""
    text = _Flow().repr(value)
    return text if len(text) <= MOST_VALUE else f"{text[:MOST_VALUE]}…"


def _key(location: tuple[int | str, ...]) -> str:
    """The dotted key; of a machine without the role, by which pydantic tells its kind."""
    parts = [str(part) for part in location if part != "[key]"]
    if parts[:1] == ["machines"]:
        del parts[2:3]
    return ".".join(parts) or "(whole file)"


# By pydantic's kind of finding the rule and the remedy, of which {…} are in its context.
_EXAMPLE = "docs/topology.md has every key; config/mini.yaml shows an example"
_EXPLAINED = {
    "extra_forbidden": ("only known keys are allowed", ""),
    "missing": ("this key is required", "add it; config/mini.yaml shows an example"),
    "union_tag_invalid": ("one of {expected_tags}", "choose one of these"),
    "union_tag_not_found": (
        "every machine has a role",
        "add `role:`, or correct the machine's name",
    ),
    "literal_error": ("one of {expected}", "choose one of these"),
    "ip_v4_network": (
        "an IPv4 network without host bits or leading zeros",
        "write it as a.b.c.0/24",
    ),
    "model_type": ("a mapping of keys to values", _EXAMPLE),
    "model_attributes_type": ("a mapping of keys to values", _EXAMPLE),
    "dict_type": ("a mapping of names to values", _EXAMPLE),
    "tuple_type": ("a list", "write it like [one, two]"),
    "int_type": ("a whole number", "write the number alone, without quotes"),
    "string_type": ("a text", "if it is one, put it in quotes"),
    "string_too_long": ("at most {max_length} letters", "make it shorter"),
    "too_short": ("at least {min_length} of them", "add one"),
    "too_long": ("at most {max_length} of them", "remove some"),
    "greater_than_equal": ("{ge} or more", "choose a larger one"),
    "less_than_equal": ("{le} or less", "choose a smaller one"),
}


def _explain(kind: str, message: str, context: dict[str, Any]) -> tuple[str, str]:
    if kind in _EXPLAINED:
        rule, remedy = _EXPLAINED[kind]
        return rule.format_map(context), remedy
    rule, _, remedy = message.removeprefix("Value error, ").partition("; ")
    return rule, remedy or _EXAMPLE
