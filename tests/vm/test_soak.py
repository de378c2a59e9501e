"""Random faults of every kind, seed after seed, each from the rack as it was raised."""

import pytest
from checks import assert_serves
from racks import Rack

pytestmark = [pytest.mark.soak, pytest.mark.timeout(7200), pytest.mark.usefixtures("formed")]


def test_the_rack_heals_after_each_fault(rack: Rack, seed: int) -> None:
    print(f"=== seed {seed}; again: make soak SEED={seed} SEEDS=1")
    rack.lab("cycle", "--seed", str(seed), "--rounds", "5")
    assert_serves(rack)
    assert rack.planned() == {}
