"""Where Debian's packages come from, whatever the system's own apt has.

Owns the apt lines of a release and a private apt that reads nothing of the system's. A mirror
that the user's apt has for one release of Debian is used for all; else it is Debian's own. Leaves
which packages to the callers.
"""

import hashlib
import re
import shlex
import tempfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote

from artefacts.process import CommandFailed, run
from artefacts.progress import step

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
BETWEEN = "\t"  # fields of third-party sources have blanks in them
FIELDS = BETWEEN.join(("$(ORIGIN)", "$(RELEASE)", "$(COMPONENT)", "$(REPO_URI)"))
COMPONENT = "main"
URI_LINE = re.compile(
    r"^'[^']*' (?P<name>[^_]+)_(?P<version>[^_]+)_\w+\.deb \d+ SHA256:(?P<sha>\w+)$"
)
HINT = "is the Debian mirror reachable? apt-get update shows it"
MOVED_ON = "if Debian's archive has moved on, run `make locks` and commit the new locks"


@dataclass(frozen=True)
class Locked:
    """One package of a lock: name, version, and sha256 of its file."""

    name: str
    version: str
    sha256: str


def read_lock(path: Path) -> list[Locked]:
    """A lock's packages: `name version sha256` per line, `#` for remarks."""
    rows = (line.split("#", 1)[0].split() for line in path.read_text().splitlines())
    return [Locked(*row) for row in rows if row]


def write_lock(path: Path, packages: Iterable[Locked]) -> None:
    """Write a lock anew."""
    rows = sorted(f"{each.name} {each.version} {each.sha256}\n" for each in packages)
    path.write_text(f"# name version sha256; written by make locks\n{''.join(rows)}")


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
    deb = folder / f"{package.name}.deb"
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

    def run(self, *arguments: str, cwd: Path | None = None, hint: str = HINT) -> str:
        """The output of `apt-get ARGUMENTS`.

        Raises:
            CommandFailed: it fails.
        """
        return run(["apt-get", *self._options, *arguments], cwd=cwd, hint=hint)

    def download(self, packages: Iterable[Locked], target: Path, hint: str) -> None:
        """Fetch the packages into `target` as `<name>.deb`, each checked against its sha256.

        Raises:
            CommandFailed: a locked version isn't offered, or its bytes aren't the locked ones.
        """
        wanted = list(packages)
        exact = [f"{each.name}={each.version}" for each in wanted]
        self.run("download", "-qq", *exact, cwd=target, hint=hint)
        for package in wanted:
            deb = next(target.glob(f"{package.name}_*.deb"), None)
            if deb is None:
                raise CommandFailed(f"not fetched: {package.name}\n{hint}")
            with deb.open("rb") as content:
                found = hashlib.file_digest(content, "sha256").hexdigest()
            if found != package.sha256:
                raise CommandFailed(f"{deb.name}: sha256 {found}, locked {package.sha256}\n{hint}")
            deb.rename(target / f"{package.name}.deb")

    def repository(self, packages: Iterable[Locked], target: Path, release: str, hint: str) -> str:
        """Fetch the packages into `target`, a repository of these alone; its apt line.

        Its index is what deb822(5) and "Debian Repository Format" ask of a flat repository.

        Raises:
            CommandFailed: as `download`.
        """
        wanted = list(packages)
        self.download(wanted, target, hint)
        index = "\n".join(_index_entry(target, each) for each in wanted).encode()
        (target / "Packages").write_bytes(index)
        (target / "Release").write_text(
            f"Suite: {release}\nCodename: {release}\nArchitectures: amd64\nSHA256:\n"
            f" {hashlib.sha256(index).hexdigest()} {len(index)} Packages\n"
        )
        return f"deb [trusted=yes] copy:{quote(str(target))} ./"

    def resolve(self, *packages: str) -> Iterator[Locked]:
        """What apt would install for `packages` on an empty system."""
        for line in self.run("install", "-y", "--print-uris", *packages).splitlines():
            if match := URI_LINE.match(line):
                yield Locked(match["name"], unquote(match["version"]), match["sha"])


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
        CommandFailed: the mirror can't be reached, or apt finds no such packages.
    """
    with step("resolving Debian packages"), tempfile.TemporaryDirectory() as scratch:
        found = Apt(Path(scratch) / "apt", sources, default_release).resolve(*requests)
        write_lock(path, [each for each in found if not dropped(each.name)])
