"""A user's own machine: a plain Debian with nothing of ours, whose packages it can install itself.

Emulated with AMD's virtualisation, so it has KVM. Owns its image, its qemu and how it is reached:
as a name of the user's ssh configuration. Leaves what is done with it to the tests.
"""

import ctypes
import os
import shlex
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from alpine.boottree import common_files
from alpine.image import role_image
from alpine.release import Release, chosen
from artefacts import CommandFailed, cache_root, cached, digest, run
from artefacts.debian import Apt, Lock, debian_sources
from artefacts.environment import PROJECT
from artefacts.namespace import as_root, remove_tree
from config.addressing import LAB_UPLINK
from config.load import load_topology
from config.profile import EMULATED_CORES, Kernel
from equipment import HOST_PACKAGES
from guest.consul import image_folders
from labmachine.emulator import environment
from labmachine.image import BASE
from labmachine.qemu import ACCELERATION, ADDRESS, PROGRAM

ALIAS = "my-lab"  # its name in the user's ssh configuration
SYSTEM = (
    "systemd-sysv", "systemd-timesyncd", "dbus", "udev", "kmod", "procps", "apparmor",
    "linux-image-cloud-amd64", "initramfs-tools", "openssh-server", "iproute2",
)  # fmt: skip
# What a user of this project has installed; no compilers, as all that is built comes with it.
USERS = (
    "openssh-client", "python3", "qemu-utils", "xsltproc", "mtools", "dosfstools", "syslinux",
    "sudo", "mmdebstrap",
)  # fmt: skip
INSTALL = (
    "apt-get -qq update && DEBIAN_FRONTEND=noninteractive "
    f"apt-get -qq -y --no-install-recommends install {' '.join(USERS)} >/dev/null"
)
MOUNT = (
    f"mkdir -p /mnt/users {PROJECT} && mount /dev/disk/by-id/virtio-users /mnt/users && "
    f"mount --bind /mnt/users/project {PROJECT}"
)
USER = "ada"
ADD_USER = (
    f"useradd --create-home --shell /bin/bash {USER} && "
    f"echo '{USER} ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/{USER} && chown -R {USER} /mnt/users"
)
DEBS = "srv/debs"  # its mirror: there is no network in which a test could ask one
NETWORK = f"""[Match]
Name=eth0
[Network]
Address={ADDRESS}/{LAB_UPLINK.prefixlen}
Gateway={LAB_UPLINK[2]}
"""
KERNEL_LINE = "root=/dev/vda rw console=ttyS0 net.ifnames=0 mitigations=off quiet loglevel=4"
DISK_SIZE, MEMORY_MB = "10G", 8192
CORES = EMULATED_CORES  # docs/decisions/0005: on two, emulated SVM isn't sound
SERIALS, USERS_DISK = ("disk1", "disk2"), "users"
# of the cache, what is needed to raise a rack; of the heavy ones the one that was used last
ARTEFACTS = (
    "alpine-key", "alpine-wheel", "boot", "emulator", "image", "kernel", "labmachine", "release",
    "tools", "virtualbmc",
)  # fmt: skip
HEAVY = ("emulator", "labmachine", "release")
# a rack of two first-level machines, the laptop and a router that boots from it
GONE = (
    "firewall", "storage1", "storage2", "storage3", "compute1", "compute2", "compute3", "san1",
    "san2", "san3", "nfs1", "lxc1", "lxc2", "lxc3",
)  # fmt: skip
ONE = "".join(
    ("extends: rack\narray: {level: 1, disks: [disk1, disk2]}\nreach: null\nmachines:\n",
     *(f"  {name}: null\n" for name in GONE))
)  # fmt: skip
BOOT_S = 600.0
CLONE_NEWNS = 0x00020000  # unshare(2)


def image(release: str) -> Path:
    """The folder of a release's finished `disk.raw`, built if it isn't in the cache."""
    parts: tuple[str | Path, ...] = (Path(__file__), *HOST_PACKAGES, release)
    return cached(
        "plain-host", digest(*parts), lambda folder: _build(folder, release),
        title=f"building a plain {release} (Debian packages, three minutes)",
    )  # fmt: skip


