"""Alpine's packages from a mirror: which ones, in which versions, and fetching them.

Owns the lock (`mirror.lock`), and that nothing is taken whose signature or checksum is wrong.
Leaves where a mirror is to `config.mirror`, which packages are wanted to `guest/`, and what becomes
of them to `release`.

A mirror is the folder of a release, by http or as a copy on this machine: below it lie
`main/x86_64` and `community/x86_64`, each with its packages and a signed APKINDEX.tar.gz
(apk-repositories(5)). Its index names one version of each package, and older ones go from a mirror
when a newer one comes: so the versions are locked, and a lock is renewed when they are gone.
"""

import re
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from alpine import apk
from alpine.wheel import wheel_root
from artefacts import CommandFailed, LabError, cached, digest
from artefacts.cache import cache_folder
from artefacts.download import (
    Unreachable,
    comment_of,
    download,
    read_sums,
    require_there,
    write_sums,
)
from config.errors import ConfigError, Problem
from config.mirror import Mirror

LOCK = Path(__file__).with_name("mirror.lock")
"""The packages, by their paths below the mirror (`artefacts.download`), and at its top of which."""

REPOSITORIES = ("main", "community")
INDEX = "APKINDEX.tar.gz"
AT_ONCE = 8
WHO_MAY = (
    "A copy of Alpine's mirror has Alpine's signatures; for one that another key signs: "
    "pulumi config set lab:alpineKeys FOLDER --stack NAME"
)
RENEW = "renew the lock, which takes the versions that it has now: lab --stack NAME alpine lock"
OFFLINE = (
    "To build Alpine offline instead, of other versions: pulumi config rm lab:alpine --stack NAME"
)
RELEASE = re.compile(r"(?<=/)(v\d+\.\d+|edge|latest-stable)$")  # the end of a mirror's place
KIND = "alpine"  # in the cache
LOOK_S = 5.0  # that long a mirror is waited for where it is looked at only


def packages(mirror: Mirror) -> Path:
    """A folder with each locked package as `<name>-<version>.apk`, checked.

    Raises:
        LabError: one isn't to be had, or its bytes aren't the locked ones.
    """
    locked = read_sums(LOCK)

    def build(work: Path) -> None:
        for path, found in _fetch(mirror, locked, work, f"If it has a newer one, {RENEW}").items():
            if found != locked[path]:
                raise LabError(
                    f"{mirror.place}/{path} has sha256 {found}, the lock says {locked[path]}\n"
                    f"Look whether the mirror is sound, or {RENEW}"
                )

    return cached(KIND, lock_key(), build, title=f"fetching Alpine from {mirror.place}")


def lock_anew(mirror: Mirror, names: Iterable[str], optional: Iterable[str] = ()) -> int:
    """Lock the packages called so, and all they depend on, as the mirror has them; how many.

    `optional`: packages that aren't locked if the mirror lacks them.

    Raises:
        Unreachable: it doesn't answer.
        LabError: it lacks one, or a signature is missing or wrong.
    """
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        paths = _resolve(mirror, sorted(names), sorted(optional), work)
        fetched = work / "packages"
        fetched.mkdir()
        sums = _fetch(mirror, paths, fetched)
        _verify(mirror, sorted(fetched.iterdir()))
    write_sums(LOCK, sums, comment=mirror.place)
    return len(sums)


def locked_of() -> str:
    """The mirror whose versions are locked."""
    return comment_of(LOCK)


def require_release(mirror: Mirror) -> None:
    """Refuse a mirror of another release than the locked one, as far as their addresses tell.

    Raises:
        ConfigError: machines would have packages of one, and repositories of another; or the lock
            can't be read.
    """
    try:
        read_sums(LOCK)
    except LabError as error:
        remedy = f"take it from git again: git checkout alpine/mirror.lock; or {RENEW}"
        raise ConfigError(
            "lab:alpine", [Problem("alpine/mirror.lock", "damaged", str(error), remedy)]
        ) from error
    named, locked = (RELEASE.search(place) for place in (mirror.place, locked_of()))
    if named and locked and named[0] != locked[0]:
        rule = f"a mirror of {locked[0]}, whose packages are locked (alpine/mirror.lock)"
        remedy = f"name one of {locked[0]}, or {RENEW}"
        raise ConfigError("lab:alpine", [Problem("lab:alpine", mirror.place, rule, remedy)])


