"""Which power a machine has, by what its hosts say."""

import pytest

from config.access import LAB_MACHINE, LabMachine
from config.load import FOLDER, load_topology
from config.settings import Settings
from lab.status import power_of

NODES = {"mini-storage1", "mini-compute1"}
CASES: dict[str, tuple[str, dict[str, set[str] | None], str]] = {
    "a node that runs": ("storage1", {LAB_MACHINE: NODES}, "on"),
    "a node that doesn't": ("storage1", {LAB_MACHINE: set()}, "off"),
    "the lab machine is silent": ("storage1", {LAB_MACHINE: None}, "unknown"),
    "a guest that runs": ("san1", {LAB_MACHINE: NODES, "storage1": {"mini-san1"}}, "on"),
    "a guest that doesn't": ("san1", {LAB_MACHINE: NODES, "storage1": set()}, "off"),
    "its node is off": ("san1", {LAB_MACHINE: {"mini-compute1"}}, "off"),
    "its node is silent": ("san1", {LAB_MACHINE: NODES, "storage1": None}, "unknown"),
    "nothing answers": ("san1", {LAB_MACHINE: None}, "unknown"),
}


@pytest.mark.parametrize("case", CASES)
def testpower_of(case: str) -> None:
    name, running, power = CASES[case]
    topology = load_topology(FOLDER / "mini.yaml", "mini")
    settings = Settings("mini", topology, LabMachine(host=None), "emulated", "00" * 32)
    assert power_of(settings, name, running) == power
