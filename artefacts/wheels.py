"""Python wheels that aren't part of this environment: their content goes into images.

Owns fetching one (pinned, through pip, so from whatever index pip is set to). Leaves what is
done with it to the caller.
"""

import sys
from pathlib import Path

from artefacts.process import run

HINT = "pip must be able to reach its package index once; afterwards the cache serves"


def fetch_wheel(name: str, version: str, sha256: str, folder: Path) -> Path:
    """Download one wheel, without what it depends on, into a folder; its path.

    Raises:
        CommandFailed: it can't be fetched, or its hash is not the pinned one.
    """
    pins = folder / "pins.txt"
    pins.write_text(f"{name}=={version} --hash=sha256:{sha256}\n")
    pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary=:all:"]
    run([*pip, "--require-hashes", "-r", pins, "-d", folder], hint=HINT)
    pins.unlink()
    (wheel,) = folder.glob("*.whl")
    return wheel
