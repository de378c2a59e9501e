"""The qemu that runs the lab machine: Debian's newest stable backport, whatever the user's has.

Owns fetching it (packages are only unpacked, nothing is installed) and the environment in
which it is found first, and the correction it needs (`svm.c`). Leaves its command line to
`qemu`. Why not the system's: before 10.2 emulated SVM changes a CPU's pending interrupts
without a lock, so nested machines lose them (docs/decisions/0003-qemu-from-backports.md).
"""

import os
from pathlib import Path

from artefacts import cached, digest, run
from labmachine.image import debian_sources

RELEASE = "trixie"
BACKPORTS = f"{RELEASE}-backports"
PACKAGES = ("qemu-system-x86", "seabios")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
CORRECTION = Path(__file__).parent / "svm.c"
# The wrapper brings the loader and libraries that its qemu was built with.
WRAPPER = f"""#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
# what it reads at random, 150 MB of tables for translated blocks and addresses, on huge pages
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --argv0 qemu-system-x86_64 \\
    --preload "$root/../svm.so" \\
    --library-path "$root/{LIBRARIES}:$root/{LIBRARIES}/pulseaudio" \\
    "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
"""


def emulator() -> Path:
    """The folder with `qemu-system-x86_64`, fetched if it is not in the cache (seconds)."""
    return cached(
        "emulator", digest(Path(__file__), CORRECTION), _build, title="qemu for the lab machine"
    )


def environment() -> dict[str, str]:
    """This process's environment with that qemu first on PATH."""
    return dict(os.environ) | {"PATH": f"{emulator()}:{os.environ.get('PATH', os.defpath)}"}


def _build(folder: Path) -> None:
    sources = debian_sources(RELEASE)
    backports = [line.replace(f" {RELEASE} ", f" {BACKPORTS} ") for line in sources]
    argv = [
        "mmdebstrap", "--variant=extract", "--mode=auto", "--format=directory",
        f"--include={','.join(PACKAGES)}", '--aptopt=Apt::Install-Recommends "false"',
        f'--aptopt=APT::Default-Release "{BACKPORTS}"',
        RELEASE, str(folder / "root"), *dict.fromkeys([*sources, *backports]),
    ]  # fmt: skip
    run(argv, log=folder / "build.log", hint="is the Debian mirror reachable?")
    run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
         "-o", folder / "svm.so", CORRECTION])  # fmt: skip
    program = folder / "qemu-system-x86_64"
    program.write_text(WRAPPER)
    program.chmod(0o755)
    run([program, "--version"])
