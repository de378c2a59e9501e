"""Where Debian's packages come from, whatever the system's own apt has.

Owns the apt lines of a release, a private apt that resolves packages and reads nothing of the
system's, and fetching what a lock names. A mirror that the user's apt has for one release of
Debian is used for all; else it is Debian's own. Leaves which packages to the callers.

A mirror's index offers the newest versions only, its pool keeps a superseded one for days, and
snapshot.debian.org keeps all for good. So a lock has each package's place in the pool, and the time
it was written, which is how that archive is asked (snapshot.debian.org, "Usage").
"""

import hashlib
import re
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote

from artefacts.cache import digest
from artefacts.errors import CommandFailed, LabError
from artefacts.process import run
from artefacts.progress import step

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
BETWEEN = "\t"  # fields of third-party sources have blanks in them
FIELDS = BETWEEN.join(("$(ORIGIN)", "$(RELEASE)", "$(COMPONENT)", "$(REPO_URI)"))
COMPONENT = "main"
URI_LINE = re.compile(
    r"^'[^']*/(?P<path>pool/[^']*)' (?P<name>[^_]+)_(?P<version>[^_]+)_\w+\.deb \d+ "
    r"SHA256:(?P<sha>\w+)$"
)
HINT = "is the Debian mirror reachable? apt-get update shows it"
MOVED_ON = "neither Debian's mirror nor its archive has it; run `make locks`, commit the new locks"
APT_HELPER = "/usr/lib/apt/apt-helper"  # apt's own fetching, with its proxies and its checks
ARCHIVE = "http://snapshot.debian.org/archive"
ARCHIVED = ("debian", "debian-security")
TIME = "%Y%m%dT%H%M%SZ"
NAMED = 5  # of the packages that aren't to be had
LOCK_HEAD = "# name version sha256 path; written by make locks at "


@dataclass(frozen=True)
class Locked:
    """One package of a lock: name, version, sha256 of its file, and where mirrors have that."""

    name: str
    version: str
    sha256: str
    path: str


@dataclass(frozen=True)
class Lock:
    """The packages of a lock. `written`: when, as snapshot.debian.org has it (TIME, UTC)."""

    written: str
    packages: tuple[Locked, ...]

    @property
    def key(self) -> str:
        """Changes with the packages, not with where they are to be had."""
        return digest(*(f"{each.name} {each.sha256}" for each in self.packages))

    @classmethod
    def read(cls, path: Path) -> "Lock":
        """The lock in a file: its head, then `name version sha256 path` per line."""
        head, *rows = path.read_text().splitlines()
        if not head.startswith(LOCK_HEAD):
            raise ValueError(f"{path}: its first line isn't a lock's; run `make locks`")
        written = head.removeprefix(LOCK_HEAD)
        return cls(written, tuple(Locked(*row.split()) for row in rows))

    def write(self, path: Path) -> None:
        """Write it into a file."""
        rows = sorted(
            f"{each.name} {each.version} {each.sha256} {each.path}\n" for each in self.packages
        )
        path.write_text(f"{LOCK_HEAD}{self.written}\n{''.join(rows)}")

    def fetch(self, target: Path, sources: Iterable[str]) -> None:
        """Fetch the packages into `target` as `<name>.deb`, each checked against its sha256.

        `sources`: apt lines of mirrors, which are asked first.

        Raises:
            LabError: one isn't to be had anywhere, or its bytes aren't the locked ones; with
                the first that each mirror and archive said.
        """
        said = []
        mirrors = dict.fromkeys(line.split()[2] for line in sources)
        archives = [f"{ARCHIVE}/{each}/{self.written}" for each in ARCHIVED]
        for base in (*mirrors, *archives):
            missing = self._missing(target)
            if not missing:
                return
            wanted = [
                part
                for each in missing
                for part in (f"{base}/{each.path}", str(_file(target, each)),
                             f"SHA256:{each.sha256}")
            ]  # fmt: skip
            try:
                run([APT_HELPER, "-o", "APT::Sandbox::User=root", "download-file", *wanted])
            except CommandFailed as error:
                said.append(f"  | {error.lines[0]}" if error.lines else error.problem)
        if missing := self._missing(target):
            names = ", ".join(f"{each.name} {each.version}" for each in missing[:NAMED])
            more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
            told = [f"not fetched: {names}{more}", *said, f"{HINT}; {MOVED_ON}"]
            raise LabError("\n".join(told))

    def _missing(self, target: Path) -> list[Locked]:
        return [each for each in self.packages if not _file(target, each).exists()]

    def repository(self, target: Path, sources: Iterable[str], release: str) -> str:
        """Fetch the packages into `target`, a repository of these alone; its apt line.

        Its index is what deb822(5) and "Debian Repository Format" ask of a flat repository.

        Raises:
            LabError: as `fetch`.
        """
        self.fetch(target, sources)
        index = "\n".join(_index_entry(target, each) for each in self.packages).encode()
        (target / "Packages").write_bytes(index)
        (target / "Release").write_text(
            f"Suite: {release}\nCodename: {release}\nArchitectures: amd64\nSHA256:\n"
            f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
        )
        return f"deb [trusted=yes] copy:{quote(str(target))} ./"


