"""The proof, third part: a raised rack is used, changed, broken and destroyed, for real.

Each test starts from the rack as it was raised, and can be run alone (`make test PART=cold-start`).
What must heal by itself is watched healing.
"""

import pytest
from checks import Writer, assert_array, assert_clock, assert_serves, boots, topology_of
from drills import kill
from leftovers import LEFTOVERS, left
from probes import PXE_ASKS_S, Probe, probe, settings_of
from racks import Rack, packaged

from config import addressing
from config.access import LAB_MACHINE
from config.topology import LxcHost, San

pytestmark = [
    pytest.mark.rack,
    pytest.mark.timeout(3000),
    pytest.mark.usefixtures("formed"),
]

PAGE = "machines/lxc1/containers/web1/volume_pages/nbd.txt"
ON_COMPUTE1 = ("nfs1", "lxc1")


def test_clocks_are_right_again_at_all_levels_after_going_back(rack: Rack) -> None:
    assert_clock(rack, LAB_MACHINE, *topology_of(rack).machines)
    assert_serves(rack)


def lease(host: Probe, mac: str) -> str:
    """The address the boot server gives a NIC on lan; asked as long as a booting machine asks."""
    tries = f"-T 3 -t {PXE_ASKS_S // 3}"
    ask = f"udhcpc -f -n -q {tries} -s /bin/true -i {host.name} 2>&1"
    return (
        host.run(f"ip link set {host.name} address {mac}; {ask}").split("lease of ")[1].split()[0]
    )


@pytest.mark.long
def test_dhcp_lease_outlives_its_server_and_is_never_of_an_address_that_answers(rack: Rack) -> None:
    settings = settings_of(rack)
    mac, other = "52:54:00:00:00:01", "52:54:00:00:00:02"
    first, last = addressing.DYNAMIC_HOSTS
    free, *answering = (
        addressing.interface(settings.topology, "lan", host) for host in range(first, last + 1)
    )
    with probe(settings, "lan", last + 1) as client:
        with probe(settings, "lan") as others:
            add = "ip address add {} dev {};"
            others.run(" ".join(add.format(each, others.name) for each in answering))
            given = lease(client, mac)
        assert given == str(free.ip)
        assert lease(client, other) != given
        rack.lab("power", "laptop", "cycle")
        rack.lab("wait", "laptop")
        assert lease(client, mac) == given
    leases = rack.lab("ssh", "laptop", "--", "cat", "/run/control-plane/leases").splitlines()
    assert [line.split()[0] for line in leases if mac in line] == ["0"], "0: it never ends"


@pytest.mark.long
def test_a_changed_page_is_an_update_of_that_page_alone(rack: Rack) -> None:
    rack.change(PAGE, "changed")
    assert rack.planned() == {"web1-nbd.txt": "update"}
    rack.pulumi("up", "--yes", "--skip-preview")
    assert_serves(rack)


@pytest.mark.long
def test_a_larger_volume_is_an_update_up_to_the_file_system(rack: Rack) -> None:
    rack.change("machines/san1/volumes/web", "160MiB")
    assert rack.planned() == {"san1-web": "update", "lxc1-file-system": "update"}
    before = boots(rack, "san1", "lxc1")
    rack.pulumi("up", "--yes", "--skip-preview")
    blocks = rack.lab("ssh", "lxc1", "--", "stat -f -c '%b %S' /srv/volume").split()
    assert int(blocks[0]) * int(blocks[1]) > 128 << 20
    assert boots(rack, "san1", "lxc1") == before
    assert_serves(rack)


@pytest.mark.long
def test_a_package_of_a_role_reaches_the_running_machines(rack: Rack) -> None:
    with packaged("roles/nfs", "nftables"):
        planned = rack.planned()
        assert planned == dict.fromkeys(
            ("laptop-image-nfs", "nfs1-boot-entry", "nfs1-boot-tree", "nfs1-ready"), "update"
        )
        before = boots(rack, "nfs1")
        rack.pulumi("up", "--yes", "--skip-preview")
        rack.lab("ssh", "nfs1", "--", "nft", "--version")
        assert boots(rack, "nfs1") == before
        assert_serves(rack)


@pytest.mark.long
def test_a_node_that_is_off_is_no_change(rack: Rack) -> None:
    rack.lab("power", "compute1", "off")
    assert rack.planned() == {}
    refreshed = rack.pulumi("refresh", "--yes", "--expect-no-changes")
    assert "libvirt on compute1" in refreshed
    assert "kept as last seen" in refreshed
    raised = rack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert "compute1 is off: what lives there is kept as last seen" in raised


