"""What stands on the lab machine, of every shipped topology."""

import pytest

import equipment
from config.load import FOLDER, load_topology, shipped

RACKS = shipped()
LONG = "an-experiment-with-a-long-name"
IFNAMSIZ = 15  # linux/if.h, without the NUL
UPLINK_SUFFIX = 2  # uplink.sh's ports


@pytest.mark.parametrize("name", RACKS)
@pytest.mark.parametrize("stack", ["lab", LONG])
def test_interfaces_have_names_the_kernel_takes(name: str, stack: str) -> None:
    pieces = list(equipment.everything(stack, load_topology(FOLDER / f"{name}.yaml", stack)))
    assert len(pieces) > 10
    for piece in pieces:
        if piece.script in ("bridge", "station"):
            assert max(map(len, piece.remove[:-1])) <= IFNAMSIZ, piece
        if piece.script == "uplink":
            assert len(piece.remove[1]) + UPLINK_SUFFIX <= IFNAMSIZ, piece


@pytest.mark.parametrize("name", RACKS)
def test_two_stacks_share_nothing(name: str) -> None:
    topology = load_topology(FOLDER / f"{name}.yaml", "one")
    one, other = (
        {piece.remove for piece in equipment.everything(stack, topology)}
        for stack in ("one", "other")
    )
    assert len(one) > 10
    assert not one & other


def test_a_bad_line_is_the_topology_s() -> None:
    lossy = load_topology(FOLDER / "lossy.yaml", "lossy")
    line = equipment.uplink("lossy", lossy, "wan")
    assert line is not None
    assert line.apply[3:] == ("delay", "40ms", "10ms", "loss", "2%")
    assert equipment.uplink("lossy", lossy, "lan") is None
