"""A YAML file as plain data, read in bounded time and memory, with the line of every key.

Owns which YAML is taken: YAML 1.2's core schema (yaml.org/spec/1.2.2, 10.3), of its numbers the
whole decimal ones alone, so that a plain word reads as a person reads it: `no`, `1:30` and `010`
are texts. Leaves what the data means to others.
"""

import difflib
import os
import re
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from config.errors import ConfigError, Problem

MOST_BYTES = 512 << 10  # a rack of 1000 machines has 150 KiB
MOST_DEPTH = 16  # a topology has 7 levels
MOST_NODES = 50_000  # of the data, aliases written out
MOST_NAME = 100  # letters of a key
MOST_LETTERS = 16 << 10  # of one text
MOST_TOLD = 200  # letters of what is wrong
MOST_NAMED = 20  # files, where one isn't there
NO_TOPOLOGIES = ("Pulumi", "labmachine")  # names of files beside them, up to the first dot
MOST_DIGITS = 18  # what fits 64 bits

_NULL = ("", "~", "null", "Null", "NULL")
_TRUE, _FALSE = ("true", "True", "TRUE"), ("false", "False", "FALSE")
_WHOLE = re.compile(r"0|-?[1-9][0-9]*")
# What no file, terminal or shell takes well; line breaks and tabs are fine.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_PLAIN, _TEXT, _MAPPING, _LIST = "plain", "text", "mapping", "list"


@dataclass(frozen=True)
class Document:
    """A file's data, and by dotted key ("machines.laptop.host") the line it stands in."""

    data: Any
    lines: dict[str, int]


class _Refused(yaml.MarkedYAMLError):
    """YAML that isn't taken, at a node or an event, with the rule and the remedy."""

    def __init__(self, node: Any, what: str, rule: str, remedy: str) -> None:
        super().__init__(problem=what, problem_mark=node.start_mark)
        self.rule, self.remedy = rule, remedy


class _Composer(yaml.SafeLoader):
    """Nodes of a bounded number and depth, tagged by how they are written alone."""

    depth, composed = 0, 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        self.composed += 1
        if self.composed > MOST_NODES:
            raise _too_much(self.peek_event())  # type: ignore[no-untyped-call]
        if self.depth > MOST_DEPTH:
            what, rule = "nested too deeply", f"at most {MOST_DEPTH} levels"
            event: Any = self.peek_event()  # type: ignore[no-untyped-call]
            raise _Refused(event, what, rule, "nest it less deeply")
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def resolve(self, kind: type[yaml.Node], _value: Any, implicit: Any) -> str:
        if kind is yaml.ScalarNode:
            return _PLAIN if implicit[0] else _TEXT
        return _MAPPING if kind is yaml.MappingNode else _LIST


class _Reader:
    """Data from nodes."""

    def __init__(self) -> None:
        self.lines: dict[str, int] = {}
        self._read = 0
        self._open: set[int] = set()  # nodes that are being read: an alias may lead back to one
        self._merging = 0

    def value(self, node: yaml.Node, key: str) -> Any:
        """The data of a node; `key` is where it stands."""
        self._count(node)
        if id(node) in self._open:
            raise _Refused(
                node, f"{key or 'the file'} contains itself", "no alias leads back to where it "
                "stands", "write out what is meant",
            )  # fmt: skip
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        self._open.add(id(node))
        if isinstance(node, yaml.MappingNode) and node.tag == _MAPPING:
            found: Any = self._mapping(node, key)
        elif node.tag == _LIST:
            found = [
                self.value(each, self._at(key, index, each))
                for index, each in enumerate(node.value)
            ]
        else:
            raise _tagged(node)
        self._open.remove(id(node))
        return found

    def _at(self, key: str, name: Hashable, node: yaml.Node) -> str:
        dotted = f"{key}.{name}" if key else str(name)
        line = node.start_mark.line + 1
        if self._merging:  # an own key's line goes before
            self.lines.setdefault(dotted, line)
        else:
            self.lines[dotted] = line
        return dotted

    def _count(self, node: yaml.Node) -> None:
        self._read += 1
        if self._read > MOST_NODES:
            raise _too_much(node)

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str | int, Any]:
        own: dict[str | int, Any] = {}
        merged: dict[str | int, Any] = {}
        for name_node, value_node in node.value:
            if name_node.tag == _PLAIN and name_node.value == "<<":
                for each in self._merged(value_node, key):  # what stands earlier goes before
                    for inner, value in each.items():
                        merged.setdefault(inner, value)
                continue
            name = self._name(name_node)
            if name in own:
                raise _Refused(
                    name_node, f"the name {name!r} stands twice", "valid YAML, each name once",
                    "rename or remove one",
                )  # fmt: skip
            own[name] = self.value(value_node, self._at(key, name, name_node))
        return {**merged, **own}

    def _merged(self, node: yaml.Node, key: str) -> Iterator[dict[str | int, Any]]:
        """What `<<` brings in (yaml.org/type/merge.html): a mapping's, or a list of them."""
        self._merging += 1
        found = self.value(node, key)
        self._merging -= 1
        for each in found if isinstance(found, list) else [found]:
            if not isinstance(each, dict):
                raise _Refused(node, "<<", "<< brings in a mapping", "write it like <<: *storage")
            yield each

    def _name(self, node: yaml.Node) -> str | int:
        self._count(node)
        name = self._scalar(node) if isinstance(node, yaml.ScalarNode) else node
        if isinstance(name, bool) or name is None:
            raise _Refused(
                node, f"the name {node.value or 'null'}",
                "a name is a text, and YAML reads that as a truth value or as nothing",
                f'put it in quotes, "{node.value}", or choose another name',
            )  # fmt: skip
        if not isinstance(name, str | int):
            what, rule = "a mapping or list as a name", "a name is a word"
            raise _Refused(node, what, rule, "if it comes from a template, fill in its {{…}}")
        if len(str(name)) > MOST_NAME:
            what, rule = f"a name of {len(str(name))} letters", f"at most {MOST_NAME} letters"
            raise _Refused(node, what, rule, "make it shorter")
        return name

    def _scalar(self, node: yaml.ScalarNode) -> str | int | bool | None:
        text: str = node.value
        if node.tag not in (_PLAIN, _TEXT):
            raise _tagged(node)
        if len(text) > MOST_LETTERS:
            what, rule = f"a text of {len(text)} letters", f"at most {MOST_LETTERS} letters"
            raise _Refused(node, what, rule, "make it shorter")
        if control := _CONTROL.search(text):
            what, rule = f"U+{ord(control[0]):04X} in a text", "texts have no control characters"
            raise _Refused(node, what, rule, "remove it")
        if node.tag == _TEXT:
            return text
        if text in _NULL:
            return None
        if text in _TRUE or text in _FALSE:
            return text in _TRUE
        if len(text) <= MOST_DIGITS and _WHOLE.fullmatch(text):
            return int(text)
        return text


