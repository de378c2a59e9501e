"""What stands on the lab machine, of every shipped topology."""

from pathlib import Path

import pytest

import equipment
from config.load import FOLDER, load_topology, shipped

RACKS = shipped()
LONG = "experiment-with-a-long-name"
IFNAMSIZ = 15  # linux/if.h, without the NUL
LINE_SUFFIX = 2  # line.sh's ports


@pytest.mark.parametrize("name", RACKS)
@pytest.mark.parametrize("stack", ["lab", LONG])
def test_interfaces_have_names_the_kernel_takes(name: str, stack: str) -> None:
    pieces = list(equipment.everything(stack, load_topology(FOLDER / f"{name}.yaml", stack)))
    assert len(pieces) > 10
    for piece in pieces:
        if piece.script in ("bridge", "station"):
            assert max(map(len, piece.remove[:-1])) <= IFNAMSIZ, piece
        if piece.script == "line":
            assert len(piece.remove[1]) + LINE_SUFFIX <= IFNAMSIZ, piece


@pytest.mark.parametrize("name", RACKS)
def test_two_stacks_share_nothing(name: str) -> None:
    topology = load_topology(FOLDER / f"{name}.yaml", "one")
    one, other = (
        {piece.remove for piece in equipment.everything(stack, topology)}
        for stack in ("one", "other")
    )
    assert len(one) > 10
    assert not one & other


def test_a_network_s_bad_line_is_its_router_s() -> None:
    lossy = load_topology(FOLDER / "lossy.yaml", "lossy")
    lines = equipment.lines("lossy", lossy, "wan")
    assert list(lines) == ["router"]
    assert lines["router"].apply[3:] == ("delay", "40ms", "10ms", "loss", "2%")
    assert equipment.lines("lossy", lossy, "lan") == {}


def test_a_machine_s_nic_has_a_bad_line_of_its_own(tmp_path: Path) -> None:
    file = tmp_path / "rack.yaml"
    file.write_text(
        "extends: lossy\n"
        "machines:\n"
        "  storage1: {netem: {lan: {delay: 20ms, rate: 10mbit}, storage: {loss: 50%}}}\n"
        "  firewall: {netem: {isp: {duplicate: 1%, corrupt: 0.5%, reorder: 25%, delay: 1s}}}\n"
    )
    topology = load_topology(file, "x")
    found = {
        (network, machine): line.apply[3:]
        for network in topology.networks
        for machine, line in equipment.lines("x", topology, network).items()
    }
    isp = "delay 1s duplicate 1% corrupt 0.5% reorder 25%"
    assert found == {
        ("isp", "firewall"): tuple(isp.split()),
        ("lan", "storage1"): ("delay", "20ms", "rate", "10mbit"),
        ("storage", "storage1"): ("loss", "50%"),
        ("wan", "router"): ("delay", "40ms", "10ms", "loss", "2%"),
    }
    bridges = {
        line.remove[1]
        for n in topology.networks
        for line in equipment.lines("x", topology, n).values()
    }
    assert len(bridges) == len(found)
