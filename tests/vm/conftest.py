"""The stacks that the tests here share, on the virtual lab machine, which goes on running.

`--rack NAME` chooses the topology of the rack under test, of config/: mini unless it says so.
"""

from collections.abc import Iterator

import pytest
from checks import go_back
from racks import OTHER_NETWORKS, Rack, stack

from config.load import FOLDER, load_topology


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rack", default="mini", help="the topology under test, of config/")
    parser.addoption("--times", type=int, default=1, help="how often each drill is run")
    parser.addoption("--seed", type=int, default=1, help="the first seed of a soak")
    parser.addoption("--seeds", type=int, default=50, help="how many follow, with it")
    parser.addoption("--kills", type=int, default=0, help="at how many steps; 0: all")
    parser.addoption("--kills-seed", type=int, default=1, help="chooses these")
    parser.addoption("--mirror", help="an Alpine mirror; without it one is made and served here")
    parser.addoption("--mirror-keys", default="", help="the folder of who may sign it")
    parser.addoption("--kill", help="at this step alone, or these: 17-40")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A drill knows which of its runs it is, a soak which seed it has."""
    if "attempt" in metafunc.fixturenames:
        metafunc.parametrize("attempt", range(1, metafunc.config.getoption("--times") + 1))
    if "seed" in metafunc.fixturenames:
        first, many = (metafunc.config.getoption(each) for each in ("--seed", "--seeds"))
        metafunc.parametrize("seed", range(first, first + many))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What the rack doesn't have isn't tested: a larger one's mirror, a control plane."""
    name = config.getoption("--rack")
    controlled = load_topology(FOLDER / f"{name}.yaml", "ci").founder
    lacking = [
        mark for mark, has in (("whole", name != "mini"), ("control", controlled)) if not has
    ]
    without = [item for item in items if any(item.get_closest_marker(mark) for mark in lacking)]
    config.hook.pytest_deselected(items=without)
    items[:] = [item for item in items if item not in without]


@pytest.fixture(scope="session")
def rack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rack]:
    """Stack `ci`, not yet up."""
    topology = request.config.getoption("--rack")
    with stack("ci", tmp_path_factory.mktemp("ci"), {}, topology, keep=True) as made:
        yield made


@pytest.fixture(scope="session")
def raised(rack: Rack) -> Rack:
    """The same, up: so that each test can run alone. One that was kept is gone back to."""
    rack.pulumi("up", "--yes", "--skip-preview")
    return rack


@pytest.fixture
def formed(raised: Rack) -> None:
    """The rack and its topology as they were raised, whatever the tests before have left."""
    go_back(raised)


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    """Stack `other`: the same rack with networks and disks of its own, without redundancy."""
    changes = {**OTHER_NETWORKS, "array/disks": ["disk3", "disk4"], "array/level": 0}
    with stack("other", tmp_path_factory.mktemp("other"), changes) as made:
        yield made
