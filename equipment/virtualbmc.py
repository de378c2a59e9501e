"""VirtualBMC, the field's own player of BMCs (decision 0006): its wheel, and where it is laid.

Owns the pin, the folder on each lab machine that has its content and nothing else, and fetching it.
Leaves running it to `equipment`, its settings to `lab.bmcs`, laying it to `labmachine` and `lab`.
"""

import shutil
import tempfile
from pathlib import Path

from artefacts import cached, digest, fetch_wheel

NAME, VERSION = "virtualbmc", "3.3.0"
SHA256 = "ab063656507a46fc45f6aea2df9fdfaf6e4e5b84f183bdea1b21c15818e7b6fb"
FOLDER = f"/usr/local/lib/rack-lab/{NAME}"
LAST_FILE = f"{FOLDER}/{NAME}-{VERSION}.dist-info/top_level.txt"  # that is laid
PORT = 50891  # of its control socket: its own default


def modules() -> Path:
    """A folder with its Python modules, fetched if it isn't in the cache.

    Raises:
        CommandFailed: it can't be fetched, or its hash is not the pinned one.
    """

    def fetch(folder: Path) -> None:
        with tempfile.TemporaryDirectory() as scratch:
            wheel = fetch_wheel(NAME, VERSION, SHA256, Path(scratch))
            shutil.unpack_archive(wheel, folder, "zip")

    return cached(NAME, digest(SHA256, "unpacked"), fetch, title="fetching VirtualBMC")
