"""Debian's packages that Alpine's wheel lacks: which ones, which versions, and fetching them.

Owns the lock (`debian.lock`: name, version, sha256 of every package). Leaves talking to apt to
`artefacts.debian`, and converting the packages to `debianpackages`. `make locks`
writes the lock anew from `debian.txt`.
"""

import fnmatch
import tempfile
from pathlib import Path

from artefacts import cached, digest
from artefacts.debian import MOVED_ON, Apt, Locked, debian_sources, lock_anew, read_lock

HERE = Path(__file__).parent
REQUESTS = HERE / "debian.txt"
DROPS = HERE / "debian-drop.txt"
LOCK = HERE / "debian.lock"
RELEASE = "bookworm"


def lines(path: Path) -> list[str]:
    """The lines of a list file without comments and empty lines."""
    stripped = (line.split("#", 1)[0].strip() for line in path.read_text().splitlines())
    return [line for line in stripped if line]


def requests() -> dict[str, str]:
    """`{Debian name: Alpine's name for it, or empty}` from `debian.txt`."""
    pairs = (line.partition("=") for line in lines(REQUESTS))
    return {name.strip(): alias.strip() for name, _, alias in pairs}


def dropped(name: str) -> bool:
    """Whether the package `name` is left out by `debian-drop.txt`."""
    patterns = (line for line in lines(DROPS) if not line.startswith("/"))
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def locked() -> list[Locked]:
    """The lock's content, sorted by name."""
    return read_lock(LOCK)


def kernel_package() -> Locked:
    """The locked package with the kernel's source; it becomes no apk (`kernelbuild`)."""
    (found,) = (package for package in locked() if package.name.startswith("linux-source-"))
    return found


def fetch_debs() -> Path:
    """A folder with every locked package as `<name>.deb`, each checked against its sha256.

    Raises:
        CommandFailed: apt does not offer a locked version, or its bytes are not the locked ones.
    """
    return cached("debian", digest(LOCK), _download, title="fetching Debian packages")


def _download(work: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        Apt(Path(scratch), debian_sources(RELEASE)).download(locked(), work, MOVED_ON)


def main() -> None:
    """Write `debian.lock` anew: what apt would install for `debian.txt`, without the dropped."""
    lock_anew(LOCK, debian_sources(RELEASE), requests(), dropped=dropped)


if __name__ == "__main__":
    main()
