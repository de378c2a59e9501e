"""Topologies changed by chance: each is a Topology, of which everything can be made, or one error.

What is taken is taken by the JSON schema, too: editors show no false alarm.

`make test-fuzz` tries 30,000; a failure shows the file, and the seed and number that make it again.
"""

import textwrap
from collections import Counter
from pathlib import Path

import pytest
from mutations import Mutations
from schemas import named, refusals

import equipment
from config import access, schema
from config.bill import bill, summary
from config.checks import Hardware
from config.consul import PATIENT
from config.document import read_document
from config.errors import MOST_SHOWN, ConfigError
from config.labmachine import load_labmachine
from config.load import FOLDER, load_topology, read_topology, shipped
from config.profile import KVM
from config.settings import Settings
from config.topology import Topology
from guest import consul, network, settings
from guest.overlay import MachineKeys, overlay
from lab import drawing, report

SCHEMA = schema.schema()
STACK, SEED = "fuzz", "ab" * 32
LONGEST = 4000  # characters of an error: MOST_SHOWN problems


def test_each_is_a_topology_or_one_error(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    cases = request.config.getoption("fuzz_cases", 500)
    seed = request.config.getoption("fuzz_seed", 1)
    machine = load_labmachine()
    hardware = Hardware(machine.memory, dict(machine.disks))
    files = [FOLDER / f"{name}.yaml" for name in shipped()]
    texts, data = [each.read_text() for each in files], [read_topology(each) for each in files]
    mutations = Mutations(seed, texts, data)
    file, found = tmp_path / "rack.yaml", Counter[str]()
    for number in range(cases):
        text = mutations.text()
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            topology = load_topology(file, STACK, hardware if number % 2 else None)
        except ConfigError as error:
            message = str(error)
            assert "rule:" in message and "remedy:" in message, message
            assert len(message) < LONGEST and message.count("\n") <= 3 * MOST_SHOWN + 1, message
            found["refused"] += 1
        except Exception as error:
            raise AssertionError(f"case {number} of seed {seed}:\n{text}") from error
        else:
            try:
                make_everything(topology, number)
            except Exception as error:
                raise AssertionError(f"case {number} of seed {seed}:\n{text}") from error
            found["accepted"] += 1
            assert refusals(SCHEMA, named(read_document(file).data), SCHEMA) == [], text
    assert min(found["refused"], found["accepted"]) > cases // 20, found


ODD = {
    "no way out": """
        extends: mini
        networks: {isp: null, internet: null}
        machines: {firewall: null, router: {networks: [lan, wan, ipmi]}}
        reach: {lan: [wan, ipmi], wan: [], internet: null}
        """,
    "no storage network": """
        extends: mini
        networks: {storage: null}
        machines: {storage1: {networks: [lan]}}
        """,
    "bad lines that a machine still boots over": """
        extends: mini
        networks: {lan: {netem: {delay: 30ms}}, internet: {netem: {delay: 30ms, loss: 1%}}}
        machines: {laptop: {netem: {lan: {delay: 20ms}}}, firewall: {netem: {isp: {delay: 1s}}}}
        """,
}


@pytest.mark.parametrize("text", ODD.values(), ids=ODD)
def test_an_odd_rack_that_is_accepted_can_be_made(tmp_path: Path, text: str) -> None:
    file = tmp_path / "rack.yaml"
    file.write_text(textwrap.dedent(text))
    topology = load_topology(file, STACK)
    for number in range(len(topology.machines)):
        make_everything(topology, number)


def make_everything(topology: Topology, number: int) -> None:
    """All that the program and the `lab` command make of a topology without a machine."""
    names = list(topology.machines)
    for name in names:
        settings.files(STACK, topology, name)
        network.interfaces(STACK, topology, name)
    network.hosts(topology)
    one = names[number % len(names)]
    keys = MachineKeys("private", "public", consul.files(STACK, topology, one, SEED, PATIENT))
    overlay(STACK, topology, one, keys)
    for piece in equipment.everything(STACK, topology):
        assert all(isinstance(word, str) for word in (*piece.apply, *piece.remove))
    summary(bill(topology), None)
    drawing.mermaid(topology)
    access.ssh_config(access.LabMachine(None), topology, Path("/x"))
    stack = Settings(STACK, topology, access.LabMachine(None), KVM, SEED)
    for rows in (report.addresses(stack), report.volumes(stack), report.ways(stack)):
        list(rows)
