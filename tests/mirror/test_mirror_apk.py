"""A machine whose packages are a mirror's: `apk add` works in it, and `lbu commit` keeps it.

Its lbu is Alpine's own where the mirror has alpine-conf: `make test-mirror URL=`.
"""

import base64
import hashlib
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from alpine_vm import MAC, Tree, direct, make_tree, nic, power_on
from loopback import serving
from mirror_maker import full_mirror
from mirrors import named_mirror

from alpine import mirror
from alpine.release import LBU, chosen
from config.mirror import Mirror
from lab.mirror import lock

pytestmark = [pytest.mark.mirror, pytest.mark.vm, pytest.mark.timeout(600)]
READY_SECONDS = 150
HOST = "10.0.2.2"  # as the machine sees it
TAKER = "/usr/bin/control-plane"  # the bare role has none
TAKES = "#!/bin/sh\ncat >/tmp/taken\n"


@pytest.fixture
def made(request: pytest.FixtureRequest) -> Mirror:
    return named_mirror(request.config) or full_mirror()


@pytest.fixture
def address(made: Mirror) -> Iterator[str]:
    """The mirror as the machine reaches it: a folder is served on loopback."""
    if not made.place.startswith("/"):
        yield made.place
        return
    with serving(Path(made.place)) as port:
        yield f"http://{HOST}:{port}"


@pytest.fixture
def tree(made: Mirror, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tree:
    monkeypatch.setattr(mirror, "LOCK", tmp_path / "mirror.lock")
    lock(made)
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
        assert "M etc/apk/world" in machine.ssh("rack-commit changes").splitlines()
        # as of an image that hadn't this package: a later one's stays
        machine.ssh("grep -x apk-tools /etc/apk/world; sed -i '/^apk-tools$/d' /etc/apk/world")
        _commit(tree, base64.b64decode(machine.ssh("rack-commit pack | base64")))
    with power_on(tree, arguments) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        assert machine.ssh("curl --version").startswith("curl ")
        assert "apk-tools" in machine.ssh("apk info").split()


def test_lbu_commit_hands_over_what_was_changed_and_no_more(tree: Tree) -> None:
    alpines = mirror.is_locked(LBU)
    with power_on(tree, [*direct(tree, "9p://boot"), *nic()]) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        assert ("revert" in machine.ssh("lbu 2>&1 || true")) == alpines
        assert machine.ssh("lbu status") == ""
        machine.ssh("echo kept >/etc/kept")
        assert machine.ssh("lbu status").splitlines() == ["A etc/kept"]
        assert "+kept" in machine.ssh("lbu diff || true")
        refused = machine.ssh("lbu commit 2>&1; echo $?")
        assert "no consul servers to bring it to" in refused
        assert refused.endswith("1\n")
        assert machine.ssh("lbu status").splitlines() == ["A etc/kept"]
        if alpines:
            machine.ssh("echo own >/root/own; lbu include root/own")
        machine.ssh(f"printf %s {shlex.quote(TAKES)} >{TAKER}; chmod +x {TAKER}; lbu commit")
        taken = set(machine.ssh("tar -tzf /tmp/taken").split())
        listed = {"root/own", "etc/apk/protected_paths.d/lbu.list"} if alpines else set()
        assert taken == {"etc/kept"} | listed
        again = machine.ssh("rm /tmp/taken; lbu status; lbu diff; ls /tmp/taken 2>&1 || true")
        assert "No such file" in again  # only a commit hands something over
        if alpines:
            without = "rm -f /var/lib/lbu/*; lbu package /tmp/p.tar.gz; lbu commit -n"
            again = machine.ssh(f"{without} >/dev/null 2>&1; ls /tmp/taken 2>&1 || true")
            assert "No such file" in again
        machine.ssh("echo odd >'/etc/odd '; lbu commit")
        assert "etc/odd " in machine.ssh("tar -tzf /tmp/taken").splitlines()


def test_without_the_mirror_it_boots_and_says_what_is_missing(tree: Tree) -> None:
    arguments = [*direct(tree, "9p://boot"), *nic()]
    with power_on(tree, arguments) as machine:
        machine.wait_console("tester ready", READY_SECONDS)
        machine.ssh(f"echo http://{HOST}:9/main >/etc/apk/repositories; echo curl >>/etc/apk/world")
        _commit(tree, base64.b64decode(machine.ssh("rack-commit pack | base64")))
    with power_on(tree, arguments) as machine:
        machine.wait_console("packages of /etc/apk/world are missing", READY_SECONDS + 90)
        machine.wait_console("tester ready", READY_SECONDS + 90)
