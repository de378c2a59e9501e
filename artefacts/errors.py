"""The errors that a user can cause or mend.

Owns their base class and the failure of a program. Leaves the configuration's to `config.errors`,
and what becomes of them to `lab.errors`.
"""

import textwrap
from collections.abc import Sequence
from pathlib import Path

LAST_LINES = 15
MOST_SHOWN = 300  # characters of a command


class LabError(RuntimeError):
    """Something that a user can cause or mend went wrong.

    The message is all that a person needs: what failed, why, and the command that helps.
    """

    @property
    def last_words(self) -> str:
        """The one line that says most about the reason."""
        return str(self).splitlines()[-1]


class CommandFailed(LabError):
    """A program ended with a non-zero code, was not found, or ran out of time.

    `argv`: the whole command. `problem`: what became of it, in a few words. `said`: all that it
    wrote about that. `code`: its exit code, if it ended with one. `hint`: what to do next.
    """

    def __init__(
        self,
        argv: Sequence[str],
        problem: str,
        *,
        said: str = "",
        code: int | None = None,
        hint: str = "",
    ) -> None:
        self.argv, self.problem, self.code, self.hint = tuple(argv), problem, code, hint
        self.lines = said.strip().splitlines()[-LAST_LINES:]
        words = " ".join([Path(argv[0]).name, *argv[1:]])
        shown = textwrap.shorten(words, MOST_SHOWN, placeholder=" …")
        parts = [f"{shown}: {problem}", *(f"  | {line}" for line in self.lines), hint]
        super().__init__("\n".join(part for part in parts if part))

    @property
    def last_words(self) -> str:
        """The last line that it wrote, or what became of it."""
        return self.lines[-1] if self.lines else self.problem

    def with_hint(self, hint: str) -> "CommandFailed":
        """The same failure, with more to do next."""
        return CommandFailed(
            self.argv, self.problem, said="\n".join(self.lines), code=self.code,
            hint="\n".join(part for part in (self.hint, hint) if part),
        )  # fmt: skip
