"""The QMP client against a small server that speaks qemu's lines."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from labmachine.qmp import QmpError, execute


@contextmanager
def _qemu(path: Path, *answers: dict[str, Any]) -> Iterator[list[str]]:
    """Serve one connection; each command gets the next answer, after an event and another's."""
    heard: list[str] = []
    server = socket.socket(socket.AF_UNIX)
    server.bind(str(path))
    server.listen()

    def serve() -> None:
        link, _ = server.accept()
        with link, link.makefile("rw") as stream:
            stream.write('{"QMP": {}}\n')
            stream.flush()
            for answer in ({"return": {}}, *answers):
                asked = json.loads(stream.readline())
                heard.append(asked["execute"])
                stream.write('{"event": "RESUME"}\n{"return": {}, "id": "another client\'s"}\n')
                stream.write(json.dumps({**answer, "id": asked["id"]}) + "\n")
                stream.flush()

    thread = threading.Thread(target=serve)
    thread.start()
    with server:
        yield heard
    thread.join()


def test_events_and_what_others_asked_are_passed_over(tmp_path: Path) -> None:
    with _qemu(tmp_path / "q", {"return": {"status": "running"}}) as heard:
        assert execute(tmp_path / "q", "query-status") == {"status": "running"}
    assert heard == ["qmp_capabilities", "query-status"]


def test_a_refusal_is_an_error(tmp_path: Path) -> None:
    with _qemu(tmp_path / "q", {"error": {"desc": "no such thing"}}), pytest.raises(
        QmpError, match="no such thing"
    ):  # fmt: skip
        execute(tmp_path / "q", "eject")


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(QmpError, match="doesn't answer"):
        execute(tmp_path / "q", "quit")
