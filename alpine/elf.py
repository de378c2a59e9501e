"""Which shared libraries an ELF file needs, what it is called itself, and which function it calls.

Owns reading 64-bit little-endian ELF's dynamic section (the System V ABI, chapter 5). Leaves
deciding what to do about it to `debianpackages`.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

SHT_DYNAMIC = 6
DT_NEEDED = 1
DT_SONAME = 14


@dataclass(frozen=True)
class Dynamic:
    """`needed`: sonames wanted from elsewhere; `soname`: the file's own, empty for programs."""

    needed: tuple[str, ...]
    soname: str


@dataclass(frozen=True)
class Section:
    """A section header: its name, type, place and size in the file, and linked section."""

    name: str
    kind: int
    offset: int
    size: int
    link: int


def is_elf(path: Path) -> bool:
    """Whether `path` is a regular file that starts as a 64-bit little-endian ELF does."""
    if path.is_symlink() or not path.is_file():
        return False
    with path.open("rb") as source:
        return source.read(6) == b"\x7fELF\x02\x01"


def sections(data: bytes) -> list[Section]:
    """The section headers of an ELF file's content."""
    (table,) = struct.unpack_from("<Q", data, 0x28)
    entry_size, count, names_index = struct.unpack_from("<HHH", data, 0x3A)
    raw = [struct.unpack_from("<IIQQQQIIQQ", data, table + i * entry_size) for i in range(count)]
    names = raw[names_index][4] if raw else 0
    return [Section(_text(data, names + r[0]), r[1], r[4], r[5], r[6]) for r in raw]


def dynamic(data: bytes) -> Dynamic:
    """What the dynamic section says; both empty for a static file."""
    table = sections(data)
    needed: list[str] = []
    soname = ""
    for section in table:
        if section.kind != SHT_DYNAMIC:
            continue
        strings = table[section.link].offset
        for at in range(section.offset, section.offset + section.size, 16):
            tag, value = struct.unpack_from("<QQ", data, at)
            if tag == DT_NEEDED:
                needed.append(_text(data, strings + value))
            elif tag == DT_SONAME:
                soname = _text(data, strings + value)
    return Dynamic(tuple(needed), soname)


def _text(data: bytes, at: int) -> str:
    return data[at : data.index(b"\0", at)].decode()


def rename_import(path: Path, old: str, new: str) -> None:
    """Have a program call `new`, a function of the same library that isn't longer, for `old`.

    Raises:
        ValueError: it doesn't import `old`.
    """
    data = path.read_bytes()
    before = b"\0" + old.encode() + b"\0"
    after = (b"\0" + new.encode()).ljust(len(before), b"\0")
    if data.count(before) != 1 or len(after) != len(before):
        raise ValueError(f"{path.name} has no place where {old} could be {new}")
    path.write_bytes(data.replace(before, after))
