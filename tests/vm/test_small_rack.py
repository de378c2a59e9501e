"""The proof: the small rack is raised, used, changed, and destroyed, for real.

The tests tell one story and run in the order they stand in; each leaves the rack whole.
"""

import pytest
from leftovers import LEFTOVERS
from small_rack import Rack

from config.load import load_topology

pytestmark = [pytest.mark.rack, pytest.mark.timeout(3000)]

PAGES = {"nbd.txt": "from the NBD volume", "nfs.txt": "from the NFS share"}


def serves(rack: Rack, page: str) -> str:
    """What the container answers on wan, asked from the router."""
    return rack.lab("ssh", "router", "--", "wget", "-qO-", f"http://10.77.5.71/{page}").strip()


def test_preview_contacts_nothing_and_lists_everything(rack: Rack) -> None:
    shown = rack.pulumi("preview")
    machines = load_topology(rack.topology, "ci").machines
    assert machines
    assert [name for name in machines if f"Domain {name} create" not in shown] == []


def test_up_raises_it(rack: Rack) -> None:
    rack.pulumi("up", "--yes", "--skip-preview")
    status = rack.status()
    assert status
    assert {name: each["phase"] for name, each in status.items() if not each["ready"]} == {}


@pytest.mark.parametrize("page", PAGES)
def test_the_container_serves_its_pages_on_wan(rack: Rack, page: str) -> None:
    assert serves(rack, page) == PAGES[page]


def test_a_second_up_changes_nothing(rack: Rack) -> None:
    rack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_changed_page_is_an_update_of_that_page_alone(rack: Rack) -> None:
    rack.change("machines/lxc1/containers/web1/volume_pages/nbd.txt", "changed")
    shown = rack.pulumi("preview")
    assert "web1-nbd.txt update" in shown
    assert "1 to update" in shown
    rack.pulumi("up", "--yes", "--skip-preview")
    assert serves(rack, "nbd.txt") == "changed"


def test_it_runs_without_the_laptop(rack: Rack) -> None:
    rack.lab_machine("virsh destroy ci-laptop")
    assert serves(rack, "nfs.txt") == PAGES["nfs.txt"]
    rack.lab_machine("virsh start ci-laptop")
    rack.lab("wait", "laptop")


def test_a_node_that_is_reset_brings_its_guest_back_with_its_data(rack: Rack) -> None:
    rack.lab_machine("virsh reset ci-storage1")
    for machine in ("storage1", "san1"):
        rack.lab("wait", machine)
    for page, text in {**PAGES, "nbd.txt": "changed"}.items():
        assert serves(rack, page) == text


def test_destroy_leaves_nothing(rack: Rack) -> None:
    rack.pulumi("destroy", "--yes", "--skip-preview")
    found = {name: rack.lab_machine(script).strip() for name, script in LEFTOVERS.items()}
    assert found == dict.fromkeys(LEFTOVERS, "")
