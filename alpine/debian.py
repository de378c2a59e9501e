"""Debian's packages that Alpine's wheel lacks: which ones, which versions, and fetching them.

Owns the lock (`debian.lock`). Leaves talking to apt to `artefacts.debian`, and converting the
packages to `debianpackages`. `make locks` writes the lock anew from `debian.txt`.
"""

import fnmatch
from pathlib import Path

from artefacts import cached
from artefacts.debian import Lock, Locked, debian_sources, lock_anew

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


def lock() -> Lock:
    """Which packages, in which versions."""
    return Lock.read(LOCK)


def kernel_package() -> Locked:
    """The locked package with the kernel's source; it becomes no apk (`kernelbuild`)."""
    (found,) = (package for package in lock().packages if package.name.startswith("linux-source-"))
    return found


def fetch_debs() -> Path:
    """A folder with every locked package as `<name>.deb`, each checked against its sha256.

    Raises:
        LabError: one isn't to be had anywhere, or its bytes aren't the locked ones.
    """
    return cached("debian", lock().key, _download, title="fetching Debian packages")


def _download(work: Path) -> None:
    lock().fetch(work, debian_sources(RELEASE))


def main() -> None:
    """Write `debian.lock` anew: what apt would install for `debian.txt`, without the dropped."""
    lock_anew(LOCK, debian_sources(RELEASE), requests(), dropped=dropped)


if __name__ == "__main__":
    main()
