"""Bochs, an emulator of Intel's processors with VMX and EPT, which no qemu emulates.

Owns fetching it (Debian's package, unpacked and not installed) and running a machine on it. Leaves
what the machine boots to the tests.
"""

import os
import subprocess
import time
from pathlib import Path

from artefacts import cached, digest, run
from artefacts.debian import Apt, Lock, debian_sources

RELEASE = "bookworm"
PACKAGES = ("bochs", "bochs-sdl", "bochsbios", "vgabios")
SYSTEM_LIBRARIES = "lib/x86_64-linux-gnu"
LIBRARIES = (SYSTEM_LIBRARIES, f"usr/{SYSTEM_LIBRARIES}", f"usr/{SYSTEM_LIBRARIES}/pulseaudio")
# Haswell has no leaf that tells a frequency, so Linux measures the time-stamp counter, which counts
# `ips` per second here. The debugger that Debian builds in waits for `c`. A text screen would need
# a terminal that somebody reads.
CONFIG = """\
plugin_ctrl: unmapped=1, biosdev=1, speaker=0, extfpuirq=1, parallel=0, serial=1, e1000=0
config_interface: textconfig
display_library: sdl2
memory: guest=2048, host=2048
romimage: file={root}/usr/share/bochs/BIOS-bochs-latest
vgaromimage: file={root}/usr/share/bochs/VGABIOS-lgpl-latest
cpu: model=corei7_haswell_4770, count=1, ips=100000000, reset_on_triple_fault=0, ignore_bad_msrs=1
clock: sync=none
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata0-master: type=disk, path={disk}, mode=flat
boot: disk
pci: enabled=1, chipset=i440fx
com1: enabled=1, mode=file, dev={console}
log: {folder}/bochs.log
panic: action=report
error: action=ignore
info: action=ignore
debug: action=ignore
"""


def _build(folder: Path) -> None:
    sources = debian_sources(RELEASE)
    apt, debs = folder / "apt", folder / "debs"
    debs.mkdir()
    Lock("", tuple(Apt(apt, sources).resolve(*PACKAGES))).fetch(debs, sources)
    for deb in sorted(debs.glob("*.deb")):
        run(["dpkg-deb", "-x", deb, folder / "root"])
    run(["rm", "-r", apt, debs])


def boot(folder: Path, disk: Path, deadline_s: float, last: str) -> str:
    """Have a machine boot from a disk until its serial console says `last`; all that it said.

    Raises:
        AssertionError: it didn't within the deadline, or Bochs ended before.
    """
    title = "fetching Bochs"
    root = cached("bochs", digest(Path(__file__)), _build, title=title) / "root"
    console = folder / "console"
    console.touch()
    config, start = folder / "bochsrc", folder / "start"
    config.write_text(CONFIG.format(root=root, disk=disk, console=console, folder=folder))
    start.write_text("c\n")
    environment = os.environ | {
        "SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy",
        "BXSHARE": f"{root}/usr/share/bochs",
        "LTDL_LIBRARY_PATH": f"{root}/usr/{SYSTEM_LIBRARIES}/bochs/plugins",
    }  # fmt: skip
    argv: list[str | Path] = [
        root / "lib64/ld-linux-x86-64.so.2", "--library-path",
        ":".join(f"{root}/{each}" for each in LIBRARIES),
        root / "usr/bin/bochs-bin", "-q", "-f", config, "-rc", start,
    ]  # fmt: skip
    deadline, seen = time.monotonic() + deadline_s, 0
    with (folder / "screen").open("wb") as screen, subprocess.Popen(
        argv, env=environment, stdin=subprocess.DEVNULL, stdout=screen, stderr=screen
    ) as bochs:  # fmt: skip
        try:
            while True:
                said = console.read_text(errors="replace")
                print(said[seen:], end="", flush=True)
                seen = len(said)
                if last in said:
                    return said
                assert bochs.poll() is None, (folder / "screen").read_text()[-2000:]
                assert time.monotonic() < deadline, f"not within {deadline_s:.0f} s: {last}"
                time.sleep(1)
        finally:
            bochs.kill()