def _build(folder: Path, release: str) -> None:
    sources = debian_sources(release)
    tree, debs = folder / "root", folder / "debs"
    debs.mkdir()
    with tempfile.TemporaryDirectory() as scratch:
        apt = Apt(Path(scratch) / "apt", sources)
        # apart, as two of them are two ways to keep the time
        found = dict.fromkeys(
            each for part in (SYSTEM, HOST_PACKAGES, USERS) for each in apt.resolve(*BASE, *part)
        )
        Lock("", tuple(found)).repository(debs, sources, release)
    network = folder / "80-eth0.network"
    network.write_text(NETWORK)
    hooks = (
        f'mkdir -p "$1"/{DEBS} && cp {debs}/* "$1"/{DEBS}/',
        f'cp {network} "$1"/etc/systemd/network/',
        'chroot "$1" systemctl --quiet enable systemd-networkd',
        f'echo "deb [trusted=yes] file:/{DEBS} ./" >"$1"/etc/apt/sources.list',
        'rm -rf "$1"/var/lib/apt/lists/* && chroot "$1" apt-get --quiet update',
        'echo my-lab >"$1"/etc/hostname',
    )
    run(
        as_root(
            "mmdebstrap", "--variant=minbase", "--mode=root", "--format=directory",
            "--skip=cleanup/apt/lists", f"--include={','.join(SYSTEM)}",
            '--aptopt=Apt::Install-Recommends "false"', '--aptopt=APT::Sandbox::User "root"',
            *(f"--customize-hook={hook}" for hook in hooks), release, str(tree), *sources,
        ),
        log=folder / "build.log",
    )  # fmt: skip
    run(as_root("find", tree / "dev", "-mindepth", "1", "-delete"))
    (kernel,) = (tree / "boot").glob("vmlinuz-*")
    shutil.copyfile(kernel, folder / "vmlinuz")
    shutil.copyfile(tree / "boot" / kernel.name.replace("vmlinuz", "initrd.img"), folder / "initrd")
    disk = folder / "disk.raw"
    run(["truncate", "-s", DISK_SIZE, disk])
    run(as_root("mkfs.ext4", "-q", "-m", "0", "-d", tree, disk))
    remove_tree(tree)
    shutil.rmtree(debs)


