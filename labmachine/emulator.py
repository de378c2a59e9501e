"""The qemu that runs the lab machine: Debian's newest stable backport, whatever the user's has.

Owns its lock (`emulator.lock`), unpacking it (nothing is installed), the environment in which it
is found first, and the correction it needs (`svm.c`). Leaves its command line to `qemu`, fetching
to `artefacts.debian`. Why not the system's: before 10.2 emulated SVM changes a CPU's pending
interrupts without a lock, so nested machines lose them
(docs/decisions/0003-qemu-from-backports.md).
`make locks` writes the lock anew.
"""

import os
import tempfile
from pathlib import Path

from artefacts import cached, digest, run
from artefacts import environment as own_environment
from artefacts.debian import Lock, debian_sources, lock_anew

RELEASE = "trixie"
BACKPORTS = f"{RELEASE}-backports"
PACKAGES = ("qemu-system-x86", "seabios")
LOCK = Path(__file__).with_name("emulator.lock")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
CORRECTION = Path(__file__).parent / "svm.c"
# The wrapper brings the loader and libraries that its qemu was built with. The loader splits
# --preload at blanks, so the correction is named without a folder; it is for emulated SVM alone.
WRAPPER = f"""#!/bin/sh
root=$(dirname "$(readlink -f "$0")")/root
# what it reads at random, 150 MB of tables for translated blocks and addresses, on huge pages
export GLIBC_TUNABLES=glibc.malloc.hugetlb=1
correction=svm.so
for argument; do
    case $argument in kvm | kvm,*) correction='' ;; esac
done
exec "$root/usr/lib64/ld-linux-x86-64.so.2" --argv0 qemu-system-x86_64 \\
    --preload "$correction" \\
    --library-path "$root/{LIBRARIES}:$root/{LIBRARIES}/pulseaudio" \\
    "$root/usr/bin/qemu-system-x86_64" -L "$root/usr/share/qemu" -L "$root/usr/share/seabios" "$@"
"""


def emulator() -> Path:
    """The folder with `qemu-system-x86_64`, fetched if it is not in the cache (seconds)."""
    key = digest(Lock.read(LOCK).key, CORRECTION, WRAPPER)
    return cached("emulator", key, _build, title="qemu for the lab machine")


def environment() -> dict[str, str]:
    """What a program is started with that shall find that qemu first."""
    own = own_environment()
    return own | {"PATH": f"{emulator()}{os.pathsep}{own['PATH']}"}


def _build(folder: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        Lock.read(LOCK).fetch(Path(scratch), _sources())
        for deb in sorted(Path(scratch).glob("*.deb")):
            run(["dpkg-deb", "-x", deb, folder / "root"])
    correction = folder / "root" / LIBRARIES / "svm.so"
    run(["cc", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC",
         "-o", correction, CORRECTION])  # fmt: skip
    program = folder / "qemu-system-x86_64"
    program.write_text(WRAPPER)
    program.chmod(0o755)
    run([program, "--version"])


def _sources() -> list[str]:
    stable = debian_sources(RELEASE)
    return [*stable, *(line.replace(f" {RELEASE} ", f" {BACKPORTS} ") for line in stable[:1])]


def main() -> None:
    """Write `emulator.lock` anew: what apt would install for PACKAGES on an empty system."""
    lock_anew(LOCK, _sources(), PACKAGES, default_release=BACKPORTS)


if __name__ == "__main__":
    main()
