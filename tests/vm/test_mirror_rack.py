"""The small rack of an Alpine mirror's packages.

`make test-mirror` makes a mirror of the packages that can be had without one, and serves it on
loopback. `make test-mirror URL=https://…/alpine/v3.23` takes a real one, whose lock stays.
"""

from collections.abc import Iterator

import pytest
from checks import assert_keeps_commits, assert_serves
from mirrors import named_mirror, served_mirror
from racks import Rack, stack

from alpine.mirror import LOCK
from config.mirror import Mirror

pytestmark = [pytest.mark.mirror, pytest.mark.vm, pytest.mark.timeout(5400)]
STACK = "mirror"


@pytest.fixture(scope="module")
def mirror(request: pytest.FixtureRequest) -> Iterator[Mirror]:
    if named := named_mirror(request.config):
        yield named
        return
    with served_mirror() as served:
        yield served


@pytest.fixture(scope="module")
def rack(mirror: Mirror, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    options = {"alpine": mirror.place, "alpineKeys": mirror.keys}
    with stack(STACK, tmp_path_factory.mktemp(STACK), {}, options=options) as made:
        yield made


def test_the_first_build_locks_what_the_mirror_has(mirror: Mirror, rack: Rack) -> None:
    locked = LOCK.exists()  # a real mirror's, of an earlier run
    told = f"are locked yet: lab --stack {rack.stack} alpine lock"
    assert (told in rack.lab("doctor", check=False)) != locked
    said = rack.lab("build")
    assert (f"packages of {mirror.place} locked in alpine/mirror.lock" in said) != locked
    assert f"{mirror.place}, in the versions of" in rack.lab("doctor", check=False)
    assert "locked" not in rack.lab("build")


def test_the_small_rack_is_raised_of_them(rack: Rack) -> None:
    rack.pulumi("up", "--yes", "--skip-preview")
    assert rack.planned() == {}
    assert_serves(rack)


def test_what_lbu_commits_is_kept(rack: Rack) -> None:
    assert_keeps_commits(rack)