@pytest.mark.long
def test_a_change_on_a_node_that_is_off_fails_with_the_remedy_and_the_rest_goes_on(
    rack: Rack,
) -> None:
    page = topology_of(rack).containers["web1"].volume_pages["nbd.txt"]
    rack.lab("power", "compute1", "off")
    rack.change(PAGE, "changed again")
    rack.change("machines/san1/volumes/spare", "32MiB")
    shown = rack.pulumi("up", "--yes", "--skip-preview", "--continue-on-error", check=False)
    assert (
        "lxc1 can't be reached; if it is off, switch it on: lab --stack ci power compute1 on"
        in shown
    )
    assert "spare" in rack.lab("ssh", "san1", "--", "lvs")
    rack.change(PAGE, page)
    assert rack.planned() == {}


@pytest.mark.long
def test_other_networks_and_memory_replace_the_node_and_its_guests_come_back(rack: Rack) -> None:
    """The node is off until then."""
    rack.lab("power", "compute1", "off")
    rack.change("machines/compute1/networks", ["lan", "wan", "storage"])
    rack.change("machines/compute1/memory", "1600MiB")
    planned = rack.planned()
    assert planned.pop("compute1") == "replace"
    assert planned == dict.fromkeys(("compute1-boot-entry", "compute1-ready"), "update")
    rack.pulumi("up", "--yes", "--skip-preview")
    for machine in ON_COMPUTE1:
        rack.lab("wait", machine)
    rack.lab("ssh", "compute1", "--", "ip -4 address show | grep 10.77.4.31/24")
    assert_serves(rack)


@pytest.mark.long
def test_it_runs_without_the_laptop(rack: Rack) -> None:
    """Guests too, that start anew."""
    rack.lab("power", "laptop", "off")
    assert_serves(rack)
    rack.lab("power", "lxc1", "reset")
    rack.lab("wait", "lxc1")
    assert_serves(rack)


@pytest.mark.long
def test_a_san_that_loses_its_power_comes_back_with_all_that_it_has_answered(rack: Rack) -> None:
    """What is written on NBD and NFS meanwhile waits and goes on."""
    lxc1 = ("ssh", "lxc1", "--")
    file, blocks = "/srv/volume/answered", "bs=64k count=16 2>/dev/null"
    rack.lab(
        *lxc1, f"dd if=/dev/zero of={file} {blocks}; sync; dd if=/dev/urandom of=/run/new {blocks}"
    )
    writers = [Writer(rack, "lxc1", f"/srv/{place}/written", 16) for place in ("volume", "share")]
    overwrite = f"dd if=/run/new of={file} oflag=direct conv=notrunc {blocks}; sha256sum </run/new"
    answered = rack.lab(*lxc1, overwrite)
    kill(rack, "storage1")
    rack.lab("power", "storage1", "on")
    for machine in ("storage1", "san1"):
        rack.lab("wait", machine)
    assert_serves(rack)
    for writer in writers:
        writer.assert_written()
    assert rack.lab(*lxc1, f"dd if={file} iflag=direct {blocks} | sha256sum") == answered


@pytest.mark.parametrize(
    ("machine", "disk"),
    [("storage1", "sdb"), ("labmachine", "disk2")],
)
def test_disk_loss_is_borne_and_mended_under_a_writer(rack: Rack, machine: str, disk: str) -> None:
    writer = Writer(rack, "lxc1", "/srv/volume/written", 12)
    rack.lab("fault", "disk", machine, disk)
    assert_array(rack, machine, whole=False)
    writer.assert_written()
    rack.lab("fault", "disk", machine, disk, "--repair")
    assert_array(rack, machine, whole=True)
    writer.assert_written()
    assert_serves(rack)


@pytest.mark.whole
def test_mirror_over_two_sans_serves_on_without_one(rack: Rack) -> None:
    mirrored = [
        (name, [san for san, _ in host.legs])
        for name, host in topology_of(rack).of(LxcHost).items()
        if len(host.legs) > 1
    ]
    assert mirrored
    for name, sans in mirrored:
        node = topology_of(rack).of(San)[sans[0]].node
        writer = Writer(rack, name, "/srv/volume/written", 16)
        rack.lab("power", node, "off")
        assert_array(rack, name, whole=False)
        assert_serves(rack, name)
        writer.assert_written()
        rack.lab("power", node, "on")
        for machine in (node, sans[0]):
            rack.lab("wait", machine)
        assert_array(rack, name, whole=True)
        writer.assert_written()
    assert_serves(rack)


@pytest.mark.long
def test_cycle_of_random_faults_heals_each_time(rack: Rack) -> None:
    rack.lab("cycle", "--seed", "4", "--rounds", "3")
    assert_serves(rack)


@pytest.mark.long
def test_cold_start_brings_all_of_it_back(rack: Rack) -> None:
    rack.lab("power", "all", "off")
    rack.lab("machine", "down")
    rack.lab("start")
    assert_serves(rack)
    assert rack.planned() == {}


def test_destroy_ends_with_nodes_dead_and_leaves_nothing(rack: Rack) -> None:
    for node in ("compute1", "storage1"):
        rack.lab("power", node, "off")
    rack.pulumi("destroy", "--yes", "--skip-preview")
    assert left(rack) == dict.fromkeys(LEFTOVERS, "")
