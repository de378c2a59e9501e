"""The lab machine's disk image: Debian 12 with libvirt, Open vSwitch, mdadm and LVM2.

Owns the package list, its lock (`image.lock`; `make locks` writes it anew) and the recipe;
`labmachine/root/` is the file tree that is laid in before the packages are installed. The image is
never changed: each machine writes to an overlay of its own. Leaves starting it to `qemu` and
`machine`.
"""

import shlex
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from artefacts import cached, digest, pack_tree, run
from artefacts.debian import HINT, Lock, debian_sources, lock_anew
from artefacts.namespace import as_root, remove_tree
from equipment import HOST_PACKAGES, HOST_TREE, virtualbmc

RELEASE = "bookworm"
LOCK = Path(__file__).with_name("image.lock")
ROOT_TREE = Path(__file__).parent / "root"
DISK_SIZE = "6G"  # sparse; what the packages need and room for logs and definitions

PACKAGES = (
    "systemd-sysv", "dbus", "udev", "kmod", "procps", "iproute2", "nftables",
    # The cloud kernel has all that's needed in 90 MB of modules. tiny-initramfs is a static
    # init that loads two modules and mounts the root: no udev, no scripts.
    "linux-image-cloud-amd64", "tiny-initramfs",
    *HOST_PACKAGES,
    "seabios", "ipxe-qemu", "nbd-client", "python3-minimal",
    "openssh-server", "curl", "udhcpc", "socat", "tcpdump", "xz-utils", "zstd",
)  # fmt: skip

# What mmdebstrap's variant minbase has without being asked (mmdebstrap(1)), as apt's patterns.
BASE = ("?essential", "?priority(required)", "apt")

LEFT_OUT = (
    "/usr/share/doc/*", "/usr/share/man/*", "/usr/share/info/*", "/usr/share/locale/*",
    "/usr/share/iso-codes/*", "/usr/share/bash-completion/*",
    "/lib/udev/hwdb.d/*", "/usr/lib/udev/hwdb.d/*", "/usr/share/perl/*/unicore/*",
    "/usr/bin/qemu-system-i386",  # libvirt asks each qemu for its capabilities, 12 s under TCG
)  # fmt: skip

ENABLED = ("lab-uplink.service", "lab-clock.service")

# openvswitch-switch requires it: masked, ovs-vswitchd would silently not be started either.
# Each rack's own chronyd tells the time (equipment), and lab-clock.service keeps it.
DISABLED = ("ovs-record-hostname.service", "chrony.service")

# What a lab machine has no use for: each costs boot time, idle wake-ups, or both. Never mask
# what a needed unit requires (libvirtd: virtlogd.socket, virtlockd.socket).
MASKED = (
    "apt-daily.timer", "apt-daily-upgrade.timer", "dpkg-db-backup.timer", "logrotate.timer",
    "e2scrub_all.timer", "e2scrub_reap.service", "fstrim.timer", "systemd-tmpfiles-clean.timer",
    "mdcheck_start.timer", "mdcheck_continue.timer", "mdmonitor-oneshot.timer",
    "mdmonitor.service", "lvm2-monitor.service", "lvm2-lvmpolld.socket", "dm-event.socket",
    "blk-availability.service", "polkit.service", "uuidd.socket", "libvirt-guests.service",
    "systemd-machined.service", "machines.target",
    "var-lib-machines.mount", "getty.target", "serial-getty@ttyS0.service",
    "systemd-pstore.service", "systemd-binfmt.service", "systemd-update-utmp.service",
    "proc-sys-fs-binfmt_misc.automount", "systemd-update-utmp-runlevel.service",
    "systemd-ask-password-wall.path", "systemd-ask-password-console.path",
    "systemd-journal-flush.service", "systemd-repart.service",
    "sys-kernel-debug.mount", "sys-kernel-tracing.mount", "sys-kernel-config.mount",
    "sys-fs-fuse-connections.mount", "cryptsetup.target", "veritysetup.target",
    "integritysetup.target", "systemd-network-generator.service",
)  # fmt: skip


