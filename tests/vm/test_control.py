"""The control plane's proof: who serves when servers die, freeze, are cut off, come back.

Each drill checks the rack's health before and after; `--times N` runs each N times in a row.
Those marked rack need one server alone: part of the proof of a rack that has a control plane.
Takeover times are printed, for the record, and not judged.
"""

import json
from concurrent.futures import ThreadPoolExecutor

import pytest
from checks import assert_clock, assert_keeps_commits, topology_of
from drills import (
    HEALED_S,
    Watch,
    assert_configured,
    assert_healthy,
    changes_of_server,
    cut_off,
    kill,
    leader,
    led_by_a_guest,
    phases,
    qemu,
    revive,
    watch,
)
from probes import probe, settings_of
from racks import Rack, packaged

from config.consul import PATIENT
from config.topology import ConsulServer, San

pytestmark = [
    pytest.mark.control,
    pytest.mark.timeout(3600),
    pytest.mark.usefixtures("formed"),
]

TAKEOVER_S = 180  # a hang
FROZEN_S = 60  # longer than any takeover seen


def test_a_second_up_changes_nothing(rack: Rack) -> None:
    rack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_the_founder_serves_until_somebody_must_take_over(rack: Rack) -> None:
    assert assert_healthy(rack) == topology_of(rack).founder


ROGUE = """python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
s.bind((\\"\\", 67))
for n in range(5): s.sendto(bytes(300), (\\"255.255.255.255\\", 68))
" """
CLIENT = """timeout 20 python3 -c "
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind((\\"\\", 68))
print(len(s.recv(2000)))
" || echo nothing"""


@pytest.mark.rack
@pytest.mark.long
def test_a_rogue_dhcp_server_is_dropped_and_named(rack: Rack) -> None:
    settings = settings_of(rack)
    with probe(settings, "lan") as rogue, probe(settings, "lan", 198) as client:
        with ThreadPoolExecutor() as pool:
            heard = pool.submit(client.run, CLIENT)
            rogue.run(f"sleep 5; {ROGUE}")
            assert heard.result().strip() == "nothing"
        mac = rogue.run(f"cat /sys/class/net/{rogue.name}/address").strip()
    assert json.loads(rack.lab("status", "--json"))["rogue_dhcp_servers"] == [mac]


@pytest.mark.rack
@pytest.mark.long
def test_clock_that_jumps_an_hour_changes_nobody_s_duty(rack: Rack, attempt: int) -> None:
    """Without NTP, and with it, which sets it right again."""
    old = assert_healthy(rack)
    with watch(rack) as watching:
        since = watching.now()
        rack.lab("ssh", old, "--", "rc-service chronyd stop")
        for hours in (1, -1, -1):
            jump = f"date -s @$(( $(date +%s) + {hours} * 3600 ))"
            rack.lab("ssh", old, "--", jump)
            rack.lab_machine(f"sleep {4 * PATIENT.proof_s}")
        rack.lab("ssh", old, "--", "rc-service chronyd start")
        assert_clock(rack, old)
        assert changes_of_server(watching.answers(since)) == [old]
    assert_healthy(rack)


@pytest.mark.rack
@pytest.mark.long
def test_what_lbu_commit_changed_is_shown_kept_and_booted(rack: Rack) -> None:
    assert_keeps_commits(rack)


def take_over(rack: Rack, watching: Watch, old: str, since: float) -> str:
    """Waits for the next server; tells how long it took. There was no moment with two."""
    first = watching.first_of_another(old, since, TAKEOVER_S)
    took, (gap, _) = first.at - since, watching.gaps(since)[0]
    elected, served = (at - since for at in phases(rack, first.server))
    print(f"takeover: {old} -> {first.server} in {took:.1f} s, nobody answered for {gap:.1f} s;")
    print(f"its election was won after {elected:.0f} s, its gate open after {served:.0f} s")
    order = changes_of_server(watching.answers(since))
    assert order in ([first.server], [old, first.server]), order
    return first.server


def test_killed_leader_is_followed(rack: Rack, attempt: int) -> None:
    old = assert_healthy(rack)
    with watch(rack) as watching:
        killed = kill(rack, old)
        take_over(rack, watching, old, killed)
        revive(rack, old)
        assert_healthy(rack)


def test_leader_whose_san_loses_power_is_followed(rack: Rack, attempt: int) -> None:
    old = led_by_a_guest(rack)
    ((san, _),) = topology_of(rack).of(ConsulServer)[old].legs
    node = topology_of(rack).of(San)[san].node
    with watch(rack) as watching:
        since = kill(rack, node)
        take_over(rack, watching, old, since)
        switched_on = watching.now()
        revive(rack, node)
        print(f"{node} was ready {watching.now() - switched_on:.0f} s after it was switched on")
        assert_healthy(rack)
        print(f"all was healthy {watching.now() - switched_on:.0f} s after that")


