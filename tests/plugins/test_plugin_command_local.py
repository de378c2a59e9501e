"""command:local:Command and command:local:run do what their SDK's docstrings promise."""

import time
from pathlib import Path

import pytest
from plugin_harness import Plugin, Refused

COMMAND = "command:local:Command"


def test_create_update_and_delete_run_their_commands(command: Plugin, tmp_path: Path) -> None:
    inputs = {"dir": str(tmp_path), "create": "echo made", "delete": "echo gone >log"}
    made = command.create(COMMAND, inputs)
    assert (made.state["stdout"], made.state["stderr"]) == ("made", "")
    changed = command.update(made, {**inputs, "update": "echo changed"})
    assert changed.state["stdout"] == "changed"
    command.delete(changed)
    assert (tmp_path / "log").read_text() == "gone\n"


def test_without_update_a_changed_input_runs_create_again(command: Plugin, tmp_path: Path) -> None:
    made = command.create(COMMAND, {"create": "echo run >>log", "dir": str(tmp_path)})
    command.update(made, {**made.inputs, "environment": {"A": "1"}})
    assert (tmp_path / "log").read_text() == "run\nrun\n"


def test_the_ways_to_influence_the_process(command: Plugin, tmp_path: Path) -> None:
    made = command.create(
        COMMAND,
        {
            "create": "read line; echo $line-$NAME-$PWD; echo $0 >&2",
            "interpreter": ["/bin/bash", "-c"],
            "environment": {"NAME": "env"},
            "stdin": "in\n",
            "dir": str(tmp_path),
        },
    )
    assert made.state["stdout"] == f"in-env-{tmp_path}"
    assert made.state["stderr"] == "/bin/bash"


@pytest.mark.parametrize(
    ("wanted", "seen"), [({}, "first"), ({"addPreviousOutputInEnv": False}, "")]
)
def test_update_and_delete_see_the_previous_output(
    command: Plugin, tmp_path: Path, wanted: dict[str, bool], seen: str
) -> None:
    inputs = {
        **wanted,
        "create": "echo first; echo oops >&2",
        "update": "echo [$PULUMI_COMMAND_STDOUT]",
        "delete": f"echo [$PULUMI_COMMAND_STDOUT] >{tmp_path}/log",
    }
    made = command.create(COMMAND, inputs)
    changed = command.update(made, {**inputs, "stdin": "x"})
    assert changed.state["stdout"] == f"[{seen}]"
    command.delete(changed)
    assert (tmp_path / "log").read_text() == ("[[first]]\n" if seen else "[]\n")


@pytest.mark.parametrize(
    ("logging", "shown"),
    [
        (None, {"info: out", "info: err"}),
        ("stdout", {"info: out"}),
        ("stderr", {"info: err"}),
        ("stdoutAndStderr", {"info: out", "info: err"}),
        ("none", set()),
    ],
)
def test_logging_says_what_is_shown(command: Plugin, logging: str | None, shown: set[str]) -> None:
    inputs = {"create": "echo out; echo err >&2"} | ({"logging": logging} if logging else {})
    made = command.create(COMMAND, inputs)
    assert set(command.log) == shown
    assert made.state["stdout"] == "out"


def test_assets_and_archives_follow_the_rules_in_order(command: Plugin, tmp_path: Path) -> None:
    made = command.create(
        COMMAND,
        {
            "dir": str(tmp_path),
            "create": "mkdir -p assets/logos src && touch assets/logos/a.svg src/{index,secret}.js",
            "interpreter": ["/bin/bash", "-c"],
            "assetPaths": ["assets/**", "src/**.js", "!**secret.*"],
            "archivePaths": ["src/*"],
        },
    )
    assert set(made.state["assets"]) == {"assets/logos/a.svg", "src/index.js"}
    assert set(made.state["archive"]["assets"]) == {"src/index.js", "src/secret.js"}


def test_changed_triggers_replace(command: Plugin) -> None:
    made = command.create(COMMAND, {"create": "true", "triggers": ["a", 1]})
    assert command.diff(made, {"create": "true", "triggers": ["a", 1]}) == {}
    changes = command.diff(made, {"create": "true", "triggers": ["a", 2]})
    assert set(changes.values()) == {"UPDATE_REPLACE"}
    assert set(command.diff(made, {"create": "false", "triggers": ["a", 1]}).values()) == {"UPDATE"}


def test_an_error_ends_with_the_last_of_stderr(command: Plugin) -> None:
    with pytest.raises(Refused) as caught:
        command.create(COMMAND, {"create": "seq 100 >&2; echo the reason >&2; exit 3"})
    text = str(caught.value)
    assert "exit status 3" in text
    assert text.endswith("100\nthe reason")
    assert "\n1\n" not in text


def test_a_daemon_that_keeps_the_streams_does_not_hold_the_command(command: Plugin) -> None:
    began = time.monotonic()
    made = command.create(COMMAND, {"create": "echo started; sleep 30 &"})
    assert made.state["stdout"] == "started"
    assert time.monotonic() - began < 10


def test_a_preview_runs_nothing(command: Plugin, tmp_path: Path) -> None:
    inputs = {"create": "touch made", "update": "touch changed", "dir": str(tmp_path)}
    command.create(COMMAND, inputs, preview=True)
    made = command.create(COMMAND, {**inputs, "create": "true"})
    command.update(made, inputs, preview=True)
    assert list(tmp_path.iterdir()) == []


def test_the_run_function_runs_each_time(command: Plugin, tmp_path: Path) -> None:
    arguments = {"command": "echo x >>log; wc -l <log", "dir": str(tmp_path)}
    assert command.invoke("command:local:run", arguments)["stdout"].strip() == "1"
    assert command.invoke("command:local:run", arguments)["stdout"].strip() == "2"
