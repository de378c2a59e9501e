"""The script that tells what is on a lab machine, with programs that say what real ones say."""

import os
import subprocess
from pathlib import Path

import pytest

import equipment
from lab.survey import Domain, read

PROGRAMS = {
    "virsh": 'printf "mini-laptop\\nmini-router\\n\\n"',
    "ovs-vsctl": """case "$*" in
        *list-br) printf "mini-lan\\nbr0\\n" ;;
        *mini-lan*) echo '"rack-lab.mini"' ;;
    esac""",
    "vgs": 'printf "  rack-mini|rack-lab.blank,rack-lab.mini\\n  debian-vg|\\n"',
    "ip": """case "$*" in
        *address*) echo "2: eth0    inet 10.0.2.15/24 brd 10.0.2.255 scope global eth0"
                   echo "7: mini-lan    inet 10.77.3.254/24 scope global mini-lan" ;;
        *route*) echo "default via 10.0.2.2 dev eth0 proto dhcp"
                 echo "10.77.5.0/24 via 10.77.3.1 dev mini-lan"
                 echo "192.0.2.7 dev tun0 scope link"
                 echo "blackhole 198.51.100.0/24" ;;
    esac""",
    "lsblk": """case "$*" in
        *MOUNTPOINT*) printf "full\\nsecret /home\\n" ;;
        *) printf "/dev/null disk1\\n/dev/zero disk2\\n/dev/full disk3\\n/dev/sda \\n" ;;
    esac""",
    "wipefs": """case "$*" in
        */dev/null) echo "linux_raid_member,any:rack-mini" ;;
        */dev/full) ;;
        *) printf "dos,\\next4,a\\\\x20b\\n" ;;
    esac""",
}
DOMAIN = """<domain type='kvm'>
  <name>{0}</name>
  <memory unit='KiB'>524288</memory>
  <metadata>{1}</metadata>
</domain>
"""
OWNER = '<rack:owner xmlns:rack="urn:rack-lab">rack-lab.mini</rack:owner>'


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """A folder of programs, and one of libvirt's definitions."""
    for name, script in PROGRAMS.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{script}\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "qemu").mkdir()
    (tmp_path / "qemu/mini-laptop.xml").write_text(DOMAIN.format("mini-laptop", OWNER))
    (tmp_path / "qemu/other.xml").write_text(DOMAIN.format("other", ""))
    return tmp_path


def asked(machine: Path, kvm: str = "/dev/null") -> "subprocess.CompletedProcess[str]":
    script = (equipment.FOLDER / "survey.sh").read_text()
    # No block devices here, and no libvirt's folder.
    script = script.replace("/etc/libvirt/qemu", str(machine / "qemu")).replace("[ -b ", "[ -c ")
    script = script.replace("/dev/kvm", kvm)
    return subprocess.run(
        ["sh", "-s", "--", "disk1", "disk2", "disk3", "disk9"],
        input=script, env={"PATH": f"{machine}:{os.environ['PATH']}"}, text=True,
        capture_output=True, check=False,
    )  # fmt: skip


def said(machine: Path) -> list[str]:
    done = asked(machine)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_machine_where_a_program_fails_isn_t_taken_for_an_empty_one(
    machine: Path, program: str
) -> None:
    (machine / program).write_text(f"#!/bin/sh\necho {program}: not found >&2\nexit 127\n")
    done = asked(machine)
    assert done.returncode != 0
    assert f"{program}: not found" in done.stderr


def test_a_machine_without_kvm_is_told(machine: Path) -> None:
    assert read(asked(machine).stdout.splitlines()).kvm
    assert read(["virtualisation|svm"]).virtualisation == "svm"
    assert not read(asked(machine, "/dev/no-kvm").stdout.splitlines()).kvm


def test_all_that_stands_there_is_told_with_its_owner(machine: Path) -> None:
    found = read(said(machine))
    assert found.memory > 1 << 20
    assert found.domains == {
        "mini-laptop": Domain("rack-lab.mini", 512 << 20),
        "other": Domain("", 512 << 20),
    }
    assert found.running == {"mini-laptop", "mini-router"}
    assert found.bridges == {"mini-lan": "rack-lab.mini", "br0": ""}
    assert found.groups == {"rack-mini": "rack-lab.mini", "debian-vg": ""}
    assert found.disks == {
        "disk1": ("linux_raid_member", "rack-mini"), "disk2": ("dos", ""),
        "disk3": ("something in use", "secret /home"),
    }  # fmt: skip
    networks = {(device, str(network)) for device, network in found.networks}
    assert networks == {
        ("eth0", "10.0.2.0/24"), ("mini-lan", "10.77.3.0/24"), ("mini-lan", "10.77.5.0/24"),
        ("tun0", "192.0.2.7/32"),
    }  # fmt: skip
    assert found.has_rack("mini")
    assert not found.has_rack("lab")


def test_an_empty_machine_is_told_too(machine: Path) -> None:
    for name in PROGRAMS:
        (machine / name).write_text("#!/bin/sh\n")
    for file in (machine / "qemu").iterdir():
        file.unlink()
    found = read(said(machine))
    assert (found.domains, found.bridges, found.disks, found.networks) == ({}, {}, {}, [])
