"""The stacks that the tests here share, on the virtual lab machine.

`--rack NAME` chooses the topology of the rack under test, of config/: mini unless it says so.
"""

from collections.abc import Iterator

import pytest
from racks import OTHER_NETWORKS, Rack, stack

from config.load import FOLDER, load_topology
from labmachine import machine

FORMED = "ci-formed"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--rack", default="mini", help="the topology under test, of config/")
    parser.addoption("--times", type=int, default=1, help="how often each drill is run")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A drill knows which of its runs it is."""
    if "attempt" in metafunc.fixturenames:
        metafunc.parametrize("attempt", range(1, metafunc.config.getoption("--times") + 1))


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


@pytest.fixture(scope="session", autouse=True)
def lab_machine() -> None:
    """The lab machine, running; it goes on running, as after `make up`."""
    machine.up()


@pytest.fixture(scope="session")
def rack(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Rack]:
    """Stack `ci`, not yet up."""
    topology = request.config.getoption("--rack")
    with stack("ci", tmp_path_factory.mktemp("ci"), {}, topology) as made:
        yield made


@pytest.fixture(scope="session")
def raised(rack: Rack) -> Rack:
    """The same, up: so that each test can run alone."""
    rack.pulumi("up", "--yes", "--skip-preview")
    return rack


@pytest.fixture(scope="session")
def formed(raised: Rack) -> Iterator[Rack]:
    """The same, saved as a snapshot."""
    raised.lab("snapshot", "remove", FORMED, check=False)  # of a run that was killed
    raised.lab("snapshot", "save", FORMED)
    yield raised
    raised.lab("snapshot", "remove", FORMED)


@pytest.fixture
def from_formed(formed: Rack) -> None:
    """A drill begins with the rack as it was raised, whatever the ones before have left of it."""
    formed.lab("snapshot", "restore", FORMED, "--yes")


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    """Stack `other`: the same rack with networks and disks of its own, without redundancy."""
    changes = {**OTHER_NETWORKS, "array/disks": ["disk3", "disk4"], "array/level": 0}
    with stack("other", tmp_path_factory.mktemp("other"), changes) as made:
        yield made
