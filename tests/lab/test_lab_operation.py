"""What Pulumi's command line is read as."""

from pathlib import Path

import pytest

from lab.operation import operation, project_folder

KINDS = {
    "up --stack mini": ("up", "mini"),
    "update -s mini": ("up", "mini"),
    "up --yes --stack=mini --skip-preview": ("up", "mini"),
    "--color never up -smini": ("up", "mini"),
    "-v 3 preview --stack a --stack b": ("preview", "b"),
    "pre": ("preview", None),
    "refresh": ("refresh", None),
    "down --yes": ("destroy", None),
    "destroy --stack org/rack-lab/mini": ("destroy", "org/rack-lab/mini"),
    "--non-interactive up": ("up", None),
}
OTHERS = (
    "", "stack init mini", "stack select up", "config set lab:topology up", "version", "up --help",
    "up -h", "--help", "cancel", "state delete up", "logs",
)  # fmt: skip


@pytest.mark.parametrize("line", KINDS)
def test_an_operation_and_its_stack(line: str) -> None:
    found = operation(line.split())
    assert found is not None
    assert (found.kind, found.stack) == KINDS[line]
    assert found.arguments == tuple(line.split())


@pytest.mark.parametrize("line", OTHERS)
def test_any_other_command_is_pulumi_s_alone(line: str) -> None:
    assert operation(line.split()) is None


@pytest.mark.parametrize(
    ("line", "inner", "outer"),
    [
        ("up", "a/b", "."),
        ("-C a/c up", ".", "a/c"),
        ("stack ls --cwd=c", "a", "a/c"),
        ("up --cwd ..", "a/c", "."),
    ],
)
def test_the_nearest_project_counts(tmp_path: Path, line: str, inner: str, outer: str) -> None:
    for folder in ("a/b", "a/c"):
        (tmp_path / folder).mkdir(parents=True)
    for folder in (".", "a/c"):
        (tmp_path / folder / "Pulumi.yaml").touch()
    found = project_folder(line.split(), tmp_path / inner)
    assert found == (tmp_path / outer).resolve()


def test_there_may_be_none(tmp_path: Path) -> None:
    assert project_folder(["version"], tmp_path) is None
