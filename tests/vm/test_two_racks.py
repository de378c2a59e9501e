"""Two racks on one lab machine, and racks that Pulumi's state doesn't tell of, for real.

The first one is the small rack with bad lines and a second firewall, the second one two servers
over a raid0. The tests tell one story and run in the order they stand in.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from checks import assert_serves, topology_of
from leftovers import left
from probes import probe, settings_of
from racks import OTHER_NETWORKS, PROJECT, Rack, stack

from config import names
from config.settings import stack_folder

pytestmark = [pytest.mark.two_racks, pytest.mark.timeout(3000)]

BAD_LINES: dict[str, object] = {
    "networks/wan/netem": {"delay": "20ms", "rate": "50mbit"},
    "machines/storage1/netem": {"lan": {"delay": "5ms"}},
    "machines/wall2": {
        "role": "firewall", "host": 3, "bmc": 103, "networks": ["internet", "isp"],
        "memory": "192MiB", "publish": {8080: "web1"},
    },
}  # fmt: skip
ONLY = ("laptop", "router")
SMALL = {
    "machines/laptop": {
        "role": "boot-server", "host": 10, "networks": ["lan"], "memory": "256MiB", "stick": "1GiB",
    },
    "array/level": 0,
}  # fmt: skip


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    with stack("ci", tmp_path_factory.mktemp("ci"), BAD_LINES) as made:
        yield made


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    """At first with the first one's networks and disks."""
    with stack("other", tmp_path_factory.mktemp("other"), SMALL) as made:
        data = yaml.safe_load(made.topology.read_text())
        data["machines"] = {name: data["machines"][name] for name in ONLY}
        data["reach"] = {"lan": ["wan", "ipmi"]}
        made.topology.write_text(yaml.safe_dump(data))
        yield made


def standing(rack: Rack) -> list[str]:
    """What stands on the lab machine, of any stack."""
    return [text for name, text in left(rack).items() if name != "logs"]


def refused(rack: Rack, *reasons: str, **environ: str) -> None:
    """An `up` ends with these reasons, and changes nothing on the lab machine."""
    before = standing(rack)
    changed = replace(rack, environ={**rack.environ, **environ})
    shown = changed.pulumi("up", "--yes", "--skip-preview", check=False)
    found = " ".join(shown.split())
    assert [each for each in reasons if each not in found] == []
    assert "No machine was touched" in found
    assert standing(rack) == before


def test_bad_lines_are_as_bad_as_the_topology_says(first: Rack) -> None:
    first.pulumi("up", "--yes", "--skip-preview")
    first.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    shaped = first.lab_machine("tc qdisc show | grep netem")
    assert len(re.findall(r"delay 20ms rate 50Mbit", shaped)) >= 2
    assert len(re.findall(r"delay 5ms", shaped)) == 2  # both directions
    for target, least in (("10.77.5.61", 40.0), ("10.77.3.21", 10.0), ("10.77.3.31", 0.0)):
        said = first.lab("ssh", "router", "--", "ping", "-q", "-c", "4", target)
        fastest = float(said.split("min/avg/max = ")[1].split("/")[0])
        print(f"{target}: {fastest} ms at least, of {least} by the topology")
        assert fastest >= least


def test_two_firewalls_publish_each_its_own(first: Rack) -> None:
    assert_serves(first)
    page = topology_of(first).containers["web1"].volume_pages["nbd.txt"]
    get = "curl -sf -m 20 http://{}/nbd.txt || echo refused"
    with probe(settings_of(first), "isp") as outside:
        for address, said in {
            "10.77.1.2:80": page, "10.77.1.3:8080": page,
            "10.77.1.2:8080": "refused", "10.77.1.3:80": "refused",
        }.items():  # fmt: skip
            assert outside.run(get.format(address)).strip() == said


def test_a_second_rack_in_its_way_is_refused_naming_both(first: Rack, second: Rack) -> None:
    reasons = ("it is stack ci's, beside which other can't be", "pulumi destroy --stack ci")
    refused(second, "networks.lan.cidr: 10.77.3.0/24", "array.disks: disk1", *reasons)
    for key, cidr in OTHER_NETWORKS.items():
        second.change(key, cidr)
    refused(second, "array.disks: disk1", "the disk holds", *reasons)
    second.change("array/disks", ["disk3", "disk4"])
    second.change("machines/router/memory", "8GiB")
    refused(second, "machines.*.memory", "ci ", *reasons)
    second.change("machines/router/memory", "192MiB")
    assert_serves(first)


def test_a_second_rack_with_all_of_its_own_stands_beside_it(first: Rack, second: Rack) -> None:
    second.pulumi("up", "--yes", "--skip-preview")
    second.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    first.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")
    assert "raid0" in first.lab_machine("cat /proc/mdstat")
    assert second.lab("power", "all", "status").splitlines() == ["laptop: on", "router: on"]
    assert "firewall: on" in first.lab("power", "all", "status")
    second.lab("power", "router", "off")
    assert "router: on" in first.lab("power", "router", "status")
    second.lab("power", "router", "on")
    second.lab("wait", "router")
    assert_serves(first)
    listed = first.lab("list", check=False)
    for name in ("ci", "other"):
        assert re.search(rf"^{name} .* virtual .* GiB +20\d\d-", listed, re.MULTILINE), listed


def test_a_rack_that_another_backend_has_is_refused(
    first: Rack, second: Rack, tmp_path: Path
) -> None:
    elsewhere = {"PULUMI_BACKEND_URL": tmp_path.as_uri()}
    reason = "this Pulumi state doesn't have it"
    refused(second, reason, "lab --stack other clear", **elsewhere)
    refused(first, reason, "lab --stack ci clear", **elsewhere)


def test_a_rack_of_another_seed_is_refused(second: Rack) -> None:
    seed = stack_folder("other") / "seed"
    kept = seed.read_bytes()
    try:
        seed.write_text(os.urandom(32).hex())
        refused(second, "it was raised with another seed", "copy that file from the clone")
    finally:
        seed.write_bytes(kept)
    second.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_rack_whose_state_is_lost_is_cleared_and_its_neighbour_stays(
    first: Rack, second: Rack
) -> None:
    second.pulumi("stack", "rm", "--yes", "--force", "--preserve-config")
    refused(second, "this Pulumi state doesn't have it")
    second.lab("clear", "--yes")
    remain = [text for text in standing(second) if re.search(r"other|10[.]78[.]", text)]
    assert remain == []
    assert len(json.loads(first.lab("status", "--json"))["machines"]) > len(ONLY)
    assert_serves(first)
    first.pulumi("up", "--yes", "--skip-preview", "--expect-no-changes")


def test_a_state_whose_rack_is_gone_is_refused_until_it_is_forgotten(first: Rack) -> None:
    """As after `lab machine reset`."""
    first.lab("clear", "--yes")
    assert set(standing(first)) == {""}
    refused(first, "Pulumi's state has its rack, and", "has nothing of it")
    first.pulumi("state", "delete", "--all", "--force", "--yes")
    planned = first.planned()
    assert planned and set(planned.values()) == {"create"}
    assert (PROJECT / f"Pulumi.{first.stack}.yaml").exists()
    assert names.volume_group(first.stack) not in first.lab_machine("vgs --noheadings")