def require_packages(mirror: Mirror) -> None:
    """Refuse a mirror that is asked for the locked packages and doesn't answer.

    Raises:
        ConfigError: it is of another release, or the lock can't be read.
        LabError: it doesn't answer, and the cache hasn't them.
    """
    require_release(mirror)
    if not (cache_folder() / KIND / lock_key()).is_dir():
        for path in list(read_sums(LOCK))[:1]:
            require_there(f"{mirror.place}/{path}", LOOK_S)


def is_locked(name: str) -> bool:
    """Whether the lock has a version of a package."""
    versioned = re.compile(rf"{re.escape(name)}-[0-9][^-]*-r[0-9]+\.apk")
    return any(versioned.fullmatch(Path(path).name) for path in read_sums(LOCK))


def _resolve(mirror: Mirror, names: list[str], optional: list[str], work: Path) -> list[str]:
    """The paths of packages and of what they depend on, by the mirror's signed indexes."""
    options: list[str | Path] = [f"--arch={apk.ARCH}", "--no-cache", "--keys-dir", keys(mirror)]
    for repository in REPOSITORIES:
        index = Path(repository, apk.ARCH, INDEX)
        (work / index).parent.mkdir(parents=True)
        download(f"{mirror.place}/{index}", work / index)
        _verify(mirror, [work / index])  # to `add` one with a wrong signature isn't there
        options.append(f"--repository={work / repository}")
    empty = work / "root"
    empty.mkdir()
    apk.apk("add", "--quiet", f"--root={empty}", f"--arch={apk.ARCH}", "--initdb", "--no-cache")
    query = ["query", "--available", "--from=none", "--fields=name", f"--root={empty}", *options]
    names = [*names, *(each for each in optional if apk.apk(*query, each))]
    # `fetch` alone doesn't fail where a package is missing
    apk.apk("add", "--simulate", f"--root={empty}", *options, *names)
    found = apk.apk("fetch", "--from=none", "--simulate", "--recursive", "--url", *options, *names)
    return [line.removeprefix(f"{work}/") for line in found.splitlines()]


def _fetch(mirror: Mirror, paths: Iterable[str], folder: Path, hint: str = "") -> dict[str, str]:
    """Fetch paths of the mirror into a folder; the sha256 of each. `hint`: where one is missing."""

    def one(path: str) -> tuple[str, str]:
        try:
            return path, download(f"{mirror.place}/{path}", folder / Path(path).name)
        except Unreachable as error:
            raise Unreachable(f"{error}\n{OFFLINE}") from error
        except LabError as error:
            raise LabError(f"{error}\n{hint}".strip()) from error

    with ThreadPoolExecutor(AT_ONCE) as threads:
        return dict(threads.map(one, paths))


def _verify(mirror: Mirror, files: Iterable[Path]) -> None:
    """Refuse packages or indexes that nobody trusted has signed, or that aren't whole."""

    def one(file: Path) -> None:
        try:
            apk.apk("verify", "--keys-dir", keys(mirror), file)
        except CommandFailed as error:
            hint = WHO_MAY if "signature" in str(error) else f"{mirror.place} isn't sound"
            raise error.with_hint(hint) from error

    with ThreadPoolExecutor(AT_ONCE) as threads:
        list(threads.map(one, files))


def keys(mirror: Mirror) -> Path:
    """Who may sign: by default Alpine, by the keys that the pinned wheel has."""
    return Path(mirror.keys) if mirror.keys else wheel_root() / "etc/apk/keys"


def lock_key() -> str:
    """A name for what is locked, known without fetching it."""
    return digest(*(f"{sha256} {Path(path).name}" for path, sha256 in read_sums(LOCK).items()))
