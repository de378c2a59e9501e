"""Which stacks there are, what their settings files may say, and what is refused."""

from pathlib import Path

import pytest

from config import stacks
from config.errors import ConfigError
from config.settings import load_settings

BAD_NAMES = ("", "größe", "-x", "x-", "a/b", "a b", "a.b", "../x", "x" * 28, "a\nb", "$(id)")
GOOD_NAMES = ("a", "mini", "try-2", "x" * 27, "2nd")
BAD_FILES = {
    "a word": ("hello", "a mapping"),
    "a list": ("[1, 2]", "a mapping"),
    "config is a list": ("config: [1]", "a mapping"),
    "an unknown option": ("config: {lab:machin: local}", "did you mean lab:machine"),
    "a secret": ("config: {lab:machine: {secure: v1:abc}}", "a plain value"),
    "a list of options": ("config: {lab:topology: [mini]}", "a plain value"),
    "nothing": ("config: {lab:topology: }", "lab:topology: null"),
}
SEEDS = {
    "text": f"config: {{lab:seed: {'0' * 64}}}",
    "a secret": "config: {lab:seed: {secure: v1:abc}}",
    "a number": "config: {lab:seed: 1234}",
    "empty": "config: {lab:seed: ''}",
}
READ = {
    "config:": None,
    "": None,
    "config: {lab:topology: mini}": "mini",
    "config: {lab:topology: 5}": "5",
    "config: {lab:topology: true}": "true",
    "config: {other:topology: x}": None,
}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("config.stacks.PROJECT", tmp_path)
    for name in ("mini", "moving", "lab"):
        (tmp_path / f"Pulumi.{name}.yaml").write_text(f"config: {{lab:topology: {name}}}")
    return tmp_path


@pytest.mark.parametrize("name", BAD_NAMES)
def test_what_can_t_name_a_stack_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="1 to 27 ASCII letters"):
        stacks.check_name(name)


@pytest.mark.parametrize("name", GOOD_NAMES)
def test_what_can_is_taken(name: str) -> None:
    stacks.check_name(name)


def test_a_typing_error_is_told_with_what_was_meant(project: Path) -> None:
    before = sorted(project.iterdir())
    with pytest.raises(ConfigError) as caught:
        stacks.options("mni")
    assert "did you mean mini?" in str(caught.value)
    assert "one of: lab, mini, moving" in str(caught.value)
    assert "lab new mni" in str(caught.value)
    assert sorted(project.iterdir()) == before


def test_a_topology_of_its_name_is_enough_for_a_stack(project: Path) -> None:
    (project / "Pulumi.mini.yaml").unlink()
    assert stacks.options("mini")("topology") is None


@pytest.mark.parametrize("case", BAD_FILES)
def test_a_settings_file_that_can_t_be_used_is_told(project: Path, case: str) -> None:
    text, said = BAD_FILES[case]
    (project / "Pulumi.mini.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said) as caught:
        stacks.options("mini")
    assert "Pulumi.mini.yaml" in str(caught.value)


@pytest.mark.parametrize("text", READ)
def test_an_option_is_the_text_that_pulumi_gives(project: Path, text: str) -> None:
    (project / "Pulumi.mini.yaml").write_text(text)
    assert stacks.options("mini")("topology") == READ[text]


@pytest.mark.parametrize("case", SEEDS)
def test_a_seed_in_the_settings_is_refused_in_every_form(project: Path, case: str) -> None:
    (project / "Pulumi.mini.yaml").write_text(SEEDS[case])
    option = stacks.options("mini")
    with pytest.raises(ConfigError, match="pulumi config rm lab:seed --stack mini"):
        load_settings("mini", option, keep=False)


def test_shipped_stacks_open_with_any_passphrase() -> None:
    """A salt in git is one for somebody's passphrase."""
    shipped = {"five", "lab", "lossy", "mini", "moving", "quorum", "raid6", "servers", "whole"}
    assert shipped <= set(stacks.known())
