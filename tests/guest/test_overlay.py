"""Overlays of the small rack: what is in them, with which modes, and that bytes repeat."""

import gzip
import io
import re
import tarfile
from pathlib import Path

import pytest
from golden import assert_golden

from config.load import FOLDER, load_topology
from guest import network, rolefiles, settings
from guest.overlay import MachineKeys, overlay

STACK = "lab"
RACK = load_topology(FOLDER / "mini.yaml", STACK)
MACHINES = list(RACK.machines)
KEYS = MachineKeys(host_key="PRIVATE", authorized_key="ecdsa-sha2-nistp256 AAAA admin")
GOLDEN = Path(__file__).parent / "golden"


def members(name: str) -> list[tarfile.TarInfo]:
    with tarfile.open(fileobj=io.BytesIO(overlay(STACK, RACK, name, KEYS))) as archive:
        return archive.getmembers()


def listing(name: str) -> str:
    return "".join(
        f"{each.mode:04o} {each.name}{' -> ' + each.linkname if each.linkname else ''}\n"
        for each in members(name)
    )


def test_there_are_machines() -> None:
    assert len(MACHINES) >= 8


@pytest.mark.parametrize("name", MACHINES)
def test_listing_is_the_golden_one(name: str) -> None:
    assert_golden(listing(name), GOLDEN / f"{name}.txt")


@pytest.mark.parametrize("name", MACHINES)
def test_equal_arguments_give_equal_bytes(name: str) -> None:
    assert overlay(STACK, RACK, name, KEYS) == overlay(STACK, RACK, name, KEYS)


@pytest.mark.parametrize("name", MACHINES)
def test_archive_is_sorted_without_times_and_owned_by_root(name: str) -> None:
    found = members(name)
    plain = [each.name for each in found if not each.isdir()]
    assert plain == sorted(plain)
    assert {(each.mtime, each.uid, each.gid, each.uname) for each in found} == {(0, 0, 0, "root")}
    assert gzip.decompress(overlay(STACK, RACK, name, KEYS))


@pytest.mark.parametrize("name", MACHINES)
def test_every_service_has_its_script(name: str) -> None:
    role = RACK.machines[name].role
    common = rolefiles.GUEST / "common"
    for service in ("sshd", "networking", *rolefiles.services(role)):
        folders = (common, *rolefiles.folders(role))
        assert any((each / "root/etc/init.d" / service).exists() for each in folders), service


def test_another_key_gives_another_overlay() -> None:
    other = MachineKeys(host_key="OTHER", authorized_key=KEYS.authorized_key)
    assert overlay(STACK, RACK, "router", KEYS) != overlay(STACK, RACK, "router", other)


def test_keys_don_t_show() -> None:
    assert "PRIVATE" not in repr(KEYS)


def test_a_compute_node_s_addresses_are_on_its_bridges() -> None:
    text = network.interfaces(STACK, RACK, "compute1")
    lan = text.split("iface lan\n")[1].split("\n\n")[0]
    assert "bridge-ports eth0" in lan
    assert "address 10.77.3.31/24" in lan
    assert "gateway 10.77.3.1" in lan
    assert "iface eth0\n\n" in text


def test_the_router_sends_to_the_firewall_and_the_firewall_back() -> None:
    assert "gateway 10.77.2.2" in network.interfaces(STACK, RACK, "router")
    back = network.interfaces(STACK, RACK, "firewall")
    assert "up ip route replace 10.77.3.0/24 via 10.77.2.1" in back
    assert "gateway 10.77.1.254" in back


@pytest.mark.parametrize("name", ["router", "firewall"])
def test_packet_filter_is_the_golden_one(name: str) -> None:
    whole = load_topology(FOLDER / "rack.yaml", STACK)
    text = settings.files(STACK, whole, name)["etc/nftables.nft"]
    assert_golden(text, GOLDEN / f"{name}.nft")


