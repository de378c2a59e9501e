"""Pulumi's own released programs, taken where their download can be reached.

Owns which archives that are, with their checksums (`released.lock`), and fetching one. Leaves what
is used in place of one that can't be had to `build`. `make locks` writes the lock anew.
"""

import sys
import tempfile
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path

from artefacts import LabError, cached, run
from artefacts.cache import cache_folder
from artefacts.download import download, read_sums, write_sums

RELEASES = "https://get.pulumi.com/releases"
"""Where Pulumi itself fetches plug-ins from (pulumi/sdk/go/common/workspace/plugins.go)."""

LOCK = Path(__file__).with_name("released.lock")
"""The archives, by their paths below RELEASES (`artefacts.download`)."""

CLI = "3.255.0"
"""The version of the CLI; a user's own is used from this one of the same major version on."""


def cli() -> str:
    """The archive with the CLI and the language hosts, in a folder `pulumi`."""
    return f"sdk/pulumi-v{CLI}-linux-x64.tar.gz"


def plugin(name: str) -> str:
    """The archive with a resource plug-in, in the version that its installed SDK asks for."""
    return f"plugins/pulumi-resource-{name}-v{version(f'pulumi-{name}')}-linux-amd64.tar.gz"


def unpacked(archive: str) -> Path | None:
    """The folder of an archive that the cache has."""
    folder = cache_folder() / "tools" / _name(archive)
    return folder if folder.is_dir() else None


def known(archive: str) -> bool:
    """Whether the lock has the archive's checksum."""
    return archive in read_sums(LOCK)


def fetch(archive: str) -> Path:
    """The folder of an archive, fetched unless the cache has it.

    Raises:
        LabError: its checksum isn't known or is another, or it can't be reached.
    """
    wanted = read_sums(LOCK).get(archive)
    if wanted is None:
        raise LabError(f"{LOCK.name} has no checksum of {archive}")

    def build(work: Path) -> None:
        packed = work / "packed"
        if (found := download(f"{RELEASES}/{archive}", packed)) != wanted:
            raise LabError(f"{RELEASES}/{archive} has sha256 {found}, not {wanted}")
        run(["tar", "-xzf", packed, "--no-same-owner", "-C", work])
        packed.unlink()

    return cached("tools", _name(archive), build, title=f"fetching {Path(archive).name}")


def _name(archive: str) -> str:
    return f"released-{read_sums(LOCK).get(archive, 'unknown')[:16]}"


def lock_anew(archives: Iterable[str]) -> None:
    """Write the checksums of the archives as they are served now; those not reached keep theirs."""
    before, sums = read_sums(LOCK), {}
    for archive in archives:
        try:
            with tempfile.NamedTemporaryFile() as scratch:
                sums[archive] = download(f"{RELEASES}/{archive}", Path(scratch.name))
        except LabError as error:
            print(error, file=sys.stderr)
            if archive in before:
                sums[archive] = before[archive]
    write_sums(LOCK, sums)


if __name__ == "__main__":
    lock_anew([cli(), plugin("command")])
