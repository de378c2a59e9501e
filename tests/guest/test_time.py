"""Every machine of every shipped rack gets to the NTP server."""

from ipaddress import IPv4Address

import pytest

from config import addressing, reach
from config.load import FOLDER, load_topology, shipped
from guest import network

RACKS = shipped()


@pytest.mark.parametrize("name", RACKS)
def test_each_machine_asks_on_a_network_of_its_own_or_the_router_lets_it(name: str) -> None:
    topology = load_topology(FOLDER / f"{name}.yaml", name)
    lines = network.chrony(topology).splitlines()
    (server,) = (line.split()[1] for line in lines if line.startswith("server "))
    assert IPv4Address(server) == addressing.ntp(topology).ip
    let_through = [
        rule.source
        for rule in reach.on_router(topology)
        if (rule.target, rule.port, rule.protocol) == (addressing.ntp(topology).ip, 123, "udp")
    ]
    assert topology.machines
    for machine in topology.machines.values():
        assert {"lan", *let_through} & set(machine.networks)


def test_a_machine_tells_nobody_the_time() -> None:
    topology = load_topology(FOLDER / "mini.yaml", "mini")
    assert {"port 0", "cmdport 0"} <= set(network.chrony(topology).splitlines())
