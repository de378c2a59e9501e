"""The ways back of docs/control-plane.md: servers, their state or all power are lost.

Each ends with the whole rack healthy; `--times N` runs each N times in a row. Those marked rack are
for the small rack too; a start from no power is tried there anyway.
"""

import pytest
from checks import topology_of
from drills import assert_configured, assert_healthy, kill, leader, revive
from racks import Rack

from config.topology import ConsulServer

pytestmark = [
    pytest.mark.control,
    pytest.mark.timeout(3600),
    pytest.mark.usefixtures("formed"),
]


def guests(rack: Rack) -> dict[str, ConsulServer]:
    """The consul servers that have their state on a volume of a SAN."""
    return dict(topology_of(rack).of(ConsulServer))


def blank(rack: Rack, name: str) -> None:
    """What its volume holds is lost; the machine is off."""
    ((san, volume),) = guests(rack)[name].legs
    wipe = f". /etc/rack/san.conf; dd if=/dev/zero of=/dev/$vg/{volume} bs=1M count=8"
    rack.lab("ssh", san, "--", wipe)


def configured_boot(rack: Rack, machine: str) -> None:
    """It boots, with its overlay."""
    rack.lab("power", machine, "cycle")
    rack.lab("wait", machine)
    assert_configured(rack, machine)


def test_all_power_is_lost(rack: Rack, attempt: int) -> None:
    assert_healthy(rack)
    rack.lab("power", "all", "off")
    rack.lab("start")
    assert_healthy(rack)


@pytest.mark.rack
@pytest.mark.long
def test_a_server_with_a_blank_volume_gets_all(rack: Rack, attempt: int) -> None:
    old = assert_healthy(rack)
    name = next(each for each in guests(rack) if each != old)
    kill(rack, name)
    blank(rack, name)
    revive(rack, name)
    assert_healthy(rack)


@pytest.mark.rack
@pytest.mark.long
def test_a_snapshot_brings_back_what_was_stored(rack: Rack, attempt: int) -> None:
    leading = assert_healthy(rack)

    def commit(text: str) -> str:
        rack.lab("ssh", "router", "--", f"echo {text} >/etc/rack/restored; lbu commit")
        return rack.lab("committed", "router")

    kept = commit(f"kept {attempt}")
    rack.lab("ssh", leading, "--", "control-plane", "snapshot")
    assert commit(f"lost {attempt}") != kept
    restore = ["control-plane", "restore", "/var/lib/consul/rack.snapshot"]
    rack.lab("ssh", leading, "--", *restore)
    assert rack.lab("committed", "router") == kept
    assert_healthy(rack)
    configured_boot(rack, "router")
    assert rack.lab("ssh", "router", "--", "cat", "/etc/rack/restored") == f"kept {attempt}\n"


def test_one_server_is_left(rack: Rack, attempt: int) -> None:
    """It leads alone; the others come back one by one with their old state, and rejoin."""
    assert_healthy(rack)
    left = list(guests(rack))[-1]
    gone = [name for name in topology_of(rack).consul_servers if name != left]
    for name in gone:
        kill(rack, name)
    unled = """n=0; until control-plane status | grep -q '"leader":""'; do
        n=$((n + 1)); [ $n -lt 60 ] || { control-plane status; exit 1; }; sleep 1
    done"""
    rack.lab("ssh", left, "--", unled)
    rack.lab("ssh", left, "--", "control-plane", "lead-alone")
    assert leader(rack) == left
    configured_boot(rack, "router")
    for name in gone:
        revive(rack, name)
        rack.lab("ssh", name, "--", "control-plane", "rejoin")
        rack.lab("wait", name)
    assert_healthy(rack)


def test_the_stick_is_left(rack: Rack, attempt: int) -> None:
    """The laptop serves alone until the others are there, with blank volumes."""
    assert_healthy(rack)
    for name in guests(rack):
        kill(rack, name)
        blank(rack, name)
    rack.lab("power", "all", "off")
    rack.lab("start")
    assert_healthy(rack)