def test_leader_killed_while_a_node_boots_leaves_it_configured(rack: Rack, attempt: int) -> None:
    old = assert_healthy(rack)
    mac = rack.lab("ssh", "router", "--", "cat", "/sys/class/net/eth0/address").strip()
    log = "/var/log/dnsmasq.log"
    count = f"grep -c 'DHCPACK.*{mac}' {log} || true"
    before = rack.lab("ssh", old, "--", count).strip()
    rack.lab("power", "router", "cycle")
    rack.lab("ssh", old, "--", f"until [ $({count}) -gt {before} ]; do sleep 0.2; done")
    kill(rack, old)
    rack.lab("wait", "router")
    assert_configured(rack, "router")
    assert leader(rack) != old
    revive(rack, old)
    assert_healthy(rack)


def test_leader_cut_off_from_the_others_is_silent_before_the_next_speaks(
    rack: Rack, attempt: int
) -> None:
    old = assert_healthy(rack)
    with watch(rack) as watching:
        with cut_off(rack, old) as since:
            new = take_over(rack, watching, old, since)
            last = max(
                [each.at for each in watching.answers(since) if each.server == old] or [since]
            )
            print(f"{old}'s last answer {last - since:.1f} s after the cut")
            assert (
                last - since < PATIENT.proof_s + 1 + PATIENT.proof_s
            )  # a proof under way, and the probe's second
        assert_healthy(rack)
        assert set(changes_of_server(watching.answers(since))[1:]) <= {new}


def test_frozen_leader_sends_no_reply_after_it_wakes(rack: Rack, attempt: int) -> None:
    old = assert_healthy(rack)
    with watch(rack) as watching:
        since = qemu(rack, old, "STOP")
        try:
            take_over(rack, watching, old, since)
            rack.lab_machine(f"sleep {FROZEN_S}")
            woken = watching.now()
        finally:
            qemu(rack, old, "CONT")
        assert_healthy(rack)
        assert [each for each in watching.answers(woken) if each.server == old] == []


def test_without_a_quorum_nobody_serves(rack: Rack, attempt: int) -> None:
    old = assert_healthy(rack)
    others = [name for name in topology_of(rack).consul_servers if name != old]
    with watch(rack) as watching:
        for name in others:
            kill(rack, name)
        rack.lab_machine(f"sleep {4 * PATIENT.proof_s}")
        silent_from = watching.now()
        rack.lab_machine(f"sleep {4 * PATIENT.proof_s}")
        assert watching.answers(silent_from) == []
        for name in others:
            rack.lab("power", name, "on")
        assert watching.first_of_another("nobody", silent_from, HEALED_S)
        assert_healthy(rack)


# A server's copy of the boot tree follows consul's entries a moment later.
IN_COPY = """entries="/var/lib/boot-tree/machines/*/boot.env /media/stick/machines/*/boot.env"
for n in $(seq 60); do
    grep -q {} $entries && exit
    sleep 1
done 2>/dev/null; cat $entries; exit 1"""


def test_a_commit_made_without_a_leader_arrives_when_there_is_one(rack: Rack, attempt: int) -> None:
    old = assert_healthy(rack)
    rack.lab("ssh", "router", "--", f"echo {attempt} >/etc/rack/drill")
    kill(rack, old)
    rack.lab("ssh", "router", "--", "lbu", "commit")
    new = leader(rack)
    sha256 = rack.lab("ssh", "router", "--", "rack-commit pack | sha256sum").split()[0]
    rack.lab("ssh", new, "--", IN_COPY.format(f"commit_sha256={sha256}"))
    revive(rack, old)
    assert_healthy(rack)


def test_an_image_reaches_its_machines_from_a_server_that_does_not_lead(
    rack: Rack, attempt: int
) -> None:
    """It is published on the first server, which others that lead fetch it from."""
    first = settings_of(rack).topology.boot_servers[0]
    if assert_healthy(rack) == first:
        kill(rack, first)
        revive(rack, first)
    assert assert_healthy(rack) != first
    with packaged("roles/san", "nftables"):
        rack.pulumi("up", "--yes", "--skip-preview")
        rack.lab("ssh", "san1", "--", "nft", "--version")
    rack.pulumi("up", "--yes", "--skip-preview")
    assert assert_healthy(rack) != first


def test_all_images_change_and_change_back_while_the_rack_serves(rack: Rack, attempt: int) -> None:
    """Each machine takes both, and each server's memory has room for old and new ones."""
    assert_healthy(rack)
    with packaged("common", "nftables"):
        rack.pulumi("up", "--yes", "--skip-preview")
        assert_healthy(rack)
        rack.lab("ssh", "consul1", "--", "nft", "--version")
    rack.pulumi("up", "--yes", "--skip-preview")
    assert_healthy(rack)
    rack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_full_volume_of_one_server_leaves_the_others_serving(rack: Rack, attempt: int) -> None:
    old = assert_healthy(rack)
    full = next(name for name in topology_of(rack).consul_servers if name not in (old, "laptop"))
    with watch(rack) as watching:
        rack.lab(
            "ssh",
            full,
            "--",
            "dd if=/dev/zero of=/var/lib/consul/filling bs=64k 2>/dev/null || true",
        )
        since = watching.now()
        rack.lab("ssh", "router", "--", f"echo {attempt} >/etc/rack/full; lbu commit")
        rack.lab_machine(f"sleep {4 * PATIENT.proof_s}")
        assert changes_of_server(watching.answers(since)) == [old]
        rack.lab("ssh", full, "--", "rm /var/lib/consul/filling; rc-service consul restart")
        assert_healthy(rack)
