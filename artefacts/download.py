"""Fetching one file whose checksum its caller knows, or writes down in a lock.

Owns reading it from an http address, by way of the user's proxies, or from a path, and the form of
such a lock: checksum and path per line, as `sha256sum` writes them. Leaves what a
right checksum is to the callers; Debian's packages are fetched by apt, wheels by pip.
"""

import hashlib
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from urllib.request import urlopen

from artefacts.process import CommandFailed

SILENT_S = 20.0  # that long a server may say nothing
CHUNK = 1 << 20


def download(source: str, target: Path) -> str:
    """Write what an http(s) address or an absolute path names to `target`; its sha256.

    Raises:
        CommandFailed: it can't be reached or isn't there.
    """
    address = Path(source).as_uri() if source.startswith("/") else source
    found = hashlib.sha256()
    try:
        with (
            urlopen(address, timeout=SILENT_S) as answer,  # noqa: S310 # callers check the scheme
            target.open("wb") as file,
        ):
            while chunk := answer.read(CHUNK):
                found.update(chunk)
                file.write(chunk)
    except (OSError, HTTPException) as error:
        raise CommandFailed(f"{source} can't be fetched: {error}") from error
    return found.hexdigest()


def read_sums(lock: Path) -> dict[str, str]:
    """The sha256 of each path that a lock has."""
    rows = (line.split("  ", 1) for line in lock.read_text().splitlines())
    return {path: sha256 for sha256, path in rows}


def write_sums(lock: Path, sums: Mapping[str, str]) -> None:
    """Write a lock, whole or not at all."""
    new = lock.with_suffix(".new")
    new.write_text("".join(f"{sums[path]}  {path}\n" for path in sorted(sums)))
    new.replace(lock)
