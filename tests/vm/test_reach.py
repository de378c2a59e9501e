"""The proof, second part: a rack as it was raised does what its topology says, and no more."""

from contextlib import ExitStack

import pytest
from probes import probe, settings_of
from racks import Rack

from config.settings import BMC_USER
from config.topology import Node, Topology
from lab.remote import on_lab_machine

pytestmark = [
    pytest.mark.rack,
    pytest.mark.timeout(3000),
    pytest.mark.usefixtures("raised"),
]


def test_a_second_up_changes_nothing(rack: Rack) -> None:
    rack.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def allowed(topology: Topology) -> dict[tuple[str, str], bool]:
    """Whether a host of the one network may start connections to one of the other."""
    nets = topology.networks
    return {(a, b): a == b or b in topology.reach.get(a, ()) for a in nets for b in nets}


def test_reach_of_each_network_is_what_the_topology_says_and_no_more(rack: Rack) -> None:
    settings = settings_of(rack)
    networks = settings.topology.networks
    with ExitStack() as stack:
        probes = {each: stack.enter_context(probe(settings, each)) for each in networks}
        # in one go each: a handshake takes longer than all the pings
        ping = "ping -q -c 2 -i 0.3 -W 2 {0} >/dev/null 2>&1 && echo {1} || true; "
        script = "".join(ping.format(each.address, name) for name, each in probes.items())
        reached = {source: probes[source].run(script).split() for source in networks}
    found = {(a, b): b in reached[a] for a in networks for b in networks}
    assert len(found) == 36
    assert found == allowed(settings.topology)


def test_reach_from_isp_gets_in_to_what_is_published_alone(rack: Rack) -> None:
    settings = settings_of(rack)
    get = "curl -sf -m 10 http://{}/{} || echo refused"
    with probe(settings, "isp") as outside:
        page = settings.topology.containers["web1"].volume_pages["nbd.txt"]
        assert outside.run(get.format("10.77.1.2", "nbd.txt")).strip() == page
        for address in ("10.77.1.2:22", "10.77.1.2:8081", "10.77.5.71", "10.77.3.10"):
            assert outside.run(get.format(address, "nbd.txt")).strip() == "refused"
    world = rack.lab("ssh", "web1", "--", "wget", "-qO-", "http://10.77.1.254/")
    assert "Directory listing" in world


def test_power_is_a_bmc_s_business_from_the_router_too(rack: Rack) -> None:
    assert "compute1: on" in rack.lab("power", "compute1", "status")
    assert "compute1: on" in rack.lab("power", "compute1", "status", "--via", "router")
    every = rack.lab("power", "all", "status").splitlines()
    assert sorted(every) == sorted(f"{name}: on" for name in settings_of(rack).topology.of(Node))
    settings = settings_of(rack)
    wrong = f"ipmitool -I lanplus -H 10.77.6.131 -U {BMC_USER} -P wrong -N 2 -R 1 power off || true"
    on_lab_machine(settings, wrong)
    assert "compute1: on" in rack.lab("power", "compute1", "status")
