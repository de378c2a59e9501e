"""A machine under TCG on this host, for the tests: its tree, its qemu, its console, its sshd.

Owns starting qemu and ending it by its pid. Leaves what is checked to the tests.
"""

import contextlib
import gzip
import hashlib
import io
import os
import shutil
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from alpine import rootfs
from alpine.image import image_key, role_image
from alpine.initramfs import boot_files
from alpine.release import OFFLINE, Release
from alpine.squashfs import make_squashfs
from artefacts import run

MAC = "52-54-00-00-00-07"
ROLE = "quarantine"
QUIET = "console=ttyS0 quiet panic=30"
CPU = ["-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,la57=off"]
PLAIN = ["-nodefaults", "-display", "none", "-no-reboot", "-m", "512"]


def free_port() -> int:
    """A TCP port of 127.0.0.1 that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass(frozen=True)
class Tree:
    """A boot tree with one machine, MAC, of the bare role, and the key its sshd accepts."""

    folder: Path
    key: Path

    @property
    def machine(self) -> Path:
        """The machine's own folder."""
        return self.folder / "machines" / MAC


def make_tree(folder: Path, release: Release = OFFLINE) -> Tree:
    """A complete boot tree in `folder`."""
    tree = Tree(folder / "tree", folder / "key")
    for name in ("boot", "images", f"machines/{MAC}"):
        (tree.folder / name).mkdir(parents=True)
    for path in boot_files(release).iterdir():
        shutil.copyfile(path, tree.folder / "boot" / path.name)
    image, key = role_image(ROLE, (), release), image_key(ROLE, (), release)
    for layer in image.layers:
        shutil.copyfile(layer, tree.folder / "images" / layer.name)
    for name in (key, "quarantine"):
        shutil.copyfile(image.list, tree.folder / f"images/{name}.layers")
    for path in (tree.key, folder / "host_key"):
        run(["ssh-keygen", "-q", "-t", "ecdsa", "-N", "", "-f", path])
    write_entry(tree, make_overlay(folder), image=key)
    return tree


def write_entry(tree: Tree, overlay: bytes, sha256: str = "", image: str = "") -> str:
    """The machine's boot.env and overlay; `sha256` if it is to be a wrong one; the right one."""
    true_sum = hashlib.sha256(overlay).hexdigest()
    name = f"/machines/{MAC}/overlay-{true_sum}.tar.gz"
    (tree.folder / name[1:]).write_bytes(overlay)
    (tree.machine / "boot.env").write_text(
        f"image=/images/{image or image_key(ROLE)}.layers\n"
        f"overlay={name}\noverlay_sha256={sha256 or true_sum}\n"
    )
    return true_sum


def new_image(tree: Tree, folder: Path) -> str:
    """A changed image in the tree, with `etc/added` and without `etc/services`; its key."""
    root = folder / "image"
    for layer in role_image(ROLE).layers:
        run(["unsquashfs", "-q", "-n", "-f", "-d", root, layer])
    (root / "etc/added").write_text("added\n")
    (root / "etc/services").unlink()
    (root / rootfs.MANIFEST).write_text("".join(f"{line}\n" for line in rootfs.manifest(root)))
    image = tree.folder / "images/changed.squashfs"
    make_squashfs(root, image)
    sha256 = hashlib.sha256(image.read_bytes()).hexdigest()
    image.with_suffix(".layers").write_text(f"{sha256}  {image.name}\n")
    return "changed"


