"""The boot server moves: off its stick into a compute node and back, while machines use it.

Each drill checks the rack's health before and after; `--times N` runs each N times in a row.
Gaps in answers are printed, and judged by what a booting machine would notice.
"""

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager

import pytest
from checks import boots
from drills import HEALED_S, Watch, assert_configured, assert_healthy, watch
from probes import PXE_ASKS_S, probe, settings_of
from racks import Rack

from config import addressing, names
from config.access import LAB_MACHINE

pytestmark = [pytest.mark.moving, pytest.mark.timeout(3600), pytest.mark.usefixtures("formed")]

SLOWLY = "curl -sSf --limit-rate 400k http://{address}/{path} | sha256sum"


def place(rack: Rack) -> tuple[int, str]:
    """The laptop's level, and where it has tree and state."""
    where = rack.lab("ssh", "laptop", "--", "stick", "where").strip()
    return rack.status()["laptop"]["level"], where


def move(rack: Rack, to: str) -> None:
    rack.lab("boot-server", "move", to)


def assert_always_heard(watching: Watch, since: float, what: str) -> None:
    """Nobody who boots asks in vain; prints the longest times without an answer."""
    longest = watching.gaps(since)[:4]
    told = ", ".join(f"{gap:.1f} s (after {at:.0f} s)" for gap, at in longest)
    print(f"{what}; nobody answered for {told}")
    assert longest[0][0] < PXE_ASKS_S, told


def test_it_moved_by_itself_and_a_second_up_changes_nothing(rack: Rack) -> None:
    assert place(rack) == (2, "volume")
    assert assert_healthy(rack) == "laptop"
    told = rack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert "is off" not in told


@pytest.mark.parametrize("to", [LAB_MACHINE, "compute1"])
def test_nobody_notices_a_move(rack: Rack, to: str, attempt: int) -> None:
    """Its leases, its consul peer, a download in progress and a node that boots survive."""
    move(rack, LAB_MACHINE if to == "compute1" else "compute1")
    assert_healthy(rack)
    before = boots(rack, "laptop")
    with watch(rack) as watching, download(rack) as (downloading, wanted):
        rack.lab("power", "router", "cycle")
        since = watching.now()
        move(rack, to)
        assert_always_heard(watching, since, f"move to {to} took {watching.now() - since:.0f} s")
        assert downloading.result().split()[0] == wanted
        rack.lab("wait", "router")
        assert {each.server for each in watching.answers(since)} == {"laptop"}
    assert_configured(rack, "router")
    assert place(rack) == ((1, "stick") if to == LAB_MACHINE else (2, "volume"))
    assert boots(rack, "laptop") == before
    assert_healthy(rack)


@contextmanager
def download(rack: Rack) -> Iterator[tuple[Future[str], str]]:
    """Somebody on lan takes the largest layer, slowly; and its sha256."""
    settings = settings_of(rack)
    address = addressing.boot_address(settings.topology).ip
    largest = "cd /run/rack/tree && ls -S images/*.squashfs | head -n 1 | xargs sha256sum"
    wanted, path = rack.lab("ssh", "laptop", "--", largest).split()
    with probe(settings, "lan", 198) as host, ThreadPoolExecutor() as pool:
        yield pool.submit(host.run, SLOWLY.format(address=address, path=path)), wanted


def test_the_san_goes_and_comes_back(rack: Rack, attempt: int) -> None:
    """The boot server, whose volume it has, boots it."""
    move(rack, "compute1")
    assert assert_healthy(rack) == "laptop"
    rack.lab("power", "storage1", "cycle")
    rack.lab("wait", "storage1")
    rack.lab("wait", "san1")
    whole = "grep -qF '[3/2]' /proc/mdstat"
    script = f"for n in $(seq {HEALED_S}); do {whole} && exit; sleep 1; done; exit 1"
    rack.lab("ssh", "laptop", "--", script)
    assert assert_healthy(rack) == "laptop"


def test_node_killed_in_the_middle_leaves_it_at_home(rack: Rack, attempt: int) -> None:
    move(rack, LAB_MACHINE)
    assert_healthy(rack)
    domain = names.domain(rack.stack, "laptop")
    began = f"until virsh domjobinfo {domain} | grep -q 'Memory processed'; do sleep 0.5; done"
    with watch(rack) as watching, ThreadPoolExecutor() as pool:
        since = watching.now()
        moving = pool.submit(rack.lab, "boot-server", "move", "compute1", check=False)
        rack.lab_machine(began)
        rack.lab("power", "compute1", "off")
        assert "boot-server move" in moving.result()
        assert rack.status()["laptop"]["level"] == 1
        assert_always_heard(watching, since, "node killed")
        assert {each.server for each in watching.answers(since)} == {"laptop"}
    rack.lab("power", "compute1", "on")
    rack.lab("wait", "compute1")
    assert_healthy(rack)
    move(rack, "compute1")
    assert place(rack) == (2, "volume")


def test_no_power_at_all_while_it_is_away(rack: Rack, attempt: int) -> None:
    move(rack, "compute1")
    assert_healthy(rack)
    marked = ("router", "storage1")  # which boots from the stick, where that commit isn't
    for name in marked:
        rack.lab("ssh", name, "--", f"echo {attempt} >/etc/rack/moved; lbu commit")
    rack.lab("power", "all", "off")
    rack.lab("start")
    assert place(rack) == (2, "volume")
    for name in marked:
        assert rack.lab("ssh", name, "--", "cat", "/etc/rack/moved").strip() == str(attempt)
    assert_healthy(rack)
