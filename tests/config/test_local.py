"""`lab:machine local`: for root this machine as it is, for others by ssh to itself."""

from pathlib import Path

import pytest

from config import local
from config.access import LabMachine
from config.settings import Settings, load_settings

OPTIONS = {"topology": "mini", "machine": "local"}


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Where the key goes; this machine's sshd has two keys."""
    monkeypatch.setattr(local, "FOLDER", tmp_path / "local")
    monkeypatch.setattr(local, "HOST_KEYS", tmp_path)
    (tmp_path / "ssh_host_ed25519_key.pub").write_text("ssh-ed25519 AAAA root@here\n")
    (tmp_path / "ssh_host_rsa_key.pub").write_text("ssh-rsa BBBB root@here\n")
    monkeypatch.setattr("config.settings.stack_folder", lambda _: tmp_path / "stack")
    return tmp_path


def settings(monkeypatch: pytest.MonkeyPatch, uid: int) -> Settings:
    monkeypatch.setattr("os.geteuid", lambda: uid)
    return load_settings("mini", OPTIONS.get, keep=False)


def test_root_is_here_already(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    found = settings(monkeypatch, 0)
    assert found.lab == LabMachine(host=None)
    assert not found.lab.this
    assert not (folder / "local").exists()


def test_another_user_is_root_by_ssh_from_here_alone(
    monkeypatch: pytest.MonkeyPatch, folder: Path
) -> None:
    found = settings(monkeypatch, 1000)
    assert (found.lab.host, found.lab.user) == ("127.0.0.1", "root")
    assert found.lab.this
    assert found.lab.name == "local"
    assert not found.virtual
    local.write_access()
    line = local.authorized_line()
    assert line.startswith('from="127.0.0.1" ecdsa-sha2-nistp256 ')
    assert line == local.authorized_line()
    key = folder / "local" / "id_ecdsa"
    assert key.stat().st_mode & 0o777 == 0o600
    assert key.read_text() not in line
    known = (folder / "local" / "known_hosts").read_text()
    assert known == "127.0.0.1 ssh-ed25519 AAAA\n127.0.0.1 ssh-rsa BBBB\n"