def test_a_second_firewall_s_answers_come_back_to_it(tmp_path: Path) -> None:
    file = tmp_path / "rack.yaml"
    file.write_text(
        "extends: mini\n"
        "machines:\n"
        "  wall2: {role: firewall, host: 3, bmc: 103, networks: [internet, isp], memory: 192MiB,"
        " publish: {8080: web1}}\n"
    )
    two = load_topology(file, STACK)
    own = "oifname eth0 ct status dnat masquerade"
    assert own in settings.files(STACK, two, "wall2")["etc/nftables.nft"]
    assert own not in settings.files(STACK, two, "firewall")["etc/nftables.nft"]
    assert "gateway 10.77.2.2" in network.interfaces(STACK, two, "router")


def test_a_mirror_has_a_leg_on_each_san() -> None:
    whole = load_topology(FOLDER / "rack.yaml", STACK)
    found = settings.files(STACK, whole, "lxc2")
    assert "legs='10.77.3.42/mirror 10.77.3.43/mirror'\n" in found["etc/rack/volume.conf"]
    assert "disks='/dev/mapper/leg0 /dev/mapper/leg1'\n" in found["etc/rack/array.conf"]
    assert "etc/rack/array.conf" not in settings.files(STACK, whole, "lxc1")


def test_a_boot_server_that_moves_has_a_volume_and_its_node_has_memory() -> None:
    moving = load_topology(FOLDER / "moving.yaml", STACK)
    volume = settings.files(STACK, moving, "laptop")["etc/rack/volume.conf"]
    assert volume == "legs=10.77.3.41/laptop\nmirror=yes\nmount=''\n"
    inside = [moving.machines[name] for name in ("laptop", "consul1")]
    pages = sum(machine.memory for machine in inside) // settings.HUGE_PAGE
    node = settings.files(STACK, moving, "compute1")
    assert node["etc/rack/hugepages.conf"] == f"pages={pages}\n"
    assert "laptop" not in node["etc/rack/guests"]


def test_a_node_without_guests_sets_no_memory_aside() -> None:
    bare = load_topology(FOLDER / "servers.yaml", STACK)
    for name in ("storage1", "compute1"):
        assert settings.files(STACK, bare, name)["etc/rack/hugepages.conf"] == "pages=0\n"


def test_dhcp_knows_every_machine_that_boots_from_the_network() -> None:
    text = settings.files(STACK, RACK, "laptop")["etc/dnsmasq.conf"]
    assert text.count("dhcp-host=") == len(MACHINES)
    assert "10.77.3.200,10.77.3.239,255.255.255.0,infinite" in text
    assert "set:internet,10.77.2.200" in text
    assert "no-ping" not in text


def test_huge_pages_are_the_guests_memory() -> None:
    found = settings.files(STACK, RACK, "compute1")
    guests = RACK.guests_on("compute1").values()
    wanted = sum(guest.memory for guest in guests) // settings.HUGE_PAGE
    assert found["etc/rack/hugepages.conf"] == f"pages={wanted}\n"


def test_a_long_stack_s_array_name_fits_md_s_superblock() -> None:
    stack = "experiment-with-a-long-name"
    text = settings.files(stack, RACK, "storage1")["etc/rack/array.conf"]
    values = dict(line.split("=") for line in text.splitlines())
    assert len(f"{values['homehost']}:{values['name']}") <= 32


def test_what_a_service_needs_is_written_as_rack_converge_reads_it() -> None:
    """A service whose file has changed is started anew, if its line has that form."""
    scripts = [each for each in rolefiles.GUEST.rglob("root/etc/init.d/*") if each.is_file()]
    lines = [
        line
        for script in scripts
        for line in script.read_text().splitlines()
        if line.startswith("required_files")
    ]
    assert len(lines) > 3
    assert [line for line in lines if not re.fullmatch('required_files="[^"]+"', line)] == []
