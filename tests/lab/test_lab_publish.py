"""Overlays between the `up` that keeps them and the steps that publish them; sticks in use."""

import hashlib
import os
import subprocess
from pathlib import Path

import pytest

from artefacts import CommandFailed, LabError
from config.access import LabMachine
from config.errors import ConfigError
from config.load import FOLDER, load_topology
from config.profile import KVM
from config.settings import Settings
from lab import publish
from lab.remote import SSH_FAILED

SETTINGS = Settings(
    "mini", load_topology(FOLDER / "mini.yaml", "mini"), LabMachine(host=None), KVM, "00" * 32
)
SHA = {text: hashlib.sha256(text.encode()).hexdigest() for text in ("a", "b", "c")}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("config.settings.stack_folder", lambda _: tmp_path)
    return tmp_path


def keep(*texts: str) -> None:
    """As `up` after `up` does, each later than the one before."""
    for number, text in enumerate(texts):
        SETTINGS.keep_overlay("laptop", text.encode())
        os.utime(SETTINGS.overlay_file("laptop", SHA[text]), (number, number))


def kept() -> set[str]:
    return {text for text, sha in SHA.items() if SETTINGS.overlay_file("laptop", sha).exists()}


@pytest.mark.parametrize("texts", [("a", "b"), ("b", "a"), ("a", "b", "c", "a"), ("c",)])
def test_the_newest_is_what_the_last_up_kept(texts: tuple[str, ...]) -> None:
    keep(*texts)
    sha, file = SETTINGS.newest_overlay("laptop")
    assert sha == SHA[texts[-1]]
    assert file.read_text() == texts[-1]


def test_an_overlay_that_is_kept_again_is_the_newest() -> None:
    keep("a", "b")
    SETTINGS.keep_overlay("laptop", b"a")
    assert SETTINGS.newest_overlay("laptop")[0] == SHA["a"]


def test_without_any_it_is_told() -> None:
    with pytest.raises(ConfigError, match="pulumi up --stack mini"):
        SETTINGS.newest_overlay("laptop")


def test_what_is_published_drops_what_was_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[bytes] = []

    def on_boot_server(_: Settings, __: list[str], *, stdin: bytes) -> str:
        sent.append(stdin)
        return ""

    monkeypatch.setattr(publish, "_on_boot_server", on_boot_server)
    keep("a", "b", "c")
    publish.publish_entry(SETTINGS, "laptop", "key", SHA["b"])
    assert sent == [b"b"]
    assert kept() == {"b", "c"}


def lost(monkeypatch: pytest.MonkeyPatch, times: int, code: int = SSH_FAILED) -> list[str]:
    """The boot server isn't reached so often; what it is asked."""
    asked: list[str] = []

    def ask(_: Settings, _machine: str, command: list[str], *, stdin: bytes) -> str:
        asked.append(command[1])
        if len(asked) <= times:
            raise CommandFailed(["ssh"], "no connection", code=code)
        return ""

    monkeypatch.setattr(publish, "ask", ask)
    monkeypatch.setattr(publish, "reachable", lambda *_: True)
    monkeypatch.setattr("lab.remote.PAUSE_S", 0)
    return asked


def test_a_boot_server_that_is_busy_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Seen: nine entries at once, "Connection timed out during banner exchange"."""
    asked = lost(monkeypatch, 2)
    keep("a")
    publish.publish_entry(SETTINGS, "laptop", "key", SHA["a"])
    assert asked == ["set"] * 3


def test_where_a_boot_server_is_lost_another_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    first, *_, last = SETTINGS.topology.boot_servers
    asked: list[str] = []

    def ask(_: Settings, machine: str, _command: list[str], *, stdin: bytes) -> str:
        asked.append(machine)
        if machine == first:
            raise CommandFailed(["ssh"], "its power is lost", code=SSH_FAILED)
        return ""

    monkeypatch.setattr(publish, "ask", ask)
    monkeypatch.setattr(publish, "reachable", lambda _, each: each != first or not asked)
    monkeypatch.setattr("lab.remote.PAUSE_S", 0)
    keep("a")
    publish.publish_entry(SETTINGS, "laptop", "key", SHA["a"])
    assert asked == [first, last]


def test_what_a_boot_server_refuses_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lost(monkeypatch, 2, code=1)
    keep("a")
    with pytest.raises(LabError):
        publish.publish_entry(SETTINGS, "laptop", "key", SHA["a"])
    assert asked == ["set"]


def test_a_destroy_waits_for_no_boot_server(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = lost(monkeypatch, 2)
    with pytest.raises(LabError):
        publish.unpublish_entry(SETTINGS, "52-54-00-00-00-01")
    assert asked == ["remove"]


@pytest.mark.parametrize(
    ("running", "disks", "refused"),
    [
        ("mini-laptop", "/dev/rack-mini/laptop-stick", True),
        ("mini-laptop", "/dev/rack-mini/other", False),  # it has moved off its stick
        ("mini-laptop2", "/dev/rack-mini/laptop-stick", False),
        ("", "", False),
    ],
)
def test_nothing_is_written_to_a_stick_that_a_machine_runs_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, running: str, disks: str, refused: bool
) -> None:
    virsh = tmp_path / "virsh"
    said = f'case $3 in list) echo "{running}" ;; *) echo " sda {disks}" ;; esac'
    virsh.write_text(f"#!/bin/sh\n{said}\n")
    virsh.chmod(0o755)
    written: list[str] = []

    def ask(_settings: Settings, _machine: str, words: list[str]) -> str:
        environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        return subprocess.run(
            words, env=environment, capture_output=True, text=True, check=True
        ).stdout

    monkeypatch.setattr(publish, "ask", ask)
    monkeypatch.setattr("lab.publish.boottree.common_files", lambda _release: {})
    monkeypatch.setattr("lab.publish.boottree.image_files", lambda *_: {})
    monkeypatch.setattr("lab.publish.image.image_key", lambda *_: "key")
    monkeypatch.setattr("lab.publish.stick.write_stick", lambda *_, **__: None)
    monkeypatch.setattr(publish, "_write_device", lambda *words: written.append(words[-1]))
    monkeypatch.setattr(publish, "run", lambda argv: Path(argv[-2]).touch())
    keep("a")
    device = "/dev/rack-mini/laptop-stick"
    if refused:
        with pytest.raises(LabError, match="lab --stack mini clear"):
            publish.write_stick(SETTINGS, "laptop", device)
        assert written == []
    else:
        publish.write_stick(SETTINGS, "laptop", device)
        assert written == [device]
