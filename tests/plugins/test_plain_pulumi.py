"""Pulumi's own commands, typed in the project's folder, with nothing prepared but set-up."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prepared_host import PREPARED

from artefacts import cache_root
from config.settings import PROJECT, stack_folder
from lab.pulumi_cli import pulumi
from plugins.build import WITHOUT_ATTRIBUTES

STACKS = {"plain-one": "mini", "plain-two": "servers"}
NOBODY = "ssh://root@127.0.0.1:1"  # a port nobody listens on: tcpmux is long dead
LAUNCHER = Path(sys.prefix) / "bin" / "pulumi"

Start = Callable[..., "subprocess.Popen[str]"]


def settings(stack: str) -> str:
    """What its settings file has."""
    return f"config: {{lab:topology: {STACKS[stack]}, lab:machine: '{NOBODY}'}}\n"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The folder of the backend."""
    folder = tmp_path / "state"
    folder.mkdir()
    return folder


@pytest.fixture
def start(tmp_path: Path, state: Path) -> Iterator[Start]:
    """Starts the launcher as a shell without any preparation does; cleans up after the stacks."""
    pulumi()  # built before the tests' time limit
    for stack in STACKS:
        (PROJECT / f"Pulumi.{stack}.yaml").write_text(settings(stack))
    plain = {"HOME": str(tmp_path), "PATH": "/usr/local/bin:/usr/bin:/bin"}
    plain |= {"PULUMI_BACKEND_URL": state.as_uri()}
    plain |= {"LAB_CACHE": str(cache_root())}  # not below that HOME, where all would be built

    def run(*words: str, **more: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            [LAUNCHER, *words], cwd=PROJECT, env={**plain, **more}, text=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip

    yield run
    for stack in STACKS:
        (PROJECT / f"Pulumi.{stack}.yaml").unlink(missing_ok=True)
        shutil.rmtree(stack_folder(stack), ignore_errors=True)


def test_attributes_that_a_killed_run_has_torn_keep_nobody_from_the_state(
    start: Start, state: Path
) -> None:
    stack = next(iter(STACKS))
    assert start("stack", "init", stack).wait() == 0
    (torn,) = state.glob(f".pulumi/stacks/*/{stack}.json.attrs")
    torn.write_bytes(b"")
    listed = start("stack", "export", "--stack", stack)
    assert "EOF" in listed.communicate()[0]  # what Pulumi makes of it
    run = start("preview", "--stack", stack)
    shown, _ = run.communicate()
    assert run.returncode == 0, shown


def test_our_own_backend_has_no_attributes_to_be_torn(start: Start, state: Path) -> None:
    stack = next(iter(STACKS))
    url = f"{state.as_uri()}?{WITHOUT_ATTRIBUTES}"
    assert start("stack", "init", stack, PULUMI_BACKEND_URL=url).wait() == 0
    assert list(state.glob(f".pulumi/stacks/*/{stack}.json"))
    assert list(state.rglob("*.attrs")) == []


def test_two_terminals_and_a_variable_don_t_change_whose_preview_it_is(
    start: Start, state: Path
) -> None:
    """The program names its stack in the first resource's URN."""
    runs = [
        start("preview", "--stack", stack, PULUMI_STACK=other)
        for stack, other in zip(STACKS, reversed(STACKS), strict=True)
    ]
    for run, stack in zip(runs, STACKS, strict=True):
        shown, _ = run.communicate()
        assert run.returncode == 0, shown
        assert f"Previewing update ({stack})" in shown
        assert f"pulumi:pulumi:Stack rack-lab-{stack} create" in shown
        assert "admin_key" in shown  # by which a clone with another seed is told
        assert not stack_folder(stack).exists()
        assert (PROJECT / f"Pulumi.{stack}.yaml").read_text() == settings(stack)
    assert not any(state.iterdir())


def test_a_selected_stack_is_what_plain_commands_mean(start: Start) -> None:
    assert start("stack", "init", "plain-one").wait() == 0
    shown, _ = start("preview").communicate()
    assert "Previewing update (plain-one)" in shown


@pytest.mark.parametrize(
    ("words", "more", "code", "said"),
    [
        (("up", "--stack", "plain-on"), {}, 1, "did you mean plain-one"),
        (("destroy", "--stack", "plain-one", "--yes"), {}, 0, "nothing to do"),
        (("refresh", "--stack", "plain-one", "--yes"), {}, 0, "nothing to do"),
        (("up", "--stack", "plain-one", "--yes"), {}, 255, "the lab machine must answer"),
        (("config", "get", "lab:topology", "--stack", "plain-one"), {}, 0, "mini"),
        (("version",), {}, 0, "3."),
    ],
)
def test_what_is_typed_is_answered_plainly(
    start: Start, words: tuple[str, ...], more: dict[str, str], code: int, said: str
) -> None:
    run = start(*words, **more)
    shown, _ = run.communicate()
    assert said in shown
    assert "Traceback" not in shown
    assert (run.returncode == 0) is (code == 0)


def test_the_passphrase_is_the_user_s_from_the_first_command_on(start: Start) -> None:
    """Another project's variable is in the environment: a new stack takes it as its own."""
    other = {"PULUMI_CONFIG_PASSPHRASE": "of another project"}
    assert start("stack", "init", "plain-one", **other).wait() == 0
    run = start("preview", "--stack", "plain-one")
    shown, _ = run.communicate()
    assert run.returncode == 1
    assert "was made with another passphrase" in shown


# In ssh's place: the lab machine has all it needs, and a rack of stack plain-one.
FOUND = "#!/bin/sh\ncat >/dev/null\n" + "".join(
    f"echo '{line}'\n" for line in (*PREPARED, "bridge|b|rack-lab.plain-one")
)


def test_a_rack_that_this_state_doesn_t_have_is_refused_before_the_first_resource(
    start: Start, tmp_path: Path
) -> None:
    """The program reads its own stack's state while Pulumi works on that."""
    (tmp_path / "ssh").write_text(FOUND)
    (tmp_path / "ssh").chmod(0o755)
    search = f"{tmp_path}:/usr/local/bin:/usr/bin:/bin"
    run = start("up", "--stack", "plain-one", "--yes", "--skip-preview", PATH=search)
    shown, _ = run.communicate()
    assert run.returncode != 0
    assert "this Pulumi state doesn't have it" in shown
    assert "lab --stack plain-one clear" in shown
    assert "No machine was touched" in shown
