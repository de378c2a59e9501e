"""What Pulumi's command line is read as."""

from pathlib import Path

import pytest

from lab.operation import operation, project_folder

HERE = Path("/here")
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
    found = operation(line.split(), HERE)
    assert found is not None
    assert (found.kind, found.stack) == KINDS[line]
    assert found.arguments == tuple(line.split())
    assert found.folder == HERE


@pytest.mark.parametrize("line", OTHERS)
def test_any_other_command_is_pulumi_s_alone(line: str) -> None:
    assert operation(line.split(), HERE) is None


@pytest.mark.parametrize(
    ("line", "folder"),
    [("up -C /there", "/there"), ("--cwd=sub up", "/here/sub"), ("up --cwd ..", "/")],
)
def test_another_folder_is_looked_at(line: str, folder: str) -> None:
    found = operation(line.split(), HERE)
    assert found is not None
    assert found.folder == Path(folder)


def test_the_nearest_project_counts(tmp_path: Path) -> None:
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    (tmp_path / "Pulumi.yaml").touch()
    assert project_folder(inner) == tmp_path
    (inner / "Pulumi.yaml").touch()
    assert project_folder(inner) == inner
