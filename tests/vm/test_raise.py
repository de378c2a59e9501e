"""The proof, first part: the rack is raised for real, after a run that was killed."""

import pytest
from checks import assert_serves, topology_of
from racks import Rack

from config.topology import Node

pytestmark = [pytest.mark.rack, pytest.mark.timeout(3000)]


def test_preview_contacts_nothing_and_lists_everything(rack: Rack) -> None:
    shown = rack.pulumi("preview")
    machines = topology_of(rack).machines
    assert machines
    assert [name for name in machines if f"Domain {name} create" not in shown] == []


def test_up_after_one_that_was_killed_raises_it(rack: Rack) -> None:
    """Killed with a domain made that the state doesn't have yet."""
    rack.lab("snapshot", "forget")  # of an earlier run
    rack.lab("machine", "up")

    def made() -> bool:
        rack.lab_machine("until virsh list --name | grep -qx ci-router; do sleep 0.2; done")
        return True

    assert rack.killed("up", made)
    rack.pulumi("up", "--yes", "--skip-preview")
    status = rack.status()
    assert status
    assert {name: each for name, each in status.items() if not each["ready"]} == {}


def test_nothing_stands_twice(rack: Rack) -> None:
    """What is on the lab machine after the killed run and the next: each machine once."""
    topology = topology_of(rack)
    domains = rack.lab_machine("virsh list --all --name").split()
    assert sorted(domains) == sorted(f"ci-{name}" for name in topology.of(Node))
    assert len(rack.lab_machine("ovs-vsctl list-br").split()) == len(topology.networks)


def test_the_containers_serve_their_pages_on_wan(rack: Rack) -> None:
    assert_serves(rack)
