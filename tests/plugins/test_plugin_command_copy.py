"""command:remote:CopyToRemote and CopyFile do what their SDK's docstrings promise."""

import hashlib
from pathlib import Path

import pytest
from plugin_harness import Plugin, Refused, Values, archive, asset

COPY = "command:remote:CopyToRemote"
FILE = "command:remote:CopyFile"


def text(content: str) -> Values:
    return asset(text=content, hash=hashlib.sha256(content.encode()).hexdigest())


def file(path: Path) -> Values:
    return asset(path=str(path), hash=hashlib.sha256(path.read_bytes()).hexdigest())


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "source"
    (folder / "sub").mkdir(parents=True)
    (folder / "a").write_text("a")
    (folder / "sub" / "b").write_text("b")
    return folder


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / "target"


def test_a_file_goes_over_a_file_or_into_a_folder(
    command: Plugin, connection: Values, source: Path, target: Path
) -> None:
    inputs = {"connection": connection, "source": file(source / "a")}
    made = command.create(COPY, {**inputs, "remotePath": str(target / "new" / "name")})
    assert (target / "new" / "name").read_text() == "a"  # and its folders were made
    (source / "a").write_text("c")
    changed = {**made.inputs, "source": file(source / "a")}
    assert set(command.diff(made, changed).values()) == {"UPDATE"}
    command.update(made, changed)
    assert (target / "new" / "name").read_text() == "c"
    command.create(COPY, {**inputs, "remotePath": str(target)})
    assert (target / "a").read_text() == "c"


def test_a_folder_goes_into_a_folder_but_not_over_a_file(
    command: Plugin, connection: Values, source: Path, target: Path
) -> None:
    inputs = {"connection": connection, "source": archive(path=str(source), hash="1")}
    target.mkdir()
    command.create(COPY, {**inputs, "remotePath": str(target)})
    assert (target / "source" / "sub" / "b").read_text() == "b"
    members = {**inputs, "source": archive(path=f"{source}/", hash="1")}
    command.create(COPY, {**members, "remotePath": str(target)})
    assert (target / "sub" / "b").read_text() == "b"
    (target / "file").write_text("")
    with pytest.raises(Refused, match="is a file there"):
        command.create(COPY, {**inputs, "remotePath": str(target / "file")})


def test_a_text_needs_no_file_here(command: Plugin, connection: Values, target: Path) -> None:
    inputs = {"connection": connection, "source": text("hello"), "remotePath": str(target)}
    made = command.create(COPY, inputs)
    assert target.read_text() == "hello"
    target.unlink()
    command.update(made, {**inputs, "connection": {**connection, "perDialTimeout": 99}})
    assert not target.exists()  # nothing but the connection changed


def test_what_cannot_be_copied_is_refused_at_once(command: Plugin, connection: Values) -> None:
    remote = asset(uri="https://example.org/x", hash="1")
    with pytest.raises(AssertionError, match="FileAsset or a StringAsset"):
        command.check(COPY, {"connection": connection, "source": remote, "remotePath": "/x"})


@pytest.mark.parametrize("token", [COPY, FILE])
def test_changed_triggers_replace(
    command: Plugin, connection: Values, source: Path, target: Path, token: str
) -> None:
    what = {"source": text("x")} if token == COPY else {"localPath": str(source / "a")}
    inputs = {"connection": connection, "remotePath": str(target), "triggers": [1], **what}
    made = command.create(token, inputs)
    changes = command.diff(made, {**inputs, "triggers": [2]})
    assert set(changes.values()) == {"UPDATE_REPLACE"}


def test_copy_file_copies_and_copies_again(
    command: Plugin, connection: Values, source: Path, target: Path
) -> None:
    inputs = {"connection": connection, "localPath": str(source / "a"), "remotePath": str(target)}
    made = command.create(FILE, inputs)
    assert target.read_text() == "a"
    command.update(made, {**inputs, "localPath": str(source / "sub" / "b")})
    assert target.read_text() == "b"
