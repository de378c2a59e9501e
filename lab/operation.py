"""An operation of Pulumi on a stack, as its command line names it.

Owns reading that command line: which operation, on which stack, in which folder. Leaves everything
else on it to Pulumi.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

OPERATIONS = {
    "up": "up", "update": "up",
    "preview": "preview", "pre": "preview",
    "refresh": "refresh",
    "destroy": "destroy", "down": "destroy", "dn": "destroy",
}  # fmt: skip
CHANGING = ("up", "refresh", "destroy")
# Options before the command that take a value of their own (`pulumi --help`).
WITH_VALUE = ("-C", "--cwd", "--color", "-v", "--verbose", "--profiling", "--tracing")
STACK, FOLDER = ("-s", "--stack"), ("-C", "--cwd")
HELP = ("-h", "--help")


@dataclass(frozen=True)
class Operation:
    """`kind`: up, preview, refresh or destroy; `stack`: what `--stack` names, if it is there."""

    kind: str
    stack: str | None
    arguments: tuple[str, ...]

    @property
    def changes(self) -> bool:
        """Whether it may change machines or state."""
        return self.kind in CHANGING

    def has(self, option: str) -> bool:
        """Whether an option is given, with a value or not."""
        short = not option.startswith("--")
        return any(
            each.split("=", 1)[0] == option or (short and each.startswith(option))
            for each in self.arguments
        )


def operation(arguments: Sequence[str]) -> Operation | None:
    """The operation that Pulumi's arguments name; None: another command, or a question for help."""
    if any(each in HELP for each in arguments):
        return None
    command = _command(arguments)
    if command not in OPERATIONS:
        return None
    return Operation(OPERATIONS[command], _value(arguments, STACK), tuple(arguments))


def project_folder(arguments: Sequence[str], folder: Path) -> Path | None:
    """The folder whose Pulumi.yaml counts: the one that is named, else `folder`, or one above."""
    inside = _value(arguments, FOLDER)
    start = (folder / inside if inside else folder).resolve()
    for each in (start, *start.parents):
        if (each / "Pulumi.yaml").is_file():
            return each
    return None


def _command(arguments: Sequence[str]) -> str | None:
    words = iter(arguments)
    for word in words:
        if word in WITH_VALUE:
            next(words, None)
        elif not word.startswith("-"):
            return word
    return None


def _value(arguments: Sequence[str], names: Sequence[str]) -> str | None:
    """The last value of an option, as -s NAME, -sNAME, --stack NAME or --stack=NAME."""
    found = None
    for value in _values(arguments, *names):
        found = value
    return found


def _values(arguments: Sequence[str], short: str, long: str) -> Iterator[str]:
    for index, word in enumerate(arguments):
        if word == "--":
            return
        if word in (short, long):
            yield from arguments[index + 1 : index + 2]
        elif word.startswith(f"{long}="):
            yield word.removeprefix(f"{long}=")
        elif word.startswith(short) and not word.startswith("--") and word != short:
            yield word.removeprefix(short).removeprefix("=")
