"""The virtual lab machine's hardware, as read from `config/labmachine.yaml`.

What a user's own machine needs otherwise stands in `labmachine.yaml` in the project's folder,
which git ignores: its keys replace those of the shipped file. Owns the schema and limits. Leaves
making the machine to `labmachine/`, and whether a rack fits it to `checks`.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from config.document import read_document
from config.errors import ConfigError, Problem, from_pydantic
from config.load import FOLDER, located
from config.values import Size, Whole

LEAST_MEMORY = 2 << 30  # its own services and one small node
LEAST_DISK = 64 << 20  # an md superblock, a volume group and something to keep

FILE = FOLDER / "labmachine.yaml"
OWN = FOLDER.parent / "labmachine.yaml"


def _memory(size: int) -> int:
    if size < LEAST_MEMORY:
        raise ValueError("the lab machine needs 2GiB or more; raise it, e.g. 10GiB")
    return size


def _disk(size: int) -> int:
    if size < LEAST_DISK:
        raise ValueError("a physical disk has 64MiB or more; raise it, e.g. 4GiB")
    return size


def _disk_name(name: str) -> str:
    # It is its virtio serial number, of which the kernel keeps 20 bytes.
    if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
        raise ValueError(
            "a disk's name has 1 to 20 of a-z, 0-9 and dashes, a letter first; write it like disk1"
        )
    return name


DiskName = Annotated[str, AfterValidator(_disk_name)]


def _disks(value: object) -> object:
    if not (isinstance(value, dict) and value):
        raise ValueError("one or more disks by name; write it like {disk1: 4GiB, disk2: 4GiB}")
    return value


class LabMachine(BaseModel):
    """Cores, bytes of memory, ssh port on 127.0.0.1, and physical disks in bytes by name.

    Without `cores` it has as many as its accelerator is best with (labmachine/qemu.py).
    Inside the machine a disk is `/dev/disk/by-id/virtio-<name>`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    cores: Annotated[Whole, Field(ge=1, le=64)] | None = None
    memory: Annotated[Size, AfterValidator(_memory)] = 10 << 30
    ssh_port: Whole = Field(default=2222, ge=1024, le=65535)
    disks: Annotated[
        dict[DiskName, Annotated[Size, AfterValidator(_disk)]], BeforeValidator(_disks)
    ]


def load_labmachine(path: Path = FILE, own: Path | None = None) -> LabMachine:
    """Read and check the hardware's file, and the user's own over it.

    Raises:
        ConfigError: with every problem found.
    """
    data: dict[Any, Any] = {}
    places: dict[str, tuple[str, int]] = {}
    own = own or OWN
    for file in [path, own] if os.path.lexists(own) else [path]:
        source = "config/labmachine.yaml" if file == FILE else file.name
        document = read_document(file)
        users = {} if document.data is None else document.data
        if not isinstance(users, dict):
            problem = Problem(
                "(whole file)", str(users)[:60], "keys with values", "write `cores: 2`"
            )
            raise ConfigError(source, [problem])
        data |= users
        # A key replaces all that stood under it.
        kept = {key: at for key, at in places.items() if key.split(".")[0] not in users}
        places = kept | {key: (source, line) for key, line in document.lines.items()}
    try:
        return LabMachine.model_validate(data)
    except ValidationError as error:
        found = from_pydantic(source, error, list(LabMachine.model_fields)).problems
        raise ConfigError(source, located(source, found, places)) from error
