"""What set-up builds, on the host that this runs on: sums of the finished things, as JSON.

Run by test_hosts.py in a bare Debian's Python environment of this project, in its folder.
"""

import hashlib
import json
import sys
from pathlib import Path

from alpine import boottree, image, stick
from labmachine.emulator import emulator
from labmachine.image import machine_image

ROLE = "storage"
MAC = "52-54-00-00-00-01"


def main(folder: Path) -> None:
    """Build all, the stick into `folder`."""
    emulator()
    machine = machine_image()
    files = boottree.common_files() | boottree.image_files(ROLE, image.image_key(ROLE))
    stick.write_stick(folder / "stick", files, machine=MAC, size_bytes=512 << 20)
    sums = {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    print(json.dumps({"machine": str(machine.disk), "files": sums}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
