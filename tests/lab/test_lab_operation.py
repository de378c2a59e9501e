"""What Pulumi's command line is read as."""

from pathlib import Path

import pytest

from lab.operation import operation, project_folder, removed_stack, settings_stack

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
    "up -ys mini": ("up", "mini"),
    "destroy -fysmini": ("destroy", "mini"),
    "refresh -ys=mini": ("refresh", "mini"),
    "preview -ds mini -r": ("preview", "mini"),
    "up --stack mini -m -small": ("up", "mini"),
    "up -m --help": ("up", None),
    "up --target -s --stack mini": ("up", "mini"),
    "up -c a=b -s mini -j": ("up", "mini"),
    "up -p4 -s mini": ("up", "mini"),
    "up --yes -s": ("up", ""),
    "config --stack mini": ("config", "mini"),
    "-C folder config -j -s mini": ("config", "mini"),
    "config get lab:profile": ("config", None),
}
OTHERS = (
    "", "stack init mini", "stack select up", "config set lab:topology up", "config rm get",
    "version", "up --help", "up -h", "--help", "cancel", "state delete up", "logs", "up -yh",
    "-C up version",
)  # fmt: skip


@pytest.mark.parametrize("line", KINDS)
def test_an_operation_and_its_stack(line: str) -> None:
    found = operation(line.split())
    assert found is not None
    assert (found.kind, found.stack) == KINDS[line]
    assert found.arguments == tuple(line.split())


@pytest.mark.parametrize(
    ("line", "options"),
    [
        ("up -yc a=b", {"--yes", "--config"}),
        ("up --config=a=b --refresh=true", {"--config", "--refresh"}),
        ("up -m --config-file", {"--message"}),
        ("up -cZ=1", {"--config"}),
        ("up", set()),
    ],
)
def test_options_are_told_by_their_long_names(line: str, options: set[str]) -> None:
    found = operation(line.split())
    assert found is not None
    assert set(dict(found.options)) == options


@pytest.mark.parametrize(
    ("line", "stack"),
    [
        ("config set lab:profile kvm --stack mini", "mini"),
        ("config rm -s mini lab:profile", "mini"),
        ("config --stack mini", "mini"),
        ("stack select mini", "mini"),
        ("stack select --stack mini", "mini"),
        ("stack init mini", None),
        ("config", None),
        ("up --stack mini", None),
    ],
)
def test_the_stack_of_a_command_about_settings(line: str, stack: str | None) -> None:
    assert settings_stack(line.split()) == stack


@pytest.mark.parametrize(
    ("line", "stack"),
    [
        ("stack rm mini --yes", "mini"),
        ("stack -s mini rm", "mini"),
        ("stack rm mini --preserve-config", None),
        ("stack rm", None),
        ("stack select mini", None),
    ],
)
def test_the_stack_whose_settings_are_removed(line: str, stack: str | None) -> None:
    assert removed_stack(line.split()) == stack


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