def _file(folder: Path, package: Locked) -> Path:
    return folder / f"{package.name}.deb"


def debian_sources(release: str) -> list[str]:
    """A release's apt lines, checked by Debian's own archive keys."""
    try:
        targets = run(["apt-get", "indextargets", "--format", FIELDS, "Created-By: Packages"])
    except CommandFailed:
        targets = ""
    found = list(dict.fromkeys(_users_lines(targets.splitlines(), release)))
    return found or _debians_own(release)


def _debians_own(release: str) -> list[str]:
    """The lines that mmdebstrap has for a release where none are given.

    It tells them in the root it begins with, where it is stopped before it fetches anything.
    """
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder) / "sources.list"
        hook = f'cp "$1"/etc/apt/sources.list {shlex.quote(str(told))}; exit 1'
        begin = ["mmdebstrap", "--variant=custom", "--mode=auto", "--format=null"]
        try:
            run([*begin, f"--setup-hook={hook}", release, "/dev/null"], hint=HINT)
        except CommandFailed:
            if not told.exists():
                raise
        lines = told.read_text().splitlines()
    rows = [line.split() for line in lines if line.startswith("deb ")]
    return [_line(uri, suite) for _, uri, suite, *_ in rows]


def _users_lines(targets: list[str], wanted: str) -> Iterator[str]:
    for target in targets:
        origin, release, component, uri = target.split(BETWEEN)
        suite = release.partition("-")[2]
        if origin == "Debian" and component == COMPONENT and suite in {"", "updates", "security"}:
            yield _line(uri, f"{wanted}-{suite}" if suite else wanted)


def _line(uri: str, suite: str) -> str:
    return f"deb [signed-by={KEYRING}] {uri.rstrip('/')} {suite} {COMPONENT}"


def _index_entry(folder: Path, package: Locked) -> str:
    """A fetched package's own fields, and where it lies."""
    deb = _file(folder, package)
    fields, size = run(["dpkg-deb", "--field", deb]).strip(), deb.stat().st_size
    return f"{fields}\nFilename: ./{deb.name}\nSize: {size}\nSHA256: {package.sha256}\n"


class Apt:
    """An apt of its own in a folder: an empty system with these sources, amd64."""

    def __init__(self, folder: Path, sources: Iterable[str], default_release: str = "") -> None:
        self._folder = folder
        for name in ("state/lists/partial", "cache/archives/partial", "parts"):
            (folder / name).mkdir(parents=True)
        (folder / "status").touch()
        (folder / "sources.list").write_text("".join(f"{line}\n" for line in sources))
        settings = {
            "Dir::Etc::sourcelist": folder / "sources.list",
            "Dir::Etc::sourceparts": folder / "parts",
            "Dir::Etc::preferences": "/dev/null",
            "Dir::Etc::preferencesparts": folder / "parts",
            "Dir::State": folder / "state",
            "Dir::State::status": folder / "status",
            "Dir::Cache": folder / "cache",
            "APT::Sandbox::User": "root",
            "APT::Default-Release": default_release,
            "Acquire::ForceHash": "SHA256",
            "Acquire::Languages": "none",
            "APT::Architecture": "amd64",
            "APT::Architectures": "amd64",
            "APT::Install-Recommends": "false",
            "Debug::NoLocking": "true",
        }
        pairs = (f"{name}={value}" for name, value in settings.items())
        self._options = [part for pair in pairs for part in ("-o", pair)]
        self.run("update", "-qq")

    def run(self, *arguments: str) -> str:
        """The output of `apt-get ARGUMENTS`.

        Raises:
            LabError: it fails.
        """
        return run(["apt-get", *self._options, *arguments], hint=HINT)

    def resolve(self, *packages: str) -> Iterator[Locked]:
        """What apt would install for `packages` on an empty system."""
        for line in self.run("install", "-y", "--print-uris", *packages).splitlines():
            if match := URI_LINE.match(line):
                version, path = unquote(match["version"]), unquote(match["path"])
                yield Locked(match["name"], version, match["sha"], path)


def lock_anew(
    path: Path,
    sources: Iterable[str],
    requests: Iterable[str],
    *,
    default_release: str = "",
    dropped: Callable[[str], bool] = lambda _name: False,
) -> None:
    """Write a lock of what apt would install for `requests` on an empty system.

    `dropped` tells by name what is left out.

    Raises:
        LabError: the mirror can't be reached, or apt finds no such packages.
    """
    with step("resolving Debian packages"), tempfile.TemporaryDirectory() as scratch:
        found = Apt(Path(scratch) / "apt", sources, default_release).resolve(*requests)
        kept = tuple(each for each in found if not dropped(each.name))
    Lock(datetime.now(UTC).strftime(TIME), kept).write(path)
