"""An operation of Pulumi on a stack, as its command line names it.

Owns reading that command line: which operation, on which stack, in which folder. Leaves everything
else on it to Pulumi.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

OPERATIONS = {
    "up": "up", "update": "up",
    "preview": "preview", "pre": "preview",
    "refresh": "refresh",
    "destroy": "destroy", "down": "destroy", "dn": "destroy",
}  # fmt: skip
CHANGING = ("up", "refresh", "destroy")
SETTINGS = "config"
# Pulumi's options whose value is the next word where none is written after "=". All others have
# none, or one after "=" alone.
WITH_VALUE = frozenset({
    "--color", "--config", "--config-file", "--cwd", "--event-log", "--exclude", "--import-file",
    "--import-pending-creates", "--memprofilerate", "--message", "--otel-traces", "--override-env",
    "--parallel", "--plan", "--policy-pack", "--policy-pack-config", "--profiling", "--replace",
    "--save-plan", "--secrets-provider", "--stack", "--target", "--target-replace", "--tracing",
    "--verbose",
})  # fmt: skip
SHORT = {
    "C": "--cwd", "Q": "--fully-qualify-stack-names", "c": "--config", "d": "--debug",
    "e": "--emoji", "f": "--skip-preview", "h": "--help", "j": "--json", "m": "--message",
    "p": "--parallel", "r": "--refresh", "s": "--stack", "t": "--target", "v": "--verbose",
    "x": "--exclude", "y": "--yes",
}  # fmt: skip


@dataclass(frozen=True)
class Operation:
    """`kind`: up, preview, refresh, destroy, or config, which shows settings.

    `stack`: what `--stack` names, if it is there.

    `options`: those that are given, by their long names, with their values.
    """

    kind: str
    stack: str | None
    arguments: tuple[str, ...]
    options: Mapping[str, str] = field(default_factory=dict)

    @property
    def changes(self) -> bool:
        """Whether it may change machines or state."""
        return self.kind in CHANGING

    def has(self, option: str) -> bool:
        """Whether an option is given, by its long name."""
        return option in self.options

    def value(self, option: str) -> str:
        """What an option is given, by its long name; "" where it isn't."""
        return self.options.get(option, "")


def operation(arguments: Sequence[str]) -> Operation | None:
    """The operation that Pulumi's arguments name; None: another command, or a question for help."""
    options, words = _read(arguments)
    given = dict(options)
    kind = OPERATIONS.get(words[0]) if words else None
    if words[:1] == [SETTINGS] and words[1:2] in ([], ["get"]):
        kind = SETTINGS
    if "--help" in given or kind is None:
        return None
    return Operation(kind, given.get("--stack"), tuple(arguments), given)


def is_install(arguments: Sequence[str]) -> bool:
    """Whether it is `pulumi install`."""
    options, words = _read(arguments)
    return words[:1] == ["install"] and "--help" not in dict(options)


def settings_stack(arguments: Sequence[str]) -> str | None:
    """The stack whose settings or selection a command changes, if it names one."""
    options, words = _read(arguments)
    if words[:1] == [SETTINGS]:
        return dict(options).get("--stack")
    return _stack_of("select", dict(options), words)


def removed_stack(arguments: Sequence[str]) -> str | None:
    """The stack that `pulumi stack rm` names, where its settings file goes with it."""
    options, words = _read(arguments)
    given = dict(options)
    return None if "--preserve-config" in given else _stack_of("rm", given, words)


def _stack_of(what: str, given: Mapping[str, str], words: Sequence[str]) -> str | None:
    """The stack that a `pulumi stack WHAT` names."""
    match words:
        case ["stack", found, name, *_] if found == what:
            return name
        case ["stack", found] if found == what:
            return given.get("--stack")
    return None


def project_folder(arguments: Sequence[str], folder: Path) -> Path | None:
    """The folder whose Pulumi.yaml counts: the one that is named, else `folder`, or one above."""
    inside = dict(_read(arguments)[0]).get("--cwd")
    start = (folder / inside if inside else folder).resolve()
    for each in (start, *start.parents):
        if (each / "Pulumi.yaml").is_file():
            return each
    return None


def _read(arguments: Sequence[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Options by their long names with their values, and the other words.

    As Pulumi's parser has it (spf13/pflag): letters may be joined, `-ys NAME`, and the last one's
    value may follow at once, `-sNAME`; of an option that is given twice the last value counts.
    """
    options: list[tuple[str, str]] = []
    words: list[str] = []
    rest = deque(arguments)
    while rest:
        word = rest.popleft()
        if word == "--":
            return options, [*words, *rest]
        if word.startswith("--"):
            name, given, value = word.partition("=")
            if not given and name in WITH_VALUE:
                value = rest.popleft() if rest else ""
            options.append((name, value))
        elif word.startswith("-") and word != "-":
            options += _letters(word[1:], rest)
        else:
            words.append(word)
    return options, words


def _letters(joined: str, rest: deque[str]) -> Iterator[tuple[str, str]]:
    for index, letter in enumerate(joined, 1):
        name, left = SHORT.get(letter, f"-{letter}"), joined[index:]
        if left.startswith("=") or (left and name in WITH_VALUE):
            yield name, left.removeprefix("=")
            return
        yield name, rest.popleft() if rest and name in WITH_VALUE else ""
