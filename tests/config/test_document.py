"""Which YAML is taken and how it reads; all else is one error, in bounded time."""

from pathlib import Path
from typing import Any

import pytest

from config.document import MOST_BYTES, Document, read_document
from config.errors import ConfigError

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{own}: &{own} [{','.join(['*' + before] * 10)}]\n"
    for before, own in zip("abcdefgh", "bcdefghi", strict=True)
)
MERGES = "a: &a {x: 1}\nb: [" + "{<<: [" + "*a," * 51_000 + "]}]\n"

REFUSED: dict[str, tuple[str | bytes, str]] = {
    "list as a name": ("? [a, b]\n: c\n", "line 1, column 3: a mapping or list as a name"),
    "template": ("x: 1\nmemory: {{ mem }}\n", "line 2, column 10: a mapping or list as a name"),
    "set": ("!!set {a, b}\n", "line 1, column 1: the tag tag:yaml.org,2002:set"),
    "integer tag": ("a: !!int x\n", "the tag"),
    "timestamp tag": ("a: !!timestamp x\n", "the tag"),
    "python tag": ("a: !!python/object/apply:os.system [id]\n", "the tag"),
    "own tag": ("a: !x\n", "the tag !x"),
    "deep lists": ("a: " + "[" * 3000 + "]" * 3000, "nested too deeply"),
    "deep mappings": ("".join(" " * n + "a:\n" for n in range(500)), "nested too deeply"),
    "list in itself": ("array: &a [*a]\n", "line 1, column 8: array.0 contains itself"),
    "mapping in itself": ("array: &a {x: *a}\n", "array.x contains itself"),
    "file in itself": ("&a {machines: *a}\n", "machines contains itself"),
    "merged into itself": ("machines: &a {<<: *a}\n", "machines contains itself"),
    "laughs": (LAUGHS, "too much data"),
    "merges": (MERGES, "too much data"),
    "merge of a number": ("<<: 3\n", "<< brings in a mapping"),
    "many values": ("[" + "a," * 250_000 + "]", "too much data"),
    "many empty lists": ("[" + "[]," * 170_000 + "]", "too much data"),
    "long tag": ("!" + "x" * 100_000 + " a", "the tag !xxx"),
    "long alias": ("*" + "x" * 100_000, "undefined alias"),
    "unknown alias": ("a: *b\n", "undefined alias 'b'"),
    "truth value as a name": ("machines: {true: 1}\n", 'put it in quotes, "true"'),
    "nothing as a name": ("machines: {~: 1}\n", 'put it in quotes, "~"'),
    "name twice": ("a: 1\nb: 2\na: 3\n", "line 3, column 1: the name 'a' stands twice"),
    "long name": (f"{'x' * 101}: 1\n", "a name of 101 letters"),
    "long text": (f"a: {'x' * 20_000}\n", "a text of 20000 letters"),
    "large file": ("a: b\n" * (MOST_BYTES // 5 + 1), "at most 512 KiB"),
    "NUL in a text": ('a: "x\\0y"\n', "U+0000 in a text"),
    "surrogate": ('a: "\\ud800"\n', "U+D800 in a text"),
    "NUL in the file": ("a: b\n\0", "line 2: U+0000"),
    "two documents": ("a: 1\n--- \nb: 1\n", "but found another document"),
    "tab": ("a:\n\tb: 1\n", "found character '\\t'"),
    "Latin-1": ("a: 1\nb: ä\n".encode("latin-1"), "line 2: byte 0xe4"),
    "UTF-16": ("a: 1\n".encode("utf-16"), "save it as UTF-8"),
}

TAKEN: dict[str, tuple[str | bytes, Any]] = {
    "empty": ("", None),
    "comment": ("# x\n", None),
    "words of YAML 1.1": ("no: on\nyes: off\ny: n\n", {"no": "on", "yes": "off", "y": "n"}),
    "numbers of YAML 1.1": (
        "[1_000, 0x1F, 0o17, 017, 1:30, 1.5, 1e3, .inf, +1]",
        ["1_000", "0x1F", "0o17", "017", "1:30", "1.5", "1e3", ".inf", "+1"],
    ),
    "dates": ("[2020-01-01, 2020-13-45]", ["2020-01-01", "2020-13-45"]),
    "whole numbers": ("[0, 80, -1]", [0, 80, -1]),
    "number of 5000 digits": ("9" * 5000, "9" * 5000),
    "quoted": ('["80", "true", "~"]', ["80", "true", "~"]),
    "truth values and nothing": ("[true, False, ~, null]", [True, False, None, None]),
    "byte order mark, CRLF": ("\ufeffa: 1\r\nb: 2\r\n".encode(), {"a": 1, "b": 2}),
    "merge": ("- &a {x: 1, y: 2}\n- {<<: *a, y: 3}\n", [{"x": 1, "y": 2}, {"x": 1, "y": 3}]),
    "merges, the first one before the second": (
        "- &a {x: 1}\n- &b {x: 2, y: 2}\n- {<<: [*a, *b]}\n",
        [{"x": 1}, {"x": 2, "y": 2}, {"x": 1, "y": 2}],
    ),
}  # fmt: skip


def read(folder: Path, content: str | bytes) -> Document:
    file = folder / "rack.yaml"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read_document(file)


@pytest.mark.timeout(30)
@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(name: str, tmp_path: Path) -> None:
    content, expected = REFUSED[name]
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, content)
    message = str(caught.value)
    assert expected in message
    assert message.isprintable() or set(filter(lambda each: not each.isprintable(), message)) == {
        "\n"
    }
    assert len(message) < 1000


@pytest.mark.parametrize("name", TAKEN)
def test_reads_as_a_person_reads_it(name: str, tmp_path: Path) -> None:
    content, expected = TAKEN[name]
    found = read(tmp_path, content).data
    assert found == expected
    assert repr(found) == repr(expected), "a truth value is no number"


def test_each_key_has_its_line(tmp_path: Path) -> None:
    text = "a: &a\n  x: 1\n  y: 2\nb:\n  <<: *a\n  y: 3\nc:\n- 4\n- z: 5\n"
    lines = {"a": 1, "a.x": 2, "a.y": 3, "b": 4, "b.x": 2, "b.y": 6, "c": 7, "c.0": 8, "c.1": 9}
    assert read(tmp_path, text).lines == lines | {"c.1.z": 9}


@pytest.mark.parametrize("name", ["nowhere.yaml", "a\0b.yaml", "x" * 300, "\ud800.yaml", "."])
def test_a_file_that_can_t_be_read_is_an_error(name: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="remedy"):
        read_document(tmp_path / name)