@dataclass(frozen=True)
class MachineImage:
    """One finished image: `disk` is a raw ext4 file system; kernel and initrd boot it."""

    folder: Path

    @property
    def disk(self) -> Path:
        return self.folder / "disk.raw"

    @property
    def kernel(self) -> Path:
        return self.folder / "vmlinuz"

    @property
    def initrd(self) -> Path:
        return self.folder / "initrd"


def machine_image() -> MachineImage:
    """The image made from this recipe, built with mmdebstrap if it isn't in the cache.

    Works as root, and without as root of a user namespace.

    Raises:
        CommandFailed: when mmdebstrap or mkfs.ext4 fail; the message has their last lines.
    """
    recipes = (Path(__file__), Path(virtualbmc.__file__))
    key = digest(*recipes, *HOST_PACKAGES, Lock.read(LOCK).key, ROOT_TREE, HOST_TREE)
    title = "building the lab machine's image (Debian packages, about a minute)"
    return MachineImage(cached("labmachine", key, _build, title=title))


def _build(folder: Path) -> None:
    overlay, tree = folder / "root.tar", folder / "root"
    log, disk = folder / "build.log", folder / "disk.raw"
    files = folder / "overlay"
    for laid in (ROOT_TREE, HOST_TREE):
        shutil.copytree(laid, files, dirs_exist_ok=True)
    shutil.copytree(virtualbmc.modules(), files / virtualbmc.FOLDER.lstrip("/"))
    pack_tree(files, overlay)
    with tempfile.TemporaryDirectory() as scratch:
        debs = Path(scratch) / "debs"
        debs.mkdir()
        source = Lock.read(LOCK).repository(debs, debian_sources(RELEASE), RELEASE)
        run(as_root(*mmdebstrap_argv(tree, overlay, [source])), log=log, hint=HINT)
    # root can make device nodes, root of a namespace can't; the machine's kernel brings its own
    run(as_root("find", tree / "dev", "-mindepth", "1", "-delete"))
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    shutil.copyfile(kernel, folder / "vmlinuz")
    shutil.copyfile(tree / "boot" / kernel.name.replace("vmlinuz", "initrd.img"), folder / "initrd")
    run(["truncate", "-s", DISK_SIZE, disk])
    run(as_root("mkfs.ext4", "-q", "-m", "0", "-L", "labmachine", "-d", tree, disk), log=log)
    remove_tree(tree)
    overlay.unlink()
    shutil.rmtree(files)
    disk.chmod(0o444)


def mmdebstrap_argv(tree: Path, overlay: Path, sources: list[str]) -> list[str]:
    """The command that fills `tree`; `overlay` is the tar with our files."""
    commands = (
        f'chroot "$1" systemctl --quiet enable {" ".join(ENABLED)}',
        f'chroot "$1" systemctl --quiet disable {" ".join(DISABLED)}',
        f'chroot "$1" systemctl --quiet mask {" ".join(MASKED)}',
        # The guests' switches are the rack's; identity is each machine's own.
        'rm -f "$1"/etc/libvirt/qemu/networks/default.xml "$1"/etc/ssh/ssh_host_*',
        'rm -f "$1"/etc/libvirt/qemu/networks/autostart/default.xml "$1"/etc/resolv.conf',
        # Without machined to start, libvirt makes its guests' cgroups itself.
        'rm "$1"/usr/share/dbus-1/system-services/org.freedesktop.machine1.service',
        'chroot "$1" update-tirfs',
        'rm "$1"/etc/apt/sources.list',  # names a folder of the build's
    )
    return [
        "mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory",
        f"--include={','.join(PACKAGES)}",
        '--aptopt=Apt::Install-Recommends "false"',
        '--aptopt=APT::Sandbox::User "root"',  # another can't read the builder's folder
        "--dpkgopt=force-confold", "--dpkgopt=force-confdef",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in LEFT_OUT),
        f"--essential-hook=tar-in {shlex.quote(str(overlay))} /",
        *(f"--customize-hook={command}" for command in commands),
        '--customize-hook=: > "$1"/etc/machine-id',
        RELEASE, str(tree), *sources,
    ]  # fmt: skip


def main() -> None:
    """Write `image.lock` anew: what apt would install for BASE and PACKAGES on an empty system."""
    lock_anew(LOCK, debian_sources(RELEASE), (*BASE, *PACKAGES))


if __name__ == "__main__":
    main()
