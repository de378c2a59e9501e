"""Alpine's own diskless boot takes a machine's overlay as it is: its kernel, its initramfs.

Owns what the boot server would have to hand out for that: mkinitfs' initramfs, a modloop, and the
role's files as a package beside the release's. The overlay is the one that this project's own init
takes in the other tests, byte for byte; nothing checks it here (docs/alpine.md).
"""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from alpine_vm import ROLE, make_overlay, make_tree, nic, power_on
from loopback import serving

from alpine import apk, squashfs
from alpine.image import role_folders, wanted_packages
from alpine.release import ARCH_FOLDER, OFFLINE
from alpine.rootfs import copy_in
from alpine.wheel import wheel_root
from artefacts import run
from artefacts.namespace import as_root, remove_tree

pytestmark = [pytest.mark.vm, pytest.mark.timeout(600)]
READY_SECONDS = 400
FEATURES = "base network dhcp virtio squashfs"
# What `alpine-base` brings on Alpine; the wheel has no such package.
BASE = ("alpine-baselayout", "alpine-release", "apk-tools", "busybox-openrc", "mdev-conf", "openrc")
SERVICES = ("devfs", "modloop")


@pytest.fixture
def stock(tmp_path: Path) -> Iterator[Path]:
    """What such a boot fetches, and its kernel and initramfs."""
    folder = tmp_path / "stock"
    packages = folder / ARCH_FOLDER
    packages.mkdir(parents=True)
    for package in (OFFLINE.tree / ARCH_FOLDER).glob("*.apk"):
        (packages / package.name).symlink_to(package)
    _own_packages(tmp_path / "files", packages)
    apk.make_index(packages)
    shutil.copyfile(wheel_root() / "boot/vmlinuz-virt", folder / "vmlinuz")
    squashfs.make_squashfs(wheel_root() / "lib", folder / "modloop")
    _make_initramfs(tmp_path / "root", folder / "initramfs")
    yield folder
    remove_tree(tmp_path / "root")


def _own_packages(work: Path, packages: Path) -> None:
    role = work / "role"
    folders = role_folders(ROLE)
    for each in folders:
        role.mkdir(parents=True, exist_ok=True)
        copy_in(each / "root", role)
    for service in SERVICES:
        link = role / f"etc/runlevels/sysinit/{service}"
        link.symlink_to(f"/etc/init.d/{service}")
    wanted = " ".join(sorted(wanted_packages(folders)))
    info = {"depends": wanted, "replaces": f"{wanted} {' '.join(BASE)} alpine-baselayout-data"}
    apk.make_package(apk.Package(f"rack-{ROLE}", "1-r0", role, info), packages)
    empty = work / "empty"
    empty.mkdir()
    base = {"depends": " ".join(BASE)}
    apk.make_package(apk.Package("alpine-base", "1-r0", empty, base), packages)


def _make_initramfs(root: Path, initramfs: Path) -> None:
    """As Alpine makes its netboot's: mkinitfs, in a root that trusts the packages' key."""
    run(as_root("cp", "-a", wheel_root(), root))
    run(as_root("cp", *apk.keys_dir().glob("*.pub"), root / "etc/apk/keys"))
    version = next((root / "lib/modules").iterdir()).name
    run(as_root("chroot", root, "mkinitfs", "-K", "-F", FEATURES, "-o", "/netboot", version))
    run(as_root("cp", root / "netboot", initramfs))
    run(as_root("chmod", "644", initramfs))


def test_the_same_overlay_is_taken(tmp_path: Path, stock: Path) -> None:
    tree = make_tree(tmp_path)
    overlay = stock / "overlay.tar.gz"
    overlay.write_bytes(make_overlay(tmp_path))
    with serving(stock) as port:
        host = f"http://10.0.2.2:{port}"
        line = (
            f"console=ttyS0 modules=loop,squashfs ip=dhcp alpine_repo={host}/main "
            f"modloop={host}/modloop apkovl={host}/{overlay.name} pkgs=rack-{ROLE}"
        )
        boot = ["-kernel", str(stock / "vmlinuz"), "-initrd", str(stock / "initramfs")]
        with power_on(tree, ["-m", "768", *boot, "-append", line, *nic()]) as machine:
            machine.wait_console("tester login:", READY_SECONDS)
            assert machine.ssh("hostname").strip() == "tester"
            assert machine.ssh("uname -r").strip().endswith("-virt")
            assert machine.ssh("cat /etc/network/interfaces").split()[-1] == "dhcp"
            assert "sshd" in machine.ssh("rc-update show default")
            assert f"rack-{ROLE}" in machine.ssh("apk info").split()
            assert "vfat" in machine.ssh("modprobe vfat && cat /proc/modules")  # the modloop's
