"""A machine whose packages are a mirror's: `apk add` works in it, and `lbu commit` keeps it."""

import base64
import hashlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from alpine_vm import MAC, Tree, direct, make_tree, nic, power_on
from loopback import serving
from mirror_maker import full_mirror

from alpine import mirror
from alpine.release import chosen
from config.mirror import Mirror
from lab.mirror import wanted

pytestmark = [pytest.mark.mirror, pytest.mark.vm, pytest.mark.timeout(600)]
READY_SECONDS = 150
HOST = "10.0.2.2"  # as the machine sees it


@pytest.fixture
def made() -> Mirror:
    return full_mirror()


@pytest.fixture
def address(made: Mirror) -> Iterator[str]:
    """The mirror on loopback, at the address that the machine sees."""
    with serving(Path(made.place)) as port:
        yield f"http://{HOST}:{port}"


@pytest.fixture
def tree(made: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(mirror, "LOCK", tmp_path / "mirror.lock")
    mirror.lock_anew(made, wanted())
    return make_tree(tmp_path, chosen(made))


def _commit(tree: Tree, content: bytes) -> None:
    (tree.machine / "commit.tar.gz").write_bytes(content)
    with (tree.machine / "boot.env").open("a") as entry:
        entry.write(f"commit=/machines/{MAC}/commit.tar.gz\n")
        entry.write(f"commit_sha256={hashlib.sha256(content).hexdigest()}\n")


def test_what_apk_adds_is_there_after_a_boot(tree: Tree, address: str) -> None:
    arguments = [*direct(tree, "9p://boot"), *nic()]
    repositories = "".join(f"{address}/{name}\n" for name in mirror.REPOSITORIES)
    with power_on(tree, arguments) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        machine.ssh(f"printf '{repositories}' >/etc/apk/repositories")
        with pytest.raises(Exception, match="command -v curl"):
            machine.ssh("command -v curl")
        machine.ssh("apk add curl")
        assert machine.ssh("curl --version").startswith("curl ")
        assert "M etc/apk/world" in machine.ssh("lbu status").splitlines()
        _commit(tree, base64.b64decode(machine.ssh("lbu package - | base64")))
    with power_on(tree, arguments) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        assert machine.ssh("curl --version").startswith("curl ")


def test_without_the_mirror_it_boots_and_says_what_is_missing(tree: Tree) -> None:
    arguments = [*direct(tree, "9p://boot"), *nic()]
    with power_on(tree, arguments) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        machine.ssh(f"echo http://{HOST}:9/main >/etc/apk/repositories; echo curl >>/etc/apk/world")
        _commit(tree, base64.b64decode(machine.ssh("lbu package - | base64")))
    with power_on(tree, arguments) as machine:
        machine.wait_console("packages of /etc/apk/world are missing", READY_SECONDS + 90)
        machine.wait_console("tester ready", READY_SECONDS + 90)
