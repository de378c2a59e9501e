"""Debian's packages that Alpine's wheel lacks: which ones, which versions, and fetching them.

Owns the lock (`debian.lock`: name, version, sha256 of every package) and talking to apt, with a
private state folder and the host's own sources (Debian 12). Leaves converting them to
`debianpackages`. `python -m alpine.debian` writes the lock anew from `debian.txt`.
"""

import fnmatch
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from artefacts import CommandFailed, cache_root, cached, digest, run, step

HERE = Path(__file__).parent
REQUESTS = HERE / "debian.txt"
DROPS = HERE / "debian-drop.txt"
LOCK = HERE / "debian.lock"
URI_LINE = re.compile(
    r"^'[^']*' (?P<name>[^_]+)_(?P<version>[^_]+)_\w+\.deb \d+ SHA256:(?P<sha>\w+)$"
)
HINT = (
    "the host's apt sources must offer Debian 12 (bookworm); if its archive moved on,"
    " run `python -m alpine.debian` and commit the new lock"
)


@dataclass(frozen=True)
class Locked:
    """One line of the lock."""

    name: str
    version: str
    sha256: str


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
    return [Locked(*line.split()) for line in lines(LOCK)]


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
    _apt("update", "-qq")
    wanted = {package.name: package for package in locked()}
    _apt("download", "-qq", *(f"{p.name}={p.version}" for p in wanted.values()), cwd=work)
    for deb in work.glob("*_*.deb"):
        package = wanted.pop(deb.name.split("_", 1)[0])
        found = hashlib.sha256(deb.read_bytes()).hexdigest()
        if found != package.sha256:
            raise CommandFailed(f"{deb.name}: sha256 {found}, locked {package.sha256}\n{HINT}")
        deb.rename(work / f"{package.name}.deb")
    if wanted:
        raise CommandFailed(f"not fetched: {' '.join(sorted(wanted))}\n{HINT}")


def _apt(*arguments: str, cwd: Path | None = None) -> str:
    state = cache_root() / "apt"
    for folder in ("state/lists/partial", "cache/archives/partial"):
        (state / folder).mkdir(parents=True, exist_ok=True)
    (state / "status").touch()
    options = {
        "Dir::State": f"{state}/state",
        "Dir::State::status": f"{state}/status",
        "Dir::Cache": f"{state}/cache",
        "APT::Sandbox::User": "root",
        "Acquire::ForceHash": "SHA256",
        "APT::Architecture": "amd64",
        "APT::Install-Recommends": "false",
        "Debug::NoLocking": "true",
    }
    settings = [part for key, value in options.items() for part in ("-o", f"{key}={value}")]
    return run(["apt-get", *settings, *arguments], cwd=cwd, hint=HINT)


def resolve() -> Iterator[Locked]:
    """What apt would install now for `debian.txt` on an empty system, without the dropped."""
    _apt("update", "-qq")
    for line in _apt("install", "-y", "--print-uris", *requests()).splitlines():
        if match := URI_LINE.match(line):
            name = match["name"]
            if not dropped(name):
                yield Locked(name, unquote(match["version"]), match["sha"])


def main() -> None:
    """Write `debian.lock` anew."""
    with step("resolving Debian packages"):
        rows = sorted(f"{p.name} {p.version} {p.sha256}" for p in resolve())
    LOCK.write_text("# name version sha256; written by python -m alpine.debian\n")
    with LOCK.open("a") as lock:
        lock.writelines(f"{row}\n" for row in rows)


if __name__ == "__main__":
    main()
