"""Pulumi is killed at each step of an `up` of a change, and of a destroy, and run again.

Each kill starts from the rack as it was raised. All steps are tried (`make test-kill`), or as many
as `--kills` says, chosen by `--kills-seed`; `--kill 17` tries that one again, `--kill 17-40` those.
"""

import json
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from checks import assert_serves, go_back, topology_of
from leftovers import LEFTOVERS, left
from racks import Rack

from artefacts import LabError
from config.topology import Hypervisor, LxcHost, San

pytestmark = [pytest.mark.kill, pytest.mark.timeout(12 * 3600)]

# Apart, for a kill of one isn't to cost the time of all.
CHANGES: dict[str, dict[str, object]] = {
    "containers": {
        "machines/lxc1/containers/web1/volume_pages/nbd.txt": "changed",
        "machines/lxc1/containers/web2": {"host": 72, "volume_pages": {"new.txt": "new"}},
    },
    "volumes": {
        "machines/san1/volumes/web": "160MiB",
        "machines/san1/volumes/spare": "32MiB",
    },
    "a machine made anew": {"machines/firewall/memory": "208MiB"},
}
EVENTS = {"resourcePreEvent": "begun", "resOutputsEvent": "done"}
NO_STEP = ("same", "read", "refresh")
SWITCH = "echo $switch $(ovs-vsctl list-ports $switch | wc -l)"
CENSUS = {
    "domains": "virsh -c qemu:///system list --all --name | sort",
    "switches": f"for switch in $(ovs-vsctl list-br); do {SWITCH}; done",
    "volumes": "lvs --noheadings --options lv_name,lv_size",
    "hosts": "ip netns list | sort",
    "networks": "virsh -c qemu:///system net-list --all --name | sort",
}


@dataclass(frozen=True, order=True)
class Point:
    """A step of an operation on a resource, begun or done."""

    urn: str
    op: str
    state: str

    def __str__(self) -> str:
        return f"{self.op} of {self.urn.rsplit('::', 1)[-1]} {self.state}"


def points(log: Path) -> Iterator[Point]:
    """The steps that an event log tells of so far."""
    for line in log.read_text().splitlines() if log.exists() else ():
        try:
            event = json.loads(line)
        except ValueError:
            return  # it is being written
        for kind, state in EVENTS.items():
            step = event.get(kind, {}).get("metadata", {})
            if step and step["op"] not in NO_STEP and "pulumi:pulumi" not in step["type"]:
                yield Point(step["urn"], step["op"], state)


def census(rack: Rack) -> dict[str, str]:
    """What stands on the lab machine and in its machines."""
    found = {name: rack.lab_machine(script) for name, script in CENSUS.items()}
    topology = topology_of(rack)
    for name in topology.of(Hypervisor):
        found[name] = rack.lab("ssh", name, "--", CENSUS["domains"])
    for name in topology.of(San):
        found[name] = rack.lab("ssh", name, "--", CENSUS["volumes"])
    for name in topology.of(LxcHost):
        found[name] = rack.lab("ssh", name, "--", "lxc-ls -1; md5sum /srv/*/*/* 2>/dev/null")
    return found


def chosen(found: Sequence[Point], config: pytest.Config) -> Iterator[tuple[int, Point]]:
    """The points to try, by their numbers; sorted, these are the same in each run."""
    numbers = list(range(len(found)))
    if asked := config.getoption("--kill"):
        first, _, last = asked.partition("-")
        numbers = numbers[int(first) : int(last or first) + 1]
    elif many := config.getoption("--kills"):
        chance = random.Random(config.getoption("--kills-seed"))
        numbers = sorted(chance.sample(numbers, min(many, len(numbers))))
    assert numbers
    for number in numbers:
        yield number, found[number]


@dataclass(frozen=True)
class Operation:
    """What is killed: from which rack it begins, and what must hold when it is done at last."""

    name: str
    rack: Rack
    begin: Callable[[], None]
    finish: Callable[[], None]

    def kill_each(self, found: Sequence[Point], request: pytest.FixtureRequest) -> None:
        """Kill it at each point that is to be tried, and have it finished."""
        failures = []
        for number, point in chosen(found, request.config):
            self.begin()
            killed = self._kill(point, request.getfixturevalue("tmp_path") / "killed")
            told = f"{number} of {len(found)}: {point}"
            print(f"=== {self.name} {'killed at' if killed else 'ended before'} {told}")
            try:
                self.finish()
            except (AssertionError, LabError) as error:
                print(f"=== FAILED: {error}")
                failures.append(f"{told}: {error}")
        assert failures == []

    def _kill(self, point: Point, log: Path) -> bool:
        log.unlink(missing_ok=True)
        options = ("--event-log", str(log))
        return self.rack.killed(self.name, lambda: point in points(log), *options)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_an_up_that_was_killed_is_finished_by_the_next(
    raised: Rack, change: dict[str, object], request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    rack, log = raised, tmp_path / "events"

    def begin() -> None:
        go_back(rack)
        for path, value in change.items():
            rack.change(path, value)

    begin()
    rack.pulumi("up", "--yes", "--skip-preview", "--event-log", str(log))
    found, wanted = sorted(points(log)), census(rack)
    assert len(found) > 5

    def finish() -> None:
        rack.pulumi("up", "--yes", "--skip-preview")
        rack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
        assert census(rack) == wanted
        assert_serves(rack)

    Operation("up", rack, begin, finish).kill_each(found, request)


def test_a_destroy_that_was_killed_is_finished_by_the_next(
    raised: Rack, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    rack, log = raised, tmp_path / "events"
    go_back(rack)
    rack.pulumi("destroy", "--yes", "--skip-preview", "--event-log", str(log))
    found = sorted(points(log))
    assert len(found) > 100

    def finish() -> None:
        rack.pulumi("destroy", "--yes", "--skip-preview")
        assert left(rack) == dict.fromkeys(LEFTOVERS, "")

    Operation("destroy", rack, lambda: go_back(rack), finish).kill_each(found, request)
