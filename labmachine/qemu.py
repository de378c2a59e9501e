"""The lab machine's qemu command line, as a pure function of its settings.

Owns every choice of virtual hardware. Leaves starting the process to `machine`, and which
accelerator works here to `accelerator`.
"""

import os
from itertools import pairwise
from pathlib import Path
from typing import Literal

from config.addressing import LAB_UPLINK
from config.labmachine import LabMachine
from config.profile import EMULATED_CORES
from config.units import format_size
from labmachine.emulator import emulator
from labmachine.image import MachineImage
from labmachine.layers import disk_format
from labmachine.state import State

Accelerator = Literal["kvm", "tcg"]

PROGRAM = "qemu-system-x86_64"
ADDRESS = str(LAB_UPLINK[15])  # the machine's own; lab-uplink.service sets it

# TCG emulates AMD's SVM, so the racks' nodes are KVM guests either way; five-level page
# tables break nesting in qemu 7.2. tb-size is MiB of translated code: nested guests need it.
# TCG repeats a string instruction byte by byte; without erms and fsrm the kernel clears and copies
# pages by plain moves (arch/x86/lib/clear_page_64.S).
ACCELERATION: dict[Accelerator, list[str]] = {
    "kvm": ["-accel", "kvm", "-cpu", "host"],
    "tcg": ["-accel", "tcg,thread=multi,tb-size=1024", "-cpu", "max,la57=off,erms=off,fsrm=off"],
}

# q35 as it comes: with hpet=off and a balloon that reports free pages, a lab machine halted
# for good (all CPUs in HLT) within minutes of nested load, twice; without, it was not seen.
KERNEL_LINE = (
    "root=/dev/vda rw rootflags=noatime console=ttyS0 quiet loglevel=4 panic=10 "
    "net.ifnames=0 mitigations=off nowatchdog audit=0 apparmor=0 nokaslr cryptomgr.notests "
    "transparent_hugepage=madvise systemd.show_status=1"
)

# Of qemu's arguments those that the saved state of its devices depends on (qemu, docs/devel/
# migration/compatibility); files, ports and sockets may be others.
DEVICES = ("-machine", "-accel", "-cpu", "-smp", "-m", "-device", "-serial")


def cores_of(settings: LabMachine, accelerator: Accelerator) -> int:
    """How many it has: as the settings say, else what its accelerator is best with."""
    best = {"tcg": EMULATED_CORES, "kvm": len(os.sched_getaffinity(0))}
    return settings.cores or best[accelerator]


def machine_argv(
    settings: LabMachine, image: MachineImage, state: State, accelerator: Accelerator
) -> list[str]:
    """The argv that starts the machine.

    To be run in the state folder: but for the pidfile, whose path tells our process from
    others, names in it are relative, so sockets' paths stay short wherever the project lies.
    """
    cores = cores_of(settings, accelerator)
    return [
        PROGRAM, "-name", "labmachine", "-pidfile", str(state.pidfile),
        "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "q35",
        *ACCELERATION[accelerator],
        "-smp", str(cores), "-m", f"{settings.memory >> 20}M",
        "-kernel", str(image.kernel), "-initrd", str(image.initrd), "-append", KERNEL_LINE,
        *_disk("system", state.root, state, cores),
        *[part for name in settings.disks for part in
          _disk(name, state.disk(name), state, cores)],
        "-netdev", f"user,id=uplink,restrict=on,ipv6=off,"
                   f"hostfwd=tcp:127.0.0.1:{settings.ssh_port}-{ADDRESS}:22",
        "-device", "virtio-net-pci,netdev=uplink,romfile=",
        "-device", "virtio-rng-pci",
        "-chardev", f"socket,id=console,path={state.console.name},server=on,wait=off,"
                    f"logfile={state.console_log.name}",
        "-serial", "chardev:console",
        "-qmp", f"unix:{state.qmp.name},server=on,wait=off",
        # systemd takes these as credentials: the key that may log in, the machine's own key.
        "-fw_cfg", f"name=opt/io.systemd.credentials/ssh.authorized_keys.root,"
                   f"file={state.public_key.name}",
        "-fw_cfg", f"name=opt/io.systemd.credentials/lab.ssh_host_key,file={state.host_key.name}",
    ]  # fmt: skip


def hardware(settings: LabMachine, image: MachineImage, accelerator: Accelerator) -> dict[str, str]:
    """What a saved state can only go on with, by what it is called."""
    argv = machine_argv(settings, image, State(Path("/machine")), accelerator)
    devices = [value for option, value in pairwise(argv) if option in DEVICES]
    return {
        "qemu": emulator().name,
        "accelerator": accelerator,
        "cores": str(cores_of(settings, accelerator)),
        "memory": format_size(settings.memory),
        "disks": ", ".join(f"{name} {format_size(size)}" for name, size in settings.disks.items()),
        "devices": "\n".join(devices),
    }


def _disk(serial: str, file: Path, state: State, queues: int) -> list[str]:
    name = file.relative_to(state.folder)
    return [
        "-drive",
        f"if=none,id={serial},file={name},format={disk_format(file)},"
        "discard=unmap,detect-zeroes=unmap",
        "-device", f"virtio-blk-pci,drive={serial},serial={serial},num-queues={min(queues, 4)}",
    ]  # fmt: skip


def probe_argv(image: MachineImage, accelerator: Accelerator) -> list[str]:
    """The argv of a small guest that boots our kernel and panics for want of a root disk."""
    return [
        PROGRAM, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
        "-machine", "q35", *ACCELERATION[accelerator], "-m", "256M", "-serial", "stdio",
        "-kernel", str(image.kernel), "-append", "console=ttyS0 panic=-1",
    ]  # fmt: skip
