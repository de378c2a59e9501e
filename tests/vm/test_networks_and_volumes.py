"""Switches, array and volumes for real, in two stacks on one lab machine.

The tests tell one story and run in the order they stand in.
"""

import pytest
from leftovers import LEFTOVERS, left
from racks import Rack

from labmachine import machine

pytestmark = [pytest.mark.vm, pytest.mark.timeout(1200)]

# A urn has the types of all parents, and ends in the type and the name: the rack and the
# provider themselves, and all of the networks and volumes.
PARTS = ("::rack:lab:Rack::*", "::labmachine-libvirt", "OvsNetwork**", "RaidVolume**")
ONLY = [word for part in PARTS for word in ("--target", f"**{part}")]
UP = ("up", "--yes", "--skip-preview", *ONLY)
VOLUMES = ("laptop-stick", "storage1-sda", "storage1-sdb")
FILLED = 256 << 20


def fill(rack: Rack, device: str, seek: int = 0) -> None:
    """Write data over a device's beginning, from `seek` MiB on."""
    rack.lab_machine(
        f"yes | dd of={device} bs=1M seek={seek} count={FILLED >> 20} iflag=fullblock oflag=direct"
    )


def bridges(rack: Rack) -> list[str]:
    found = rack.lab_machine("ovs-vsctl list-br").split()
    return [name for name in found if name.startswith(f"{rack.stack}-")]


def test_preview_contacts_nothing_and_lists_every_machine(rack: Rack) -> None:
    shown = rack.pulumi("preview")
    for name in ("laptop", "router", "firewall", "storage1", "compute1", "san1", "nfs1", "lxc1"):
        assert f"libvirt:index:Domain {name} create" in shown


def test_up_makes_six_switches_an_array_and_volumes(rack: Rack) -> None:
    for disk in ("disk1", "disk2"):  # data without a signature, where the first volume will be
        fill(rack, f"/dev/disk/by-id/virtio-{disk}", seek=1)
    assert "Domain" not in rack.pulumi(*UP)
    assert len(bridges(rack)) == 6
    assert "raid1" in rack.lab_machine("mdadm --detail /dev/md/rack-ci")
    volumes = rack.lab_machine("lvs --noheadings -o lv_name rack-ci").split()
    assert sorted(volumes) == sorted(VOLUMES)
    networks = rack.lab_machine("virsh net-dumpxml ci-lan")
    assert "<virtualport type='openvswitch'" in networks


def assert_blank(rack: Rack, volume: str) -> None:
    rack.lab_machine(f"cmp --bytes={FILLED} /dev/zero /dev/rack-ci/{volume}")


def test_new_volumes_are_blank(rack: Rack) -> None:
    """A machine would adopt what it finds there."""
    for volume in VOLUMES:
        assert_blank(rack, volume)


def test_a_volume_where_another_was_is_blank(rack: Rack) -> None:
    fill(rack, "/dev/rack-ci/storage1-sda")
    rack.pulumi("destroy", "--yes", "--skip-preview", "--target", "**storage1-sda-volume")
    rack.pulumi(*UP)
    assert_blank(rack, "storage1-sda")


def test_a_second_up_changes_nothing(rack: Rack) -> None:
    rack.pulumi(*UP, "--expect-no-changes")


def test_a_larger_disk_is_an_update_of_its_volume_alone(rack: Rack) -> None:
    rack.change("machines/storage1/disks", ["1028MiB", "1028MiB"])
    shown = rack.pulumi("preview", *ONLY)
    assert "storage1-sda-volume update" in shown
    assert "2 to update" in shown
    rack.pulumi(*UP)
    size = rack.lab_machine("lvs --noheadings --units b -o lv_size rack-ci/storage1-sda").strip()
    assert size == f"{1028 << 20}B"


def test_a_smaller_disk_is_refused_and_nothing_is_lost(rack: Rack) -> None:
    rack.change("machines/storage1/disks", ["512MiB", "512MiB"])
    shown = rack.pulumi(*UP, check=False)
    assert "it has 1028MiB, and is never made smaller" in shown
    rack.change("machines/storage1/disks", ["1028MiB", "1028MiB"])
    rack.pulumi(*UP)


def test_a_foreign_disk_is_refused_untouched(other: Rack) -> None:
    other.lab_machine("mkfs.ext4 -q -L precious /dev/disk/by-id/virtio-disk3")
    shown = other.pulumi(*UP, check=False)
    assert "the disk holds ext4 'precious', and isn't a rack's" in shown
    assert "precious" in other.lab_machine("blkid /dev/disk/by-id/virtio-disk3")
    other.lab_machine("wipefs --all --quiet /dev/disk/by-id/virtio-disk3")


def test_two_stacks_dont_touch_each_other(rack: Rack, other: Rack) -> None:
    other.pulumi(*UP)
    assert len(bridges(other)) == 6
    assert "raid0" in other.lab_machine("mdadm --detail /dev/md/rack-other")
    rack.pulumi(*UP, "--expect-no-changes")
    other.pulumi("destroy", "--yes", "--skip-preview")
    assert bridges(other) == []
    assert len(bridges(rack)) == 6
    assert "rack-ci" in rack.lab_machine("vgs --noheadings -o vg_name")


def test_destroy_leaves_nothing(rack: Rack) -> None:
    fill(rack, "/dev/rack-ci/storage1-sda")
    taken = machine.status().disk_bytes
    rack.pulumi("destroy", "--yes", "--skip-preview")
    assert left(rack) == dict.fromkeys(LEFTOVERS, "")
    assert machine.status().disk_bytes < taken - FILLED  # twice that is given back, but for logs
