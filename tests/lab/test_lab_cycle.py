"""The plan of a seed."""

import pytest

from config import access, stacks
from config.load import FOLDER, load_topology, shipped
from config.settings import load_settings
from lab.cycle import LASTS_S, Kind, cycle, plan, possible

MINI = load_topology(FOLDER / "mini.yaml", "mini")


def test_a_seed_gives_the_same_plan_again_and_more_rounds_go_on_from_fewer() -> None:
    first = list(plan(7, MINI, 20))
    assert first == list(plan(7, MINI, 30))[:20]
    assert first != list(plan(8, MINI, 20))


def test_all_that_can_happen_has_its_turn_within_the_times() -> None:
    planned = list(plan(1, MINI, 2000))
    assert {each for each, _ in planned} == {
        each for all_ in possible(MINI).values() for each in all_
    }
    assert all(LASTS_S[0] <= seconds <= LASTS_S[1] for _, seconds in planned)


def test_an_interrupted_run_leaves_no_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[bool] = []

    def interrupted(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lab.cycle._happen", lambda *_, begins: done.append(begins))
    monkeypatch.setattr("lab.cycle.time.sleep", interrupted)
    with pytest.raises(KeyboardInterrupt):
        cycle(load_settings("mini", stacks.options("mini"), keep=False), 1, 1)
    assert done == [True, False]


@pytest.mark.parametrize("kind", Kind)
def test_one_kind_alone(kind: Kind) -> None:
    assert {each.kind for each, _ in plan(1, MINI, 50, [kind])} == {kind}


@pytest.mark.parametrize("name", shipped())
def test_what_a_rack_must_bear_is_there(name: str) -> None:
    topology = load_topology(FOLDER / f"{name}.yaml", name)
    found = possible(topology)
    assert found[Kind.POWER]
    for kind, faults in found.items():
        assert len(set(faults)) == len(faults), kind
    told = {str(each) for each in found.get(Kind.DISK, [])}
    bears = topology.array.level != 0
    assert (f"{access.LAB_MACHINE} without {topology.array.disks[0]}" in told) is bears


def test_a_fault_is_told() -> None:
    told = [str(faults[0]) for faults in possible(MINI).values()]
    assert told == [
        "router without power", "san1 reset", "laptop frozen", "laptop without its link to lan",
        "storage1 without sda",
    ]  # fmt: skip
