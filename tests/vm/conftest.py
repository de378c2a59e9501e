"""The stacks that the tests here share, on the virtual lab machine."""

from collections.abc import Iterator

import pytest
from small_rack import Rack, stack

from labmachine import machine


@pytest.fixture(scope="session", autouse=True)
def lab_machine() -> None:
    """The lab machine, running; it goes on running, as after `make up`."""
    machine.up()


@pytest.fixture(scope="module")
def rack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    """Stack `ci`, the small rack, not yet up."""
    with stack("ci", tmp_path_factory.mktemp("ci"), {}) as made:
        yield made


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    """Stack `other`: the same rack with networks and disks of its own."""
    changes: dict[str, object] = {
        f"networks/{name}/cidr": f"10.78.{number}.0/24"
        for number, name in enumerate(["isp", "internet", "lan", "storage", "wan", "ipmi"], 1)
    }
    changes["array/disks"] = ["disk3", "disk4"]
    with stack("other", tmp_path_factory.mktemp("other"), changes) as made:
        yield made
