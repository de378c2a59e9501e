"""Commands that begin at once share one connection to a machine; the sshd is real."""

import getpass
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from sshd_harness import Sshd

from artefacts import CommandFailed
from config import access
from config.access import LabMachine
from config.load import FOLDER, load_topology
from config.profile import EMULATED
from config.settings import Settings
from lab.remote import SSH_FAILED, on_lab_machine

AT_ONCE = 9


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with TemporaryDirectory(dir="/tmp") as short:
        yield Path(short)


@pytest.fixture
def settings(own_sshd: Sshd, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A stack whose lab machine is the sshd, which isn't running yet."""
    monkeypatch.setattr("config.settings.stack_folder", lambda _: folder)
    monkeypatch.setattr("config.settings.PROJECT", folder)
    monkeypatch.setattr("lab.remote.PROJECT", folder)
    monkeypatch.setattr("config.access.CONNECT_TIMEOUT_S", 5)
    (folder / "known").write_text(f"[127.0.0.1]:{own_sshd.port} {own_sshd.host_key}")
    lab = LabMachine(
        "127.0.0.1", own_sshd.port, getpass.getuser(), own_sshd.folder / "user", folder / "known"
    )
    found = Settings("mini", load_topology(FOLDER / "mini.yaml", "mini"), lab, EMULATED, "0" * 64)
    found.write_access()
    return found


def ask_at_once(settings: Settings) -> list[str]:
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(lambda n: on_lab_machine(settings, f"echo {n}"), range(AT_ONCE)))


def await_its_end(settings: Settings) -> None:
    """Wait until ssh, too, knows that its connection is lost: until then it would be shared."""
    deadline = time.monotonic() + 30
    while sockets := [path for path in settings.folder.glob("ssh-*") if path.is_socket()]:
        assert time.monotonic() < deadline, f"still there after 30 s: {sockets}"
        time.sleep(0.05)


def test_what_begins_at_once_makes_one_connection(own_sshd: Sshd, settings: Settings) -> None:
    own_sshd.start()
    assert ask_at_once(settings) == [f"{n}\n" for n in range(AT_ONCE)]
    assert own_sshd.logins() == 1
    own_sshd.drop_connections()
    await_its_end(settings)
    assert ask_at_once(settings) == [f"{n}\n" for n in range(AT_ONCE)]
    assert own_sshd.logins() == 2


def test_each_is_told_that_there_is_none(settings: Settings) -> None:
    with pytest.raises(CommandFailed, match="Connection refused") as caught:
        ask_at_once(settings)
    assert caught.value.code == SSH_FAILED


def test_where_a_socket_s_path_is_too_long_each_has_its_own(
    own_sshd: Sshd, settings: Settings, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = folder / ("d" * access.SUN_PATH)
    deep.mkdir()
    monkeypatch.setattr("config.settings.stack_folder", lambda _: deep)
    settings.write_access()
    own_sshd.start()
    assert on_lab_machine(settings, "echo one") == on_lab_machine(settings, "echo one")
    assert own_sshd.logins() == 2