class PlainHost:
    """One such machine in a folder: its disks, its qemu, the user's ssh files for it."""

    def __init__(self, folder: Path, release: str) -> None:
        self._folder, self._image = folder, image(release)
        self._ssh = folder / "ssh"
        self._ssh.mkdir(parents=True, mode=0o700)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._port = free.getsockname()[1]
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self._ssh / "key"])
        (self._ssh / "config").write_text(
            f"Host {ALIAS}\n  HostName 127.0.0.1\n  Port {self._port}\n  User root\n"
            "  IdentityFile ~/.ssh/key\n  StrictHostKeyChecking accept-new\n"
        )
        shutil.copyfile(self._image / "initrd", folder / "initrd")
        disk = self._image / "disk.raw"
        run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", disk, "-F", "raw", folder / "system"])
        for serial in SERIALS:
            run(["truncate", "-s", "4G", folder / serial])
        self._disks = [("system", "qcow2"), *((serial, "raw") for serial in SERIALS)]
        self._qemu: subprocess.Popen[bytes] | None = None

    def bring_users(self) -> None:
        """Give it this project with its Python environment and its artefacts, as a disk USERS_DISK.

        To be called while it is off. At the same paths, as an environment's programs name them.
        """
        tree = self._folder / "tree"
        tracked = run(["git", "ls-files", "-z"], cwd=PROJECT).strip("\0").split("\0")
        for name in tracked:
            (tree / "project" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, tree / "project" / name, follow_symlinks=False)
        shutil.copytree(PROJECT / ".venv", tree / "project/.venv", symlinks=True)
        for kind in ARTEFACTS:
            newest = sorted(
                (cache_root() / kind).glob("[!.]*"), key=lambda each: each.stat().st_mtime
            )
            for each in newest[-1:] if kind in HEAVY else newest:
                shutil.copytree(each, tree / "cache" / kind / each.name, symlinks=True)
        disk = self._folder / USERS_DISK
        run(["truncate", "-s", "12G", disk])
        run(["mkfs.ext4", "-q", "-m", "0", "-d", tree, disk])
        shutil.rmtree(tree)
        self._disks.append((USERS_DISK, "raw"))

    def set_up(self) -> None:
        """Do what a user of this project does first: install what it needs; there is USER, too."""
        self.ssh(f"{INSTALL} && {MOUNT} && {ADD_USER}")

    def write(self, name: str, text: str) -> None:
        """Write a file of the project there; its owner is the project's."""
        file = PROJECT / name
        self.ssh(f"cat >{file} <<'END'\n{text}END\nchown --reference={PROJECT} {file}")

    def run(self, command: str, user: str = "root", *, check: bool = True) -> str:
        """What a command of the project's says there, on both streams."""
        script = (
            f"cd {PROJECT} && export LAB_CACHE=/mnt/users/cache PATH={PROJECT}/.venv/bin:$PATH && "
            f"{command} 2>&1"
        )
        said = self.ssh(f"su {user} -c {shlex.quote(script)}" + ("" if check else " || true"))
        print(f"{user}$ {command}\n{said}", flush=True)
        return said

    def start(self) -> None:
        """Switch it on, and wait until its sshd answers."""
        argv = [
            PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-machine", "q35", *ACCELERATION["tcg"], "-smp", str(CORES), "-m", f"{MEMORY_MB}M",
            "-kernel", str(self._image / "vmlinuz"), "-initrd", "initrd", "-append", KERNEL_LINE,
            *[part for name, kind in self._disks for part in (
                "-drive", f"if=none,id={name},file={name},format={kind},discard=unmap",
                "-device", f"virtio-blk-pci,drive={name},serial={name}",
            )],
            "-netdev", f"user,id=net,restrict=on,ipv6=off,"
                       f"hostfwd=tcp:127.0.0.1:{self._port}-{ADDRESS}:22",
            "-device", "virtio-net-pci,netdev=net,romfile=", "-device", "virtio-rng-pci",
            "-serial", "file:console.log",
            "-fw_cfg", "name=opt/io.systemd.credentials/ssh.authorized_keys.root,file=ssh/key.pub",
        ]  # fmt: skip
        self._qemu = subprocess.Popen(
            argv, cwd=self._folder, env=environment(), stdin=subprocess.DEVNULL
        )
        deadline = time.monotonic() + BOOT_S
        while True:
            try:
                self.ssh("true")
                return
            except CommandFailed as error:
                assert self._qemu.poll() is None, "its qemu ended"
                assert time.monotonic() < deadline, f"{error}\n{self.console()[-2000:]}"
                time.sleep(2)

    def cut(self) -> None:
        """Take its power."""
        if self._qemu is not None:
            self._qemu.kill()
            self._qemu.wait()
            self._qemu = None

    def boot_anew(self) -> None:
        """Power off and on, with the initramfs that it has made, as its boot loader would."""
        (self._folder / "initrd").write_bytes(self._bytes("cat /initrd.img; sync"))
        self.cut()
        self.start()

    def ssh(self, script: str) -> str:
        """What a shell script says on it."""
        return self._bytes(script).decode()

    def console(self) -> str:
        """All that its console has said since it was switched on."""
        return (self._folder / "console.log").read_text(errors="replace")

    def _bytes(self, script: str) -> bytes:
        done = subprocess.run(
            ["ssh", "-F", self._ssh / "config", "-i", self._ssh / "key", "-o", "BatchMode=yes",
             "-o", f"UserKnownHostsFile={self._ssh / 'hosts'}", "-o", "LogLevel=ERROR",
             "-o", "ConnectTimeout=60", ALIAS, script],
            capture_output=True, check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
        if done.returncode:
            said = f"{done.stdout.decode()}{done.stderr.decode()}"
            raise CommandFailed(["ssh", script], "failed", said=said, code=done.returncode)
        return done.stdout

    @contextmanager
    def known_to_the_user(self) -> Iterator[None]:
        """The user's ~/.ssh is this machine's, for this process and those that it starts."""
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(CLONE_NEWNS) == 0, os.strerror(ctypes.get_errno())
        subprocess.run(["mount", "--make-rprivate", "/"], check=True)
        home = Path("~/.ssh").expanduser()
        made = not home.exists()
        home.mkdir(exist_ok=True)
        subprocess.run(["mount", "--bind", self._ssh, home], check=True)
        try:
            yield
        finally:
            subprocess.run(["umount", "--lazy", home], check=True)
            if made:
                home.rmdir()


@contextmanager
def users_host(folder: Path, options: str, kernel: Kernel = Kernel.RACK) -> Iterator[PlainHost]:
    """A machine on which a user has this project, with stack `one` of such settings and kernel."""
    _build_images(folder, chosen(None, kernel))
    host = PlainHost(folder, "bookworm")
    host.bring_users()
    try:
        host.start()
        host.set_up()
        host.write("config/one.yaml", ONE)
        host.write("Pulumi.one.yaml", options)
        yield host
    finally:
        host.cut()


def _build_images(folder: Path, release: Release) -> None:
    """Have the images of stack `one` in the cache: built emulated they would take half an hour."""
    common_files(release)
    file = folder / "one.yaml"
    file.write_text(ONE)
    topology = load_topology(file, "one")
    for machine in topology.machines.values():
        role_image(machine.role, image_folders(topology), release)
