"""Set-up on bare Debians, to the finished stick, as root and as an ordinary user; no machine runs.

`make test-hosts` (root, some 20 min): for each release a root made with mmdebstrap, entered as a
machine of its own would be. What a host can't change is taken from this machine's cache: the
kernel and the Go programs, whose compiling takes half an hour. All else is built there.
"""

import json
import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alpine import rootfs
from artefacts import cache_root, run
from artefacts.debian import debian_sources
from artefacts.environment import KEPT, PROJECT
from artefacts.process import ending_together

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(3600)]

ENTER = Path(__file__).parent / "enter.sh"
FOLDER = "my rack ü#1%41"  # shell, ssh, Make and URLs each stumble over some of it
SHARED = ("kernel", "tools", "alpine-key")  # compiled, or made at random
MACHINES = ("etc/resolv.conf", "etc/hosts", "etc/ssl/certs/ca-certificates.crt")
USER = "u"
VARYING = (
    "/boot/initrd.img-",  # the times of its files
    "/etc/apt/", "/var/lib/apt/", "/var/cache/", "/var/log/", "/lost+found",
)  # fmt: skip


class Host:
    """A bare Debian with this project's files in an account's home."""

    def __init__(self, root: Path, user: str) -> None:
        self.root, self.user = root, user
        self.home = root / ("root" if user == "root" else f"home/{user}")

    def run(self, command: str, *, user: str = "", fails: bool = False) -> str:
        """What a command in the project's folder says, on both streams."""
        kept = [
            each for each in KEPT.read_text().split() if each.startswith(("PIP_", "GO", "SSL_"))
        ]
        settings = [f"export {each}={shlex.quote(os.environ[each])};" for each in kept
                    if each in os.environ]  # fmt: skip
        whole = f"{' '.join(settings)} cd {shlex.quote(f'{self._inside()}/{FOLDER}')}; {command}"
        done = subprocess.run(
            [ENTER, self.root, user or self.user, whole], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert bool(done.returncode) == fails, done.stdout[-5000:]
        return done.stdout

    def _inside(self) -> Path:
        return Path("/") / self.home.relative_to(self.root)

    def outside(self, inside: str) -> Path:
        """A path of the host's as this machine sees it."""
        return self.root / inside.lstrip("/")


@pytest.fixture(scope="module", params=["bookworm", "trixie"])
def bare(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Path]:
    """A bare root of a release."""
    root = tmp_path_factory.mktemp("hosts") / request.param
    with ending_together():
        run(["mmdebstrap", "--variant=minbase", "--include=ca-certificates,debconf",
             request.param, root, *debian_sources(request.param)])  # fmt: skip
    for name in MACHINES:
        shutil.copyfile(Path("/") / name, root / name)
    yield root
    shutil.rmtree(root)


def _host(bare: Path, user: str) -> Host:
    host = Host(bare, user)
    if user != "root":
        subprocess.run([ENTER, bare, "root", f"useradd -m {user}; chmod 700 ~{user}"], check=True)
    project = host.home / FOLDER
    project.mkdir()
    listed = run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=PROJECT
    )
    for name in listed.rstrip("\0").split("\0"):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, project / name, follow_symlinks=False)
    for kind in SHARED:
        target = host.home / ".cache/rack-lab" / kind
        ignored = shutil.ignore_patterns(".*.work", ".*.lock")
        shutil.copytree(cache_root() / kind, target, symlinks=True, ignore=ignored)
    subprocess.run([ENTER, bare, "root", f"chown -R {user}: ~{user}"], check=True)
    return host


def _built(host: Host) -> tuple[dict[str, str], list[str]]:
    """The sums of a stick's files, and the manifest of the lab machine's root."""
    said = host.run(
        ".venv/bin/python -m tests.hosts.build ~ 2> ~/log || { tail -n 40 ~/log; exit 1; }"
    )
    found: dict[str, Any] = json.loads(said)
    assert (host.home / "stick").stat().st_blocks > 0
    root = host.home / "unpacked"
    root.mkdir()
    run(["debugfs", "-R", f"rdump / {root.name}", host.outside(found["machine"])], cwd=host.home)
    manifest = [line for line in rootfs.manifest(root) if not _varies(line)]
    shutil.rmtree(root)
    return found["files"], manifest


def _varies(line: str) -> bool:
    """What holds the time or the order of its making."""
    path = line.split("  ", 2)[2]
    return path.startswith(VARYING)


def test_an_ordinary_user_builds_what_root_builds(bare: Path) -> None:
    user = _host(bare, USER)
    said = user.run("./setup.sh", fails=True)  # an ordinary user without sudo
    (line,) = said.strip().splitlines()[-1:]
    assert "there is no sudo here; as root, run: apt-get install" in line
    user.run(f"apt-get update -qq && {line.partition('run: ')[2]} -y -qq", user="root")
    user.run("umask 077; ./setup.sh && ./setup.sh")
    assert "storage1" in user.run(".venv/bin/lab report")
    as_user = _built(user)

    root = _host(bare, "root")
    root.run("./setup.sh & first=$!; ./setup.sh && wait $first")
    # like Ubuntu: apt has no Debian
    root.run("rm -rf /etc/apt/sources.list /etc/apt/sources.list.d/* /var/lib/apt/lists/*")
    as_root = _built(root)
    assert as_user[0].keys() == as_root[0].keys()
    assert as_user[0] == as_root[0]
    assert len(as_user[1]) > 5000
    assert as_user[1] == as_root[1]


def test_a_moved_folder_goes_on(bare: Path) -> None:
    host = Host(bare, "root")
    moved = 'mv "$PWD" ~/moved && cd ~/moved && ./setup.sh && .venv/bin/lab report'
    assert "storage1" in host.run(moved)
