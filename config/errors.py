"""The one shape of a configuration error: key, value, rule, remedy.

Owns how a problem is told to a person, pydantic's own findings included. Leaves finding
problems to the models and checks.
"""

import difflib
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
        return (
            f"{self.key}: {self.value}{place}\n    rule:   {self.rule}\n    remedy: {self.remedy}"
        )


class ConfigError(ValueError):
    """The configuration can't be used; nothing was created. Holds every problem found."""

    def __init__(self, source: str, problems: Iterable[Problem]) -> None:
        self.source = source
        self.problems = tuple(dict.fromkeys(problems))
        shown = [f"  {problem}" for problem in self.problems[:MOST_SHOWN]]
        left = len(self.problems) - len(shown)
        if left > 0:
            shown.append(f"  … and {left} more")
        super().__init__("\n".join([f"{source} can't be used, nothing was created:", *shown]))


def from_pydantic(
    source: str, error: ValidationError, known_keys: Sequence[str] = ()
) -> ConfigError:
    """Translate pydantic's findings; unknown keys get the nearest known one as remedy."""
    problems = []
    for finding in error.errors(include_url=False):
        key = _key(finding["loc"])
        rule, remedy = _explain(finding["type"], finding["msg"], finding.get("ctx", {}))
        value: Any = finding["input"]
        if finding["type"] == "union_tag_invalid":
            value = value.get("role")
        if finding["type"] == "extra_forbidden":
            name = str(finding["loc"][-1])
            near = difflib.get_close_matches(name, known_keys, n=1)
            remedy = f"did you mean {near[0]!r}?" if near else "remove it"
        elif finding["type"] == "missing":
            value = "(missing)"
        problems.append(Problem(key, _short(value), rule, remedy))
    return ConfigError(source, problems)


def _short(value: object) -> str:
    """On one line, and without a look at all of a large value."""
    plain = isinstance(value, str) and value.isprintable()
    text = str(value) if plain else reprlib.repr(value)
    return text if len(text) <= MOST_VALUE else f"{text[:MOST_VALUE]}…"


def _key(location: tuple[int | str, ...]) -> str:
    """The dotted key; of a machine without the role, by which pydantic tells its kind."""
    parts = [str(part) for part in location if part != "[key]"]
    if parts[:1] == ["machines"]:
        del parts[2:3]
    return ".".join(parts) or "(whole file)"


def _explain(kind: str, message: str, context: dict[str, Any]) -> tuple[str, str]:
    if kind == "extra_forbidden":
        return "only known keys are allowed", ""
    if kind == "missing":
        return "this key is required", "add it; config/mini.yaml shows an example"
    if kind == "union_tag_invalid":
        return f"one of {context.get('expected_tags')}", "choose one of these"
    if kind == "union_tag_not_found":
        return "every machine has a role", "add `role:`; config/mini.yaml shows an example"
    if kind == "ip_v4_network":
        return "an IPv4 network without host bits", "write it as a.b.c.0/24"
    rule, _, remedy = message.removeprefix("Value error, ").partition("; ")
    return rule, remedy or "correct the value; config/mini.yaml shows an example"