def make_overlay(folder: Path, hostname: str = "tester") -> bytes:
    """Host name, DHCP on eth0, ssh keys, sshd in its runlevel."""
    files = {
        "etc/hostname": (f"{hostname}\n".encode(), 0o644),
        "etc/network/interfaces": (
            b"auto lo\niface lo\n\nauto eth0\niface eth0\n use dhcp\n",
            0o644,
        ),
        "etc/ssh/ssh_host_ecdsa_key": ((folder / "host_key").read_bytes(), 0o600),
        "root/.ssh/authorized_keys": ((folder / "key.pub").read_bytes(), 0o600),
    }
    links = {"boot": ["hostname", "networking"], "default": ["sshd"]}
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as archive:
        for name, (data, mode) in files.items():
            info = tarfile.TarInfo(name)
            info.size, info.mode = len(data), mode
            archive.addfile(info, io.BytesIO(data))
        for level, services in links.items():
            for service in services:
                info = tarfile.TarInfo(f"etc/runlevels/{level}/{service}")
                info.type, info.linkname = tarfile.SYMTYPE, f"/etc/init.d/{service}"
                archive.addfile(info)
    return gzip.compress(raw.getvalue(), mtime=0)


@dataclass(frozen=True)
class Running:
    """A started machine."""

    console: Path
    port: int
    key: Path
    process: subprocess.Popen[bytes]
    began: float

    def wait_console(self, text: str, seconds: float) -> float:
        """Seconds from power-on until `text` is on the console.

        Raises:
            TimeoutError: it is not there in time, or qemu ended; with the console's end.
        """
        deadline = self.began + seconds
        while text not in (seen := self.console.read_text(errors="replace")):
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise TimeoutError(f"no {text!r} in {seconds} s; console ends:\n{seen[-2000:]}")
            time.sleep(0.2)
        return time.monotonic() - self.began

    def ssh(self, command: str) -> str:
        """Run a command in the machine."""
        options = ["StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR"]
        flags = [part for option in options for part in ("-o", option)]
        target: list[str | Path] = ["-i", self.key, "-p", str(self.port), "root@127.0.0.1"]
        return run(["ssh", *flags, *target, command], timeout_s=60)

    def has_sshd(self) -> bool:
        """Whether something answers as an ssh server."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as stream:
            stream.settimeout(5)
            with contextlib.suppress(OSError):
                return stream.recv(4) == b"SSH-"
        return False


@contextlib.contextmanager
def power_on(
    tree: Tree, arguments: list[str], environment: Mapping[str, str] | None = None
) -> Iterator[Running]:
    """Start qemu with a user-network NIC that forwards a port to sshd; end it by its pid."""
    port = free_port()
    console = tree.folder.parent / f"console-{port}.log"
    console.touch()
    argv = ["qemu-system-x86_64", *CPU, *PLAIN, "-serial", f"file:{console}"]
    net = [part.replace("PORT", str(port)) for part in arguments]
    process = subprocess.Popen([*argv, *net], env={**os.environ, **(environment or {})})
    try:
        yield Running(console, port, tree.key, process, time.monotonic())
    finally:
        process.kill()
        process.wait(timeout=20)


def nic(extra: str = "") -> list[str]:
    """qemu arguments of a virtio NIC with MAC and user networking."""
    forward = f"user,id=n0,hostfwd=tcp:127.0.0.1:PORT-:22{extra}"
    mac = MAC.replace("-", ":")
    return ["-netdev", forward, "-device", f"virtio-net-pci,netdev=n0,mac={mac}"]


def direct(tree: Tree, scheme: str) -> list[str]:
    """qemu arguments that start the tree's kernel, as nodes do, with `rack.tree=<scheme>`."""
    line = f"{QUIET} rack.tree={scheme} rack.machine={MAC}"
    boot = tree.folder / "boot"
    elf = tree.folder.parent / "vmlinux"
    elf.write_bytes(gzip.decompress((boot / "vmlinux.gz").read_bytes()))
    kernel = ["-kernel", str(elf), "-initrd", str(boot / "initramfs")]
    folders = {"boot": tree.folder, "images": tree.folder / "images"}
    shares = [
        f"local,path={folder},mount_tag={tag},security_model=none,readonly=on"
        for tag, folder in folders.items()
    ]
    return [*kernel, "-append", line, *(part for each in shares for part in ("-virtfs", each))]
