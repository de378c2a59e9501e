"""The kinds of single values that a topology has: names, numbers, sizes, references.

Owns how each is written and the limits of its own. Leaves sizes' notation to `units`, what a
value means to `topology`, and whether values fit each other to `checks`.
"""

import re
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from config.units import (
    DURATION,
    PERCENT,
    RATE,
    SIZE,
    format_size,
    parse_duration,
    parse_percent,
    parse_rate,
    parse_size,
)

NetworkName = Literal["isp", "internet", "lan", "storage", "wan", "ipmi"]

NAME = r"[a-z]([a-z0-9-]{0,13}[a-z0-9])?"  # RFC 1123, 2.1: no dash at its end
# Where a name of this project's own stands beside the machines': ssh_config, /etc/hosts, `lab`'s
# arguments; and what hosts(5) has on Debian.
RESERVED = frozenset(
    [
        "labmachine",
        "all",
        "localhost",
        "ntp",
        "provider",
        "ip6-localhost",
        "ip6-loopback",
        "ip6-allnodes",
    ]
)
# lvm(8), VALID NAMES: volumes named so are LVM's own. A machine's name begins its volumes'.
LVM_RESERVED = ("snapshot", "pvmove")
PAGE = r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}"
SERIAL = r"[A-Za-z0-9][A-Za-z0-9._:+-]{0,63}"
CIDR = r"[0-9]+(\.[0-9]+){3}/[0-9]+"  # no netmask, which ipaddress would take
PAGE_BYTES = 2 << 20  # of memory, where it is in huge pages
PAGE_LETTERS = 4096  # of a page; it stands in Pulumi's state


def _name(value: str) -> str:
    if not re.fullmatch(NAME, value):
        raise ValueError(
            "a name is a lower-case letter, then letters, digits or dashes, at most 15 in all, no "
            "dash at its end; rename it, e.g. storage1"
        )
    if value in RESERVED:
        raise ValueError(
            f"{value} is what `lab`, ssh_config or /etc/hosts call something else; rename it"
        )
    if value.startswith(LVM_RESERVED):
        begins = " or ".join(LVM_RESERVED)
        raise ValueError(f"LVM keeps names that begin with {begins}; rename it, e.g. storage1")
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ValueError("a whole number without quotes; write it like 12")
    return value


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("a text; put it in quotes")
    return value


def _cidr(value: Any) -> Any:
    if not (isinstance(value, str) and re.fullmatch(CIDR, value)):
        raise ValueError("an IPv4 network and its prefix length; write it as a.b.c.0/24")
    return value


def _memory(value: int) -> int:
    if over := value % PAGE_BYTES:
        rounded = format_size(value - over + PAGE_BYTES)
        raise ValueError(f"memory is given in whole 2 MiB pages; round it up to {rounded}")
    return value


def _matching(pattern: str, message: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not re.fullmatch(pattern, value):
            raise ValueError(message)
        return value

    return check


def _listed(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _schema(pattern: str, example: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^({pattern})$", "examples": [example]})


Name = Annotated[str, AfterValidator(_name), _schema(NAME, "storage1")]
Text = Annotated[str, Field(max_length=PAGE_LETTERS), BeforeValidator(_text)]
PageName = Annotated[
    str,
    AfterValidator(_matching(PAGE, "a page is a plain file name; rename it, e.g. index.txt")),
    _schema(PAGE, "index.txt"),
]
Serial = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(
        _matching(SERIAL, "a disk's serial number; lsblk -o NAME,SERIAL lists the lab machine's")
    ),
    _schema(SERIAL, "disk1"),
]
Whole = Annotated[int, Field(strict=True)]
HostNumber = Annotated[Whole, Field(ge=1, le=65533)]
Port = Annotated[Whole, Field(ge=1, le=65535)]
RaidLevel = Annotated[Literal[0, 1, 5, 6, 10], BeforeValidator(_whole)]
Cidr = Annotated[
    IPv4Network,
    BeforeValidator(_cidr),
    _schema(CIDR, "10.77.3.0/24"),
]
Size = Annotated[int, BeforeValidator(parse_size), _schema(SIZE, "512MiB")]
Memory = Annotated[Size, AfterValidator(_memory)]
Duration = Annotated[int, BeforeValidator(parse_duration), _schema(DURATION, "40ms")]
Percent = Annotated[float, BeforeValidator(parse_percent), _schema(PERCENT, "2%")]
Rate = Annotated[int, BeforeValidator(parse_rate), _schema(RATE, "10mbit")]
VolumeRef = Annotated[
    str,
    BeforeValidator(_text),
    AfterValidator(_matching(f"{NAME}/{NAME}", "a volume is SAN/VOLUME; write it like san1/web")),
    _schema(f"{NAME}/{NAME}", "san1/web"),
]
_VOLUME = {"type": "string", "pattern": f"^({NAME}/{NAME})$", "examples": ["san1/web"]}
Volumes = Annotated[
    tuple[VolumeRef, ...],
    BeforeValidator(_listed),
    Field(min_length=1, max_length=4),
    WithJsonSchema(
        {"anyOf": [_VOLUME, {"type": "array", "items": _VOLUME, "minItems": 1, "maxItems": 4}]}
    ),
]