def _too_much(node: Any) -> _Refused:
    rule = f"at most {MOST_NODES:,} values, aliases written out"
    return _Refused(node, "too much data", rule, "use fewer aliases, or make it smaller")


def _tagged(node: yaml.Node) -> _Refused:
    return _Refused(node, f"the tag {node.tag}", "values have no tags", "remove it")


def _at_once(path: str, flags: int) -> int:
    descriptor = os.open(path, flags | os.O_NONBLOCK)
    os.set_blocking(descriptor, True)
    return descriptor


def read_document(path: Path) -> Document:
    """Read a file.

    Raises:
        ConfigError: when it can't be read or isn't YAML that is taken, with the line.
    """
    try:
        # A pipe that nobody writes to would be waited for else; so it is empty.
        with open(path, "rb", opener=_at_once) as file:
            content = file.read(MOST_BYTES + 1)
        text = content.decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    if len(content) > MOST_BYTES:
        rule = f"a file has at most {MOST_BYTES >> 10} KiB"
        raise _unusable(path, "file", path.name, rule, "make it smaller")
    reader = _Reader()
    try:
        node = _Composer(text).get_single_node()
        return Document(reader.value(node, "") if node else None, reader.lines)
    except yaml.YAMLError as error:
        raise _not_taken(path, text, error) from error


def topologies(folder: Path) -> list[str]:
    """The topologies in a folder by name, sorted."""
    files = [each for each in folder.glob("*.yaml") if each.is_file()]
    return sorted(each.stem for each in files if each.name.partition(".")[0] not in NO_TOPOLOGIES)


def _unreadable(path: Path, error: OSError | ValueError) -> ConfigError:
    if isinstance(error, UnicodeDecodeError):
        line = error.object[: error.start].count(b"\n") + 1
        what = f"byte 0x{error.object[error.start]:02x}"
        return _unusable(
            path, f"line {line}", what, "the file is text in UTF-8", "save it as UTF-8"
        )
    if isinstance(error, FileNotFoundError):
        there = topologies(path.parent)
        near = difflib.get_close_matches(path.stem, there) or there[:MOST_NAMED] or ["nothing"]
        rule = f"a file in {path.parent.resolve().name}/"
        return _unusable(path, "file", path.name, rule, f"there is: {', '.join(near)}")
    what = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return _unusable(path, "file", what, "the file can be read", f"see to {path}")


def _not_taken(path: Path, text: str, error: yaml.YAMLError) -> ConfigError:
    if isinstance(error, yaml.reader.ReaderError):
        where = f"line {text.count(chr(10), 0, error.position) + 1}"
        what, rule = f"U+{error.character:04X}", "text without control characters"
        return _unusable(path, where, what, rule, "remove it")
    mark = getattr(error, "problem_mark", None)
    where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "file"
    what = getattr(error, "problem", None) or "unreadable"
    if isinstance(error, yaml.composer.ComposerError) and "another document" in what:
        return _unusable(path, where, what, "one document per file", "remove the others")
    if isinstance(error, _Refused):
        return _unusable(path, where, what, error.rule, error.remedy)
    return _unusable(path, where, what, "valid YAML, each name once", "correct that line")


def _unusable(path: Path, key: str, value: str, rule: str, remedy: str) -> ConfigError:
    told = value if len(value) <= MOST_TOLD else f"{value[:MOST_TOLD]}…"
    return ConfigError(path.name or str(path), [Problem(key, told, rule, remedy)])
