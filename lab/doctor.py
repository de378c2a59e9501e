"""What the machine this runs on can do for a lab: each finding with its remedy.

Owns the findings. Leaves the tests themselves to `labmachine` and `plugins`.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

from artefacts import cache_root
from config.bill import bill, summary
from config.labmachine import load_labmachine
from config.settings import Settings
from config.units import format_size
from labmachine import machine
from labmachine.accelerator import accelerator
from labmachine.image import machine_image
from labmachine.preconditions import available_memory

# Programs the project calls, and the Debian package each is in; make up installs these.
PROGRAMS = {
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-img": "qemu-utils",
    "mmdebstrap": "mmdebstrap",
    "mksquashfs": "squashfs-tools",
    "mkfs.ext4": "e2fsprogs",
    "mcopy": "mtools",
    "syslinux": "syslinux",
    "mkfs.fat": "dosfstools",
    "xsltproc": "xsltproc",
    "ssh": "openssh-client",
    "dot": "graphviz",
    "go": "golang",
}
BUILD_SPACE = 8 << 30  # artefacts of all kinds, while they are built


@dataclass(frozen=True)
class Finding:
    """`fine` or not; `remedy` says what to do if not."""

    about: str
    fine: bool
    found: str
    remedy: str = ""


def examine(settings: Settings) -> Iterator[Finding]:
    """The findings, quick ones first."""
    for program, package in PROGRAMS.items():
        path = shutil.which(program)
        yield Finding(program, bool(path), path or "missing", f"apt-get install {package}")
    free = shutil.disk_usage(cache_root()).free
    yield Finding(
        "disk for artefacts", free >= BUILD_SPACE, f"{free >> 30} GiB free",
        f"free {format_size(BUILD_SPACE)}, or set LAB_CACHE to a larger file system",
    )  # fmt: skip
    hardware = load_labmachine()
    state = machine.status()
    memory = available_memory()
    running = state.state == "running"
    yield Finding(
        "memory for the lab machine", running or memory >= hardware.memory,
        "it is running" if running else f"{memory >> 20} MiB available",
        f"free {format_size(hardware.memory)}, or lower `memory` in config/labmachine.yaml",
    )  # fmt: skip
    taken = bill(settings.topology)
    yield Finding(
        f"the rack {settings.stack} in it", taken.memory <= hardware.memory,
        summary(taken, hardware.memory),
        "make machines smaller, or raise `memory` in config/labmachine.yaml",
    )  # fmt: skip
    verdict = accelerator(machine_image())
    yield Finding("acceleration", True, f"{verdict.accelerator}: {verdict.reason}")
