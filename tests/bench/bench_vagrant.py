"""The rack's servers raised by vagrant-libvirt, beside what the stack's last `up` took for them.

Both on the same lab machine, networks and boot server, with blank disks; the servers of the stack
are switched off meanwhile and on again after. Run by `make bench-vagrant`, which raises stack
`servers`. Vagrant (Debian's packages, with what they need) runs in a folder of the lab machine.
"""

import json
import os
import time
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from artefacts import cached, digest, run
from artefacts.debian import debian_sources
from config import addressing, names, stacks
from config.settings import Settings, load_settings, stack_folder
from config.topology import Server, StorageNode
from lab.converge import wait_ready
from lab.power import Action, power
from lab.remote import VIRSH, on_lab_machine
from labmachine.image import RELEASE

PACKAGES = "vagrant-libvirt,vagrant,iproute2,openssh-client"
CHROOT = "/var/tmp/vagrant"
POOL = "/var/lib/libvirt/vagrant"
TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent), undefined=StrictUndefined, trim_blocks=True,
    autoescape=False,
)  # fmt: skip
MOUNT = f"""
cd {CHROOT}
for each in proc sys dev run/libvirt; do
    mkdir -p $each
    mountpoint -q $each || mount --rbind --make-rslave /$each $each
done
mkdir -p {POOL}
{VIRSH} pool-info vagrant >/dev/null 2>&1 ||
    {VIRSH} pool-create-as vagrant dir --target {POOL} >/dev/null
"""
# What Ruby tells of its stack would push the error out of a failed command's last lines.
QUIET = "{ grep -v -e '^[[:space:]]*from ' -e '^/usr/share/' || true; }"
VAGRANT = f"chroot {CHROOT} env HOME=/root VAGRANT_CWD=/root LC_ALL=C.UTF-8 vagrant"
# `vagrant destroy` fails without a management network (vagrant-libvirt 0.11, list_networks.rb).
CLEAR = f"""
for each in $({VIRSH} list --all --name | grep '^root_'); do
    {VIRSH} destroy $each || true
    {VIRSH} undefine $each
done
! {VIRSH} pool-info vagrant >/dev/null 2>&1 || {VIRSH} pool-destroy vagrant
for each in proc sys dev run/libvirt; do
    ! mountpoint -q {CHROOT}/$each || umount -R -l {CHROOT}/$each
done
rm -rf --one-file-system {POOL} {CHROOT}
"""


def packages() -> Path:
    """A tar of a Debian with Vagrant."""

    def build(folder: Path) -> None:
        sources = debian_sources(RELEASE)
        run(
            ["mmdebstrap", "--variant=minbase", f"--include={PACKAGES}",
             '--aptopt=Apt::Install-Recommends "false"', "--dpkgopt=path-exclude=/usr/share/doc/*",
             RELEASE, folder / "root.tar", *sources],
            log=folder / "build.log",
        )  # fmt: skip

    key = digest(PACKAGES, RELEASE)
    return cached("vagrant", key, build, title="Vagrant, from Debian's packages") / "root.tar"


@dataclass(frozen=True)
class Disk:
    """A raw file of the lab machine; `device` as the server calls it, `size` in bytes."""

    device: str
    file: str
    size: int


def disks_of(name: str, server: Server) -> list[Disk]:
    """A server's disks, blank ones in Vagrant's pool."""
    sizes = server.disks if isinstance(server, StorageNode) else ()
    return [
        Disk(device, f"{POOL}/{name}-{device}.raw", size)
        for device, size in names.node_disks(sizes).items()
    ]


def vagrantfile(settings: Settings) -> str:
    """The stack's servers in Vagrant's words."""
    servers = [
        {
            "name": name,
            "mebibytes": server.memory >> 20,
            "nics": [
                {
                    "bridge": names.bridge(settings.stack, nic.network),
                    "mac": nic.mac.replace(":", ""),
                }
                for nic in addressing.nics(settings.stack, settings.topology, name)
            ],
            "disks": disks_of(name, server),
        }
        for name, server in settings.topology.of(Server).items()
    ]
    template = TEMPLATES.get_template("Vagrantfile.j2")
    return template.render(servers=servers, cpu=settings.profile.node_cpu)


def by_pulumi(settings: Settings) -> float:
    """Seconds of the last `up` from the first server's domain to the last one that was ready."""
    kept = stack_folder(settings.stack) / "timeline.json"
    spans = json.loads(kept.read_text())["spans"]
    servers = settings.topology.of(Server)
    first = min(spans[name]["start"] for name in servers)
    return float(max(spans[f"{name}-ready"]["end"] for name in servers) - first)


def by_vagrant(settings: Settings) -> float:
    """Seconds from `vagrant up` to the last server that was ready."""
    on_lab_machine(settings, f"{CLEAR}\nmkdir -p {CHROOT}")
    on_lab_machine(settings, f"tar -xf - -C {CHROOT}", stdin=packages().read_bytes())
    on_lab_machine(settings, MOUNT)
    for name, server in settings.topology.of(Server).items():
        for disk in disks_of(name, server):
            on_lab_machine(settings, f"truncate -s {disk.size} {disk.file}")
    text = vagrantfile(settings).encode()
    on_lab_machine(settings, f"cat >{CHROOT}/root/Vagrantfile", stdin=text)
    began = time.monotonic()
    try:
        up = f"set -o pipefail; {VAGRANT} up --provider=libvirt 2>&1 | {QUIET}"
        print(on_lab_machine(settings, up))
        print(f"vagrant up itself: {time.monotonic() - began:.0f} s", flush=True)
        for name in settings.topology.of(Server):
            wait_ready(settings, name)
            print(f"{name} ready {time.monotonic() - began:.0f} s", flush=True)
        return time.monotonic() - began
    finally:
        on_lab_machine(settings, CLEAR)


def main() -> None:
    """Both, and the ratio."""
    stack = os.environ["STACK"]
    settings = load_settings(stack, stacks.options(stack))
    settings.write_access()
    ours = by_pulumi(settings)
    for name in settings.topology.of(Server):
        power(settings, name, Action.OFF)
    theirs = by_vagrant(settings)
    for name in settings.topology.of(Server):
        power(settings, name, Action.ON)
    print(f"Pulumi {ours:.0f} s, Vagrant {theirs:.0f} s: {ours / theirs:.2f} of it")


if __name__ == "__main__":
    main()
