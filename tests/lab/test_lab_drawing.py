"""Pictures and reports, from the topology alone."""

from pathlib import Path
from xml.etree import ElementTree

import pytest
from golden import assert_golden

from config.access import LabMachine
from config.load import FOLDER, load_topology, shipped
from config.profile import KVM
from config.settings import Settings
from lab import drawing, report

RACKS = shipped()
GOLDEN = Path(__file__).parent / "golden" / "mini.mmd"


def test_mermaid_is_the_golden_one() -> None:
    text = drawing.mermaid(load_topology(FOLDER / "mini.yaml", "mini"))
    assert_golden(text, GOLDEN)


@pytest.mark.parametrize("name", RACKS)
def test_the_picture_has_every_machine_and_network(name: str) -> None:
    topology = load_topology(FOLDER / f"{name}.yaml", name)
    picture = ElementTree.fromstring(drawing.svg(topology))
    words = {each.text for each in picture.iter("{http://www.w3.org/2000/svg}text")}
    assert set(topology.networks) | set(topology.containers) <= words
    wanted = {f"{each} ({machine.role})" for each, machine in topology.machines.items()}
    assert wanted <= words


def test_machines_may_have_the_names_of_networks_disks_and_mermaid_s_words(tmp_path: Path) -> None:
    file = tmp_path / "rack.yaml"
    keys = "role: compute, networks: [lan], memory: 256MiB"
    file.write_text(
        "extends: servers\nmachines:\n"
        f"  end: {{{keys}, host: 61, bmc: 161}}\n"
        f"  lan: {{{keys}, host: 62, bmc: 162}}\n"
        f"  disk1: {{{keys}, host: 63, bmc: 163}}\n"
        f"  a--b: {{{keys}, host: 64, bmc: 164}}\n"
    )
    topology = load_topology(file, "servers")
    lines = drawing.mermaid(topology).splitlines()
    assert {"machine_end --- network_lan", "machine_lan --- network_lan"} <= set(lines)
    assert {"machine_disk1 --- network_lan", "machine_a__b --- network_lan"} <= set(lines)
    words = set(ElementTree.fromstring(drawing.svg(topology)).itertext())
    assert {"lan", "lan (compute)", "disk1", "disk1 (compute)", "end (compute)"} <= words


@pytest.mark.parametrize("name", RACKS)
def test_the_report_is_the_golden_one(name: str) -> None:
    topology = load_topology(FOLDER / f"{name}.yaml", name)
    settings = Settings(name, topology, LabMachine(host=None), KVM, "00" * 32)
    addresses = [row[2] for row in report.addresses(settings)]
    assert len(addresses) == len(set(addresses)) > len(topology.machines)
    volumes = [" ".join(row) for row in report.volumes(settings)]
    text = "".join(f"{line}\n" for line in (*volumes, *report.ways(settings)))
    assert_golden(text, GOLDEN.with_name(f"{name}.report"))
