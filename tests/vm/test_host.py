"""A real lab machine: a plain Debian that is prepared, raises the small rack, and is given back.

`make test-host` (root, some 40 min). The machine is emulated; each test goes on from the one
before, as a user would.
"""

import time
from collections.abc import Iterator

import pytest
from checks import assert_serves
from leftovers import LEFTOVERS
from plainhost import ALIAS, PlainHost
from racks import Rack, stack

pytestmark = [pytest.mark.host, pytest.mark.timeout(5400)]

LOOKS_S = 60  # that long its udev would have had to assemble something
ASSEMBLED = "cat /proc/mdstat | grep -o '^md[^ ]*' | wc -l; vgs --noheadings --options vg_name"
ARRAY_ONLY = ["1", "rack-own"]


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PlainHost]:
    host = PlainHost(tmp_path_factory.mktemp("host"), "bookworm")
    try:
        with host.known_to_the_user():
            host.start()
            yield host
    finally:
        host.cut()


@pytest.fixture(scope="module")
def rack(machine: PlainHost, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rack]:
    """Stack `own`, whose lab machine is that one. Its silicon is emulated, so it takes its time."""
    slow = {"timing": "patient", "bootsAtOnce": "1", "kernel": "rack"}
    options = {"machine": f"ssh://{ALIAS}", **slow}
    with stack("own", tmp_path_factory.mktemp("own"), {}, options=options) as made:
        yield made


def test_an_unprepared_one_is_refused_and_left_as_it_was(machine: PlainHost, rack: Rack) -> None:
    before = _files(machine)
    said = rack.lab("host", "check", check=False)
    for wanted in ("lacks libvirt-daemon-system", "apt removes systemd-timesyncd", "huge pages"):
        assert wanted in said
    refused = rack.pulumi("up", "--yes", "--skip-preview", check=False)
    assert "nothing was created" in refused
    assert "prepare it: lab --stack own host prepare" in refused
    assert _files(machine) == before


def test_prepared_it_has_all_and_again_nothing_changes(machine: PlainHost, rack: Rack) -> None:
    rack.lab("host", "prepare", "--yes")
    rack.lab("host", "check")
    assert "Nothing to change" in rack.lab("host", "prepare")
    assert "57-rack-lab.rules" in machine.ssh("lsinitramfs /initrd.img")
    machine.boot_anew()
    rack.lab("host", "check")


def test_without_nesting_it_is_refused_and_mended(machine: PlainHost, rack: Rack) -> None:
    machine.ssh("modprobe --remove kvm_amd && modprobe kvm_amd nested=0")
    refused = rack.pulumi("up", "--yes", "--skip-preview", check=False)
    assert "kvm_amd nested=0" in refused
    assert "nothing was created" in refused
    rack.lab("host", "prepare", "--yes")
    rack.lab("host", "check")


def test_the_small_rack_is_raised_and_its_bmcs_answer(rack: Rack) -> None:
    rack.pulumi("up", "--yes", "--skip-preview")
    assert rack.planned() == {}
    assert_serves(rack)
    assert rack.lab("power", "storage1", "status").split()[-1] == "on"
    refused = rack.lab("host", "prepare", "--undo", "--yes", check=False)
    assert "destroy them first" in refused


def test_it_assembles_nothing_of_a_node_without_power(machine: PlainHost, rack: Rack) -> None:
    rack.lab("power", "storage1", "off")
    time.sleep(LOOKS_S)
    assert machine.ssh(ASSEMBLED).split() == ARRAY_ONLY
    rack.lab("power", "storage1", "on")
    rack.lab("wait", "storage1")


def test_after_its_reboot_the_rack_comes_back(machine: PlainHost, rack: Rack) -> None:
    machine.boot_anew()
    time.sleep(LOOKS_S)
    assert machine.ssh(ASSEMBLED).split() == ARRAY_ONLY
    rack.lab("start")
    assert_serves(rack)


def test_a_rack_with_dead_nodes_is_destroyed(machine: PlainHost, rack: Rack) -> None:
    for node in ("storage1", "compute1"):
        rack.lab("power", node, "off")
    rack.pulumi("destroy", "--yes", "--skip-preview")
    left = {what: machine.ssh(script).strip() for what, script in LEFTOVERS.items()}
    assert left == dict.fromkeys(LEFTOVERS, "") | {"networks": "default"}  # which is libvirt's own


def test_given_back_it_is_as_it_was(machine: PlainHost, rack: Rack) -> None:
    rack.lab("host", "prepare", "--undo", "--yes")
    assert machine.ssh("dpkg -l libvirt-daemon-system 2>/dev/null | grep '^ii' || true") == ""
    assert machine.ssh("systemctl is-active systemd-timesyncd").strip() == "active"
    assert machine.ssh("cat /proc/sys/vm/nr_overcommit_hugepages").strip() == "0"
    left = "ls /etc/udev/rules.d /etc/sysctl.d /etc/modprobe.d /usr/local/lib /var/lib"
    assert "rack-lab" not in machine.ssh(left)
    assert "57-rack-lab.rules" not in machine.ssh("lsinitramfs /initrd.img")


def _files(machine: PlainHost) -> str:
    """What is in its folders of settings, and which packages it has."""
    return machine.ssh("dpkg-query --show; find /etc /usr/local -newer /etc/hostname -type f")
