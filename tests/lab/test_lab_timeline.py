"""The timeline of a run, from a small event log and state."""

import json
from typing import Any

import pytest

from artefacts import LabError
from lab.timeline import timeline

DOMAIN = "libvirt:index/domain:Domain"
COMMAND = "command:local:Command"
COMPONENT = "rack:lab:FirstLevelNode"
BOOT = {"init": 5.0, "ready": 20.5}


def urn(name: str, type_: str) -> str:
    return f"urn:pulumi:s::p::{type_}::{name}"


def event(kind: str, at: int, name: str, type_: str, op: str = "create") -> str:
    metadata = {"op": op, "urn": urn(name, type_), "type": type_}
    return json.dumps({"timestamp": 1000 + at, kind: {"metadata": metadata}})


def step(name: str, type_: str, start: int, end: int, kind: str = "resOutputsEvent") -> list[str]:
    return [event("resourcePreEvent", start, name, type_), event(kind, end, name, type_)]


def resource(name: str, type_: str, *after: tuple[str, str], stdout: str = "") -> dict[str, Any]:
    return {
        "urn": urn(name, type_),
        "type": type_,
        "dependencies": [urn(*each) for each in after],
        "propertyDependencies": {"environment": [urn(*each) for each in after[:1]]},
        "outputs": {"stdout": stdout},
    }


PRELUDE = json.dumps({"timestamp": 1000, "preludeEvent": {"config": {}}})
STATE = [
    resource("image", COMMAND),
    resource("disk", COMMAND),
    resource("node1", COMPONENT),
    resource("node1", DOMAIN, ("disk", COMMAND), ("image", COMMAND)),
    resource("node1-ready", COMMAND, ("node1", DOMAIN), stdout=json.dumps({"timeline": BOOT})),
]
EVENTS = [
    PRELUDE,
    *step("image", COMMAND, 1, 9),
    *step("disk", COMMAND, 1, 3),
    *step("node1", DOMAIN, 10, 12),
    *step("node1-ready", COMMAND, 12, 40),
    event("resOutputsEvent", 41, "node1", COMPONENT),
]


def test_the_critical_path_is_what_delayed_the_end() -> None:
    found = timeline(EVENTS, STATE)
    assert found is not None
    assert found.critical_path == ("image", "node1", "node1-ready")
    assert [found.spans[name].took for name in found.critical_path] == [8, 2, 28]
    assert found.seconds == 41


def test_a_machines_own_clock_goes_along() -> None:
    found = timeline(EVENTS, STATE)
    assert found is not None
    node = found.machines["node1"]
    assert (node.power_on, node.ready, node.phases) == (10, 40, BOOT)


def test_a_run_without_changes_has_none() -> None:
    same = [event("resOutputsEvent", 1, "image", COMMAND, op="same")]
    assert timeline([PRELUDE, *same], STATE) is None
    assert timeline([], STATE) is None


def test_a_replacement_ends_with_the_new_one_and_not_with_clearing_away() -> None:
    replaced = [
        event("resourcePreEvent", 5, "image", COMMAND, op="create-replacement"),
        event("resOutputsEvent", 9, "image", COMMAND, op="create-replacement"),
        event("resourcePreEvent", 30, "image", COMMAND, op="delete-replaced"),
        event("resOutputsEvent", 31, "image", COMMAND, op="delete-replaced"),
    ]
    found = timeline([PRELUDE, *replaced], STATE)
    assert found is not None
    assert (found.spans["image"].start, found.spans["image"].took) == (5, 4)


def test_a_failed_step_ends_the_path() -> None:
    failed = [*EVENTS[:7], *step("node1-ready", COMMAND, 12, 30, kind="resOpFailedEvent")]
    found = timeline(failed, STATE[:4])
    assert found is not None
    assert found.critical_path == ("node1-ready",)
    assert found.machines == {}


@pytest.mark.parametrize("torn", ["{", '{"timestamp": 10', "", "\0\0\0"])
def test_a_last_line_that_a_killed_run_cut_short_is_left_out(torn: str) -> None:
    assert timeline([*EVENTS, torn], STATE) == timeline(EVENTS, STATE)


@pytest.mark.parametrize("line", ["{", "hello", "[]", "{}", '{"timestamp": "noon"}'])
def test_what_is_no_event_log_is_told(line: str) -> None:
    with pytest.raises(LabError, match="line 2 is no event"):
        timeline([PRELUDE, line, *EVENTS], STATE)


def test_what_a_preview_foresees_has_no_timeline() -> None:
    foreseen = [
        json.dumps({**json.loads(line), kind: {**json.loads(line)[kind], "planning": True}})
        for line in EVENTS[1:]
        for kind in json.loads(line).keys() - {"timestamp"}
    ]
    assert timeline([PRELUDE, *foreseen], STATE) is None
