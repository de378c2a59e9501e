"""Quantities as people write them, "4GiB", "40ms", "2%", "10mbit", and as programs need them.

Owns the notations. Leaves what a quantity means, and its limits, to the settings that use it.
"""

import re

MIB = 1 << 20
_BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}
_MICROSECONDS = {"us": 1, "ms": 1000, "s": 1_000_000}  # tc(8), TIMES
_BITS = {"kbit": 1000, "mbit": 1_000_000, "gbit": 1_000_000_000}  # tc(8), RATES

SIZE = r"([1-9][0-9]{0,6}) ?([KMGT]iB)"
DURATION = r"([1-9][0-9]{0,6})(us|ms|s)"
PERCENT = r"([0-9]{1,2}(\.[0-9]{1,3})?|100)%"
RATE = r"([1-9][0-9]{0,6})([kmg]bit)"


def _found(pattern: str, text: object, message: str) -> re.Match[str]:
    found = re.fullmatch(pattern, text) if isinstance(text, str) else None
    if found is None:
        raise ValueError(message)
    return found


def parse_size(text: object) -> int:
    """Bytes of a size written as a whole number and a binary unit, e.g. "512MiB".

    Takes any object, so that it can stand before pydantic's own validation of a YAML value.

    Raises:
        ValueError: for anything else, plain numbers included; the message is "rule; remedy".
    """
    found = _found(
        SIZE,
        text,
        "a size is a whole number and KiB, MiB, GiB or TiB; write it like 512MiB or 4GiB",
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


def parse_duration(text: object) -> int:
    """Microseconds of a time written as tc(8) has it, e.g. "40ms".

    Raises:
        ValueError: as `parse_size`.
    """
    found = _found(DURATION, text, "a time is a whole number and us, ms or s; write it like 40ms")
    return int(found[1]) * _MICROSECONDS[found[2]]


def parse_percent(text: object) -> float:
    """The number of a percentage, e.g. 2.5 of "2.5%".

    Raises:
        ValueError: as `parse_size`.
    """
    message = "a share is a number up to 100 and a percent sign; write it like 2% or 0.5%"
    share = float(_found(PERCENT, text, message)[1])
    if not share:
        raise ValueError("a share is more than 0%; remove the key")
    return share


def parse_rate(text: object) -> int:
    """Bits per second of a rate written as tc(8) has it, e.g. "10mbit".

    Raises:
        ValueError: as `parse_size`.
    """
    message = "a rate is a whole number and kbit, mbit or gbit; write it like 10mbit"
    found = _found(RATE, text, message)
    return int(found[1]) * _BITS[found[2]]


def format_duration(microseconds: int) -> str:
    """A time as tc(8) takes it, in the largest unit that is whole."""
    unit, factor = next(
        (unit, factor)
        for unit, factor in reversed(_MICROSECONDS.items())
        if microseconds % factor == 0
    )
    return f"{microseconds // factor}{unit}"


def format_rate(bits: int) -> str:
    """A rate as tc(8) takes it, in the largest unit that is whole."""
    unit, factor = next(
        (unit, factor) for unit, factor in reversed(_BITS.items()) if bits % factor == 0
    )
    return f"{bits // factor}{unit}"
