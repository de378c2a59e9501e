"""Sizes as people write them, "4GiB" or "512MiB", and as programs need them, in bytes.

Owns the notation. Leaves what a size means, and its limits, to the settings that use it.
"""

import re

MIB = 1 << 20
_BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}


def parse_size(text: object) -> int:
    """Bytes of a size written as a whole number and a binary unit, e.g. "512MiB".

    Takes any object, so that it can stand before pydantic's own validation of a YAML value.

    Raises:
        ValueError: for anything else, plain numbers included; the message is "rule; remedy".
    """
    found = re.fullmatch(r"([1-9][0-9]*) ?([KMGT]iB)", text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(
            "a size is a whole number and KiB, MiB, GiB or TiB; write it like 512MiB or 4GiB"
        )
    return int(found[1]) * _BYTES[found[2]]


def format_size(size: int) -> str:
    """The shortest text that `parse_size` turns back into `size` bytes.

    Raises:
        ValueError: if `size` is not a positive multiple of 1 KiB.
    """
    for unit, factor in reversed(_BYTES.items()):
        if size > 0 and size % factor == 0:
            return f"{size // factor}{unit}"
    raise ValueError(f"{size} bytes: not a positive multiple of 1KiB; round it")
