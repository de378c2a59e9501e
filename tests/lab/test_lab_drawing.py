"""Pictures and reports, from the topology alone. UPDATE_GOLDEN=1 writes the golden anew."""

import os
from pathlib import Path
from xml.etree import ElementTree

import pytest

from config.access import LabMachine
from config.load import FOLDER, load_topology, shipped
from config.settings import Settings
from config.topology import San
from lab import drawing, report

RACKS = shipped()
GOLDEN = Path(__file__).parent / "golden" / "mini.mmd"


def test_mermaid_is_the_golden_one() -> None:
    text = drawing.mermaid(load_topology(FOLDER / "mini.yaml", "mini"))
    if os.environ.get("UPDATE_GOLDEN"):
        GOLDEN.write_text(text)
    assert text == GOLDEN.read_text()


@pytest.mark.parametrize("name", RACKS)
def test_the_picture_has_every_machine_and_network(name: str) -> None:
    topology = load_topology(FOLDER / f"{name}.yaml", name)
    picture = ElementTree.fromstring(drawing.svg(topology))
    words = {each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert set(topology.networks) | set(topology.containers) <= words
    wanted = {f"{each} ({machine.role})" for each, machine in topology.machines.items()}
    assert wanted <= words


@pytest.mark.parametrize("name", RACKS)
def test_the_report_has_one_row_an_address_and_every_volume_in_use(name: str) -> None:
    topology = load_topology(FOLDER / f"{name}.yaml", name)
    settings = Settings(name, topology, LabMachine(host=None), "host", "00" * 32)
    addresses = [row[2] for row in report.addresses(settings)]
    assert len(addresses) == len(set(addresses)) > len(topology.machines)
    ways = list(report.ways(settings))
    assert bool(ways) == bool(topology.of(San))
    assert all("→ NBD →" in way for way in ways)
    assert {way.split(" → ")[0] for way in ways} <= {"+".join(topology.array.disks)}
