"""The proof: the small rack is raised, used, changed, broken, and destroyed, for real.

The tests tell one story and run in the order they stand in; each leaves the rack whole.
"""

from collections.abc import Mapping

import pytest
from leftovers import LEFTOVERS
from small_rack import PROJECT, Rack, rewritten

from config.load import load_topology
from config.topology import Node

pytestmark = [pytest.mark.rack, pytest.mark.timeout(3000)]

PAGES = {"nbd.txt": "from the NBD volume", "nfs.txt": "from the NFS share"}
CHANGED = {**PAGES, "nbd.txt": "changed"}
ON_COMPUTE1 = ("nfs1", "lxc1")


def serves(rack: Rack, page: str) -> str:
    """What the container answers on wan, asked from the router."""
    return rack.lab("ssh", "router", "--", "wget", "-qO-", f"http://10.77.5.71/{page}").strip()


def assert_serves(rack: Rack, pages: Mapping[str, str]) -> None:
    assert {page: serves(rack, page) for page in pages} == pages


def boots(rack: Rack, *machines: str) -> dict[str, str]:
    """An id of each machine's present run."""
    where = "/proc/sys/kernel/random/boot_id"
    return {name: rack.lab("ssh", name, "--", "cat", where).strip() for name in machines}


def test_preview_contacts_nothing_and_lists_everything(rack: Rack) -> None:
    shown = rack.pulumi("preview")
    machines = load_topology(rack.topology, "ci").machines
    assert machines
    assert [name for name in machines if f"Domain {name} create" not in shown] == []


def test_up_after_one_that_was_killed_raises_it(rack: Rack) -> None:
    """Killed with a domain made that the state doesn't have yet."""
    rack.killed_up("until virsh list --name | grep -qx ci-router; do sleep 0.2; done")
    rack.lab("unlock")
    rack.pulumi("up", "--yes", "--skip-preview")
    status = rack.status()
    assert status
    assert {name: each["phase"] for name, each in status.items() if not each["ready"]} == {}


def test_nothing_stands_twice(rack: Rack) -> None:
    """What is on the lab machine after the killed run and the next: each machine once."""
    topology = load_topology(rack.topology, "ci")
    domains = rack.lab_machine("virsh list --all --name").split()
    assert sorted(domains) == sorted(f"ci-{name}" for name in topology.of(Node))
    assert len(rack.lab_machine("ovs-vsctl list-br").split()) == len(topology.networks)


def test_the_container_serves_its_pages_on_wan(rack: Rack) -> None:
    assert_serves(rack, PAGES)


def test_a_second_up_changes_nothing(rack: Rack) -> None:
    rack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_changed_page_is_an_update_of_that_page_alone(rack: Rack) -> None:
    rack.change("machines/lxc1/containers/web1/volume_pages/nbd.txt", "changed")
    assert rack.planned() == {"web1-nbd.txt": "update"}
    rack.pulumi("up", "--yes", "--skip-preview")
    assert_serves(rack, CHANGED)


def test_a_larger_volume_is_an_update_up_to_the_file_system(rack: Rack) -> None:
    rack.change("machines/san1/volumes/web", "160MiB")
    assert rack.planned() == {"san1-web": "update", "lxc1-file-system": "update"}
    before = boots(rack, "san1", "lxc1")
    rack.pulumi("up", "--yes", "--skip-preview")
    blocks = rack.lab("ssh", "lxc1", "--", "stat -f -c '%b %S' /srv/volume").split()
    assert int(blocks[0]) * int(blocks[1]) > 128 << 20
    assert boots(rack, "san1", "lxc1") == before
    assert_serves(rack, CHANGED)


def test_a_package_of_a_role_reaches_the_running_machines(rack: Rack) -> None:
    packages = PROJECT / "guest" / "roles" / "nfs" / "packages"
    assert "nftables" not in packages.read_text()
    with rewritten(packages, packages.read_text() + "nftables\n"):
        planned = rack.planned()
        assert planned == dict.fromkeys(
            ("laptop-image-nfs", "nfs1-boot-entry", "nfs1-boot-tree", "nfs1-ready"), "update"
        )
        before = boots(rack, "nfs1")
        rack.pulumi("up", "--yes", "--skip-preview")
        rack.lab("ssh", "nfs1", "--", "nft", "--version")
        assert boots(rack, "nfs1") == before
        assert_serves(rack, CHANGED)
    rack.pulumi("up", "--yes", "--skip-preview")


def test_a_node_that_is_off_is_no_change(rack: Rack) -> None:
    rack.lab("power", "compute1", "off")
    assert rack.planned() == {}
    refreshed = rack.pulumi("refresh", "--yes", "--expect-no-changes")
    assert "libvirt on compute1" in refreshed
    assert "kept as last seen" in refreshed
    raised = rack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert "compute1 is off: what lives there is kept as last seen" in raised


def test_a_change_on_a_node_that_is_off_fails_with_the_remedy_and_the_rest_goes_on(
    rack: Rack,
) -> None:
    rack.change("machines/lxc1/containers/web1/volume_pages/nbd.txt", PAGES["nbd.txt"])
    rack.change("machines/san1/volumes/spare", "32MiB")
    shown = rack.pulumi("up", "--yes", "--skip-preview", "--continue-on-error", check=False)
    assert (
        "lxc1 can't be reached; if it is off, switch it on: lab --stack ci power compute1 on"
        in shown
    )
    assert "spare" in rack.lab("ssh", "san1", "--", "lvs")
    rack.change("machines/lxc1/containers/web1/volume_pages/nbd.txt", CHANGED["nbd.txt"])
    assert rack.planned() == {}


def test_other_networks_and_memory_replace_the_node_and_its_guests_come_back(rack: Rack) -> None:
    """The node is off until then."""
    rack.change("machines/compute1/networks", ["lan", "wan", "storage"])
    rack.change("machines/compute1/memory", "1056MiB")
    planned = rack.planned()
    assert planned.pop("compute1") == "replace"
    assert planned == dict.fromkeys(("compute1-boot-entry", "compute1-ready"), "update")
    rack.pulumi("up", "--yes", "--skip-preview")
    for machine in ON_COMPUTE1:
        rack.lab("wait", machine)
    rack.lab("ssh", "compute1", "--", "ip -4 address show | grep 10.77.4.31/24")
    assert_serves(rack, CHANGED)


def test_it_runs_without_the_laptop(rack: Rack) -> None:
    rack.lab("power", "laptop", "off")
    assert_serves(rack, CHANGED)
    rack.lab("power", "laptop", "on")
    rack.lab("wait", "laptop")


def test_a_node_that_is_reset_brings_its_guest_back_with_its_data(rack: Rack) -> None:
    rack.lab("power", "storage1", "reset")
    for machine in ("storage1", "san1"):
        rack.lab("wait", machine)
    assert_serves(rack, CHANGED)


def test_destroy_ends_with_nodes_dead_and_leaves_nothing(rack: Rack) -> None:
    for node in ("compute1", "storage1"):
        rack.lab("power", node, "off")
    rack.pulumi("destroy", "--yes", "--skip-preview")
    found = {name: rack.lab_machine(script).strip() for name, script in LEFTOVERS.items()}
    assert found == dict.fromkeys(LEFTOVERS, "")
