"""What is told of a program that failed, and what of it code may read."""

import pytest

from artefacts import CommandFailed, LabError, run
from artefacts.errors import LAST_LINES, MOST_SHOWN


def test_a_failed_program_s_parts_can_be_read_and_its_message_has_them_all() -> None:
    script = "echo first >&2; echo the reason >&2; exit 3"
    with pytest.raises(CommandFailed) as caught:
        run(["/bin/sh", "-c", script], hint="look there")
    failed = caught.value
    assert isinstance(failed, LabError)
    assert failed.argv == ("/bin/sh", "-c", script)
    assert (failed.problem, failed.code, failed.hint) == ("exit code 3", 3, "look there")
    assert failed.lines == ["first", "the reason"]
    assert failed.last_words == "the reason"
    assert str(failed) == (
        f"sh -c {script}: exit code 3\n  | first\n  | the reason\nlook there"
    )  # fmt: skip


def test_more_to_do_comes_last_and_changes_nothing_else() -> None:
    failed = CommandFailed(["/bin/ssh"], "exit code 255", said="no route", code=255, hint="a")
    more = failed.with_hint("b")
    assert str(more) == "ssh: exit code 255\n  | no route\na\nb"
    assert (more.argv, more.code, more.last_words) == (failed.argv, 255, "no route")


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (CommandFailed(["no-such"], "program not found"), "program not found"),
        (LabError("the volume is full\nfree space there"), "free space there"),
    ],
)
def test_the_last_words_of_what_said_nothing_are_what_became_of_it(
    error: LabError, words: str
) -> None:
    assert error.last_words == words


def test_a_long_message_is_cut_in_its_command_and_its_first_lines() -> None:
    failed = CommandFailed(["sh", *["word"] * 200], "failed", said="line\n" * 40 + "end")
    command, *lines = str(failed).splitlines()
    assert len(command) <= MOST_SHOWN + len(": failed")
    assert len(lines) == LAST_LINES
    assert lines[-1] == "  | end"
