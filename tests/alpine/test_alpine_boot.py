"""Real machines under TCG on this host, one at a time: every way to boot, and every refusal."""

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from alpine_vm import (
    MAC,
    QUIET,
    ROLE,
    Tree,
    direct,
    make_overlay,
    new_image,
    nic,
    power_on,
    write_entry,
)
from loopback import serving

from alpine.image import image_key
from alpine.stick import write_stick
from config.profile import Kernel

pytestmark = [pytest.mark.vm, pytest.mark.timeout(300)]
READY_SECONDS = 150
EACH_KERNEL = pytest.mark.parametrize("tree", list(Kernel), indirect=True)
SERVICE = "/etc/init.d/named-file"
DAEMON = """#!/sbin/openrc-run
supervisor=supervise-daemon
command=/bin/sleep
command_args=100000
required_files="/etc/hostname"
"""


@pytest.fixture
def server(tree: Tree) -> Iterator[str]:
    """The tree over HTTP on 127.0.0.1; the address is the one a guest sees."""
    with serving(tree.folder) as port:
        (tree.folder / "boot.ipxe").write_text(
            "#!ipxe\n"
            f"kernel boot/vmlinuz {QUIET} rack.tree=http://10.0.2.2:{port} "
            "rack.machine=${mac:hexhyp} BOOTIF=01-${mac:hexhyp}\n"
            "initrd boot/initramfs\nboot\n"
        )
        yield f"http://10.0.2.2:{port}"


@EACH_KERNEL
def test_boots_from_a_9p_tree_to_ssh(tree: Tree) -> None:
    with power_on(tree, [*direct(tree, "9p://boot"), *nic()]) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        facts = machine.ssh("cat /run/rack/boot /run/rack/phase; cut -d' ' -f1 /run/rack/timeline")
        assert f"machine={MAC}" in facts
        assert facts.split()[-6:] == ["ready", "init", "overlay", "image", "root", "ready"]
        assert machine.ssh("hostname").strip() == "tester"
        assert machine.ssh("grep -c ^root:[*]: /etc/shadow").strip() == "1"


@EACH_KERNEL
def test_boots_by_pxe_over_http_and_outlives_the_server(tree: Tree, server: str) -> None:
    nic_arguments = nic(f",bootfile={server}/boot.ipxe")
    with power_on(tree, [*nic_arguments, "-boot", "n"]) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        assert f"tree={server}" in machine.ssh("cat /run/rack/boot")
        assert "network " in machine.ssh("cat /run/rack/timeline")
        assert machine.ssh("sha256sum -c -s /dev/null; cat /usr/sbin/sshd | wc -c").strip()


def test_takes_a_new_overlay_and_image_while_running(
    tree: Tree, server: str, tmp_path: Path
) -> None:
    with power_on(tree, [*direct(tree, server), *nic()]) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        machine.ssh("echo 10.0.0.9 far >>/etc/hosts; echo new >/etc/kept; rm /etc/issue")
        status = machine.ssh("lbu status").splitlines()
        assert set(status) == {"M etc/hosts", "D etc/issue", "A etc/kept"}
        assert machine.ssh("lbu package - | tar -tz | sort").split() == ["etc/hosts", "etc/kept"]
        assert len({machine.ssh("lbu package - | sha256sum") for _ in range(2)}) == 1

        machine.ssh(f"printf %s {shlex.quote(DAEMON)} >{SERVICE}; chmod +x {SERVICE}")
        machine.ssh("rc-service named-file start")
        before = machine.ssh("pidof sleep")
        changed = make_overlay(tmp_path, hostname="changed")
        sha256 = write_entry(tree, changed)
        state = json.loads(machine.ssh(f"rack-converge {image_key(ROLE)} {sha256}"))
        assert state["phase"] == "ready"
        assert state["overlay_sha256"] == sha256
        assert state["timeline"]["ready"] > 0
        assert machine.ssh("cat /etc/hostname /etc/kept").split() == ["changed", "new"]
        assert machine.ssh("pidof sleep") != before
        machine.ssh("flock -n /run/rack/converge.lock true")  # no daemon holds it

        write_entry(tree, changed, image=new_image(tree, tmp_path))
        for _ in range(2):
            state = json.loads(machine.ssh("rack-converge"))
            assert (state["phase"], state["image"]) == ("ready", "changed")
        seen = machine.ssh("cat /etc/added; ls /etc/services 2>&1 || true; lbu status")
        assert seen.startswith("added\nls:")
        assert "etc/added" not in seen


def test_what_failed_is_ready_as_soon_as_it_works(tree: Tree) -> None:
    late = "/etc/rack/check.d/late"
    with power_on(tree, [*direct(tree, "9p://boot"), *nic()]) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        machine.ssh("mkdir -p /etc/rack/check.d")
        machine.ssh(f"printf '#!/bin/sh\\n[ -e /run/works ]\\n' >{late}; chmod +x {late}")
        for _ in range(2):
            machine.ssh("rc-service rack-ready restart")
            assert machine.ssh("cat /run/rack/phase").split() == ["failed", "late"]
        machine.ssh("touch /run/works; until grep -qx ready /run/rack/phase; do sleep 1; done")
        machine.ssh("flock /run/rack/again.lock true")  # waits for who still checks


@EACH_KERNEL
def test_boots_from_a_usb_stick(tree: Tree, tmp_path: Path) -> None:
    files = {str(p.relative_to(tree.folder)): p for p in tree.folder.rglob("*") if p.is_file()}
    stick = tmp_path / "stick"
    write_stick(stick, files, machine=MAC, size_bytes=200 << 20)
    drive = f"if=none,id=stick,format=raw,file={stick}"
    usb = ["-device", "qemu-xhci", "-device", "usb-storage,drive=stick,bootindex=0"]
    with power_on(tree, ["-drive", drive, *usb, *nic()]) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        assert "tree=label://RACK" in machine.ssh("cat /run/rack/boot")


def test_wrong_overlay_hash_ends_in_quarantine_without_sshd(tree: Tree, tmp_path: Path) -> None:
    write_entry(tree, make_overlay(tmp_path), sha256="0" * 64)
    with power_on(tree, [*direct(tree, "9p://boot"), *nic()]) as machine:
        machine.wait_console("Nobody can log in", READY_SECONDS)
        machine.wait_console("does not match its sha256", READY_SECONDS)
        assert not machine.has_sshd()


def test_unknown_machine_ends_in_quarantine(tree: Tree, server: str) -> None:
    (tree.machine / "boot.env").unlink()
    with power_on(tree, [*direct(tree, server), *nic()]) as machine:
        machine.wait_console("boot.env is not in the tree", READY_SECONDS)
        machine.wait_console("Nobody can log in", READY_SECONDS)
        assert not machine.has_sshd()


def test_damaged_image_ends_in_quarantine(tree: Tree, server: str) -> None:
    for path in (tree.folder / "images").glob("*.layers"):
        if path.stem != "quarantine":
            path.write_text(path.read_text().replace(path.read_text()[:64], "0" * 64))
    with power_on(tree, [*direct(tree, server), *nic()]) as machine:
        machine.wait_console("squashfs does not match its sha256", READY_SECONDS)
        machine.wait_console("Nobody can log in", READY_SECONDS)


def test_without_any_image_it_says_why_and_starts_again(tree: Tree) -> None:
    for path in (tree.folder / "images").iterdir():
        path.unlink()
    with power_on(tree, [*direct(tree, "9p://boot"), *nic()]) as machine:
        machine.wait_console("quarantine.layers is not in the tree", READY_SECONDS)
        assert machine.process.wait(timeout=120) == 0
