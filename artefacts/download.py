"""Fetching one file whose checksum its caller knows, or writes down in a lock.

Owns reading it from an http address, by way of the user's proxies, or from a path, and the form of
such a lock: checksum and path per line, as `sha256sum` writes them. Leaves what a
right checksum is to the callers; Debian's packages are fetched by apt, wheels by pip.
"""

import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

from artefacts.errors import LabError

SILENT_S = 20.0  # that long a server may say nothing
CHUNK = 1 << 20
COMMENT = "# "
SHA256 = 64  # hex digits


class Unreachable(LabError):
    """Nobody answered, or broke off: another time it may be there."""


def download(source: str, target: Path) -> str:
    """Write what an http(s) address or an absolute path names to `target`; its sha256.

    Raises:
        Unreachable: nobody answers.
        LabError: it isn't there.
    """
    found = hashlib.sha256()
    with _opened(source, SILENT_S) as answer, target.open("wb") as file:
        while chunk := answer.read(CHUNK):
            found.update(chunk)
            file.write(chunk)
    return found.hexdigest()


def require_there(source: str, timeout_s: float) -> None:
    """Refuse an address or path that isn't to be had; fetches nothing.

    Raises:
        Unreachable: nobody answers within that time.
        LabError: it isn't there.
    """
    with _opened(source, timeout_s):
        pass


@contextmanager
def _opened(source: str, timeout_s: float) -> Iterator[HTTPResponse]:
    address = Path(source).as_uri() if source.startswith("/") else source
    told = f"{source} can't be fetched"
    silent = LabError if source.startswith("/") else Unreachable  # a folder has it or not
    try:
        with urlopen(address, timeout=timeout_s) as answer:  # noqa: S310 # callers check the scheme
            yield answer
    except HTTPError as error:
        raise LabError(f"{told}: {error}") from error
    except (URLError, ConnectionError, TimeoutError, HTTPException) as error:
        raise silent(f"{told}: {error}") from error
    except OSError as error:  # of this side
        raise LabError(f"{told}: {error}") from error


def read_sums(lock: Path) -> dict[str, str]:
    """The sha256 of each path that a lock has.

    Raises:
        LabError: it is no lock, as an empty one, or one with marks of a merge.
    """
    lines = (line for line in lock.read_text().splitlines() if not line.startswith(COMMENT))
    rows = [line.split("  ", 1) for line in lines]
    if not rows or not all(len(row) == 2 and len(row[0]) == SHA256 for row in rows):  # noqa: PLR2004
        raise LabError(f"{lock} can't be read: each line has a checksum and a path")
    return {path: sha256 for sha256, path in rows}


def write_sums(lock: Path, sums: Mapping[str, str], *, comment: str = "") -> None:
    """Write a lock, whole or not at all; `comment` is a line at its top."""
    new = lock.with_suffix(".new")
    top = f"{COMMENT}{comment}\n" if comment else ""
    new.write_text(top + "".join(f"{sums[path]}  {path}\n" for path in sorted(sums)))
    new.replace(lock)


def comment_of(lock: Path) -> str:
    """The line at a lock's top, or nothing."""
    first = next(iter(lock.read_text().splitlines()), "")
    return first.removeprefix(COMMENT) if first.startswith(COMMENT) else ""
