"""What setup.sh refuses, in one sentence and before anything is fetched."""

import subprocess
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import pytest

from artefacts.environment import KEPT, PROJECT

TOOLS = ("cat", "dirname", "env", "sh")
STUBS = {
    "id": '[ "$1" = -u ] && echo 1000 || echo u',
    "uname": "echo x86_64",
    "dpkg-query": "echo installed",
    "apt-get": 'echo fetched "$@"; exit 99',
    "unshare": "echo 'unshare: write failed'; exit 1",
    "python3": "echo fetched; exit 99",
}
SYSCTLS = {
    "kernel/unprivileged_userns_clone": "1",
    "kernel/apparmor_restrict_unprivileged_userns": "0",
    "user/max_user_namespaces": "96365",
}


def _run(
    folder: Path,
    stubs: Mapping[str, str] = MappingProxyType({}),
    *,
    without: str = "",
    sysctls: Mapping[str, str] = MappingProxyType({}),
    arguments: tuple[str, ...] = (),
) -> tuple[int, list[str]]:
    """Run setup.sh in `folder` with stubs for what it looks at; its code and lines."""
    programs, settings = folder / "programs", folder / "sys"
    programs.mkdir(parents=True)
    for name in TOOLS:
        (programs / name).symlink_to(f"/usr/bin/{name}")
    for name, text in {**STUBS, **stubs}.items():
        if name != without:
            (programs / name).write_text(f"#!/bin/sh\n{text}\n")
            (programs / name).chmod(0o755)
    for name, value in {**SYSCTLS, **sysctls}.items():
        (settings / name).parent.mkdir(parents=True, exist_ok=True)
        (settings / name).write_text(f"{value}\n")
    (folder / "artefacts").mkdir()
    (folder / "artefacts" / KEPT.name).write_bytes(KEPT.read_bytes())
    text = (PROJECT / "setup.sh").read_text()
    for old, new in (("PATH=/usr/sbin:/usr/bin:/sbin:/bin", 'PATH="$PWD/programs"'),
                     ("/proc/sys/", "sys/")):  # fmt: skip
        assert text.count(old) == 1
        text = text.replace(old, new)
    (folder / "setup.sh").write_text(text)
    done = subprocess.run(
        ["sh", folder / "setup.sh", *arguments], capture_output=True, text=True, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    return done.returncode, (done.stdout + done.stderr).splitlines()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kernel/unprivileged_userns_clone", "0"),
        ("kernel/apparmor_restrict_unprivileged_userns", "1"),  # Ubuntu 24.04's default
        ("user/max_user_namespaces", "0"),
    ],
)
def test_an_ordinary_user_without_user_namespaces(tmp_path: Path, name: str, value: str) -> None:
    code, lines = _run(tmp_path / "a", sysctls={name: value})
    assert (code, len(lines)) == (1, 1)
    assert f"allow them (sysctl {name.replace('/', '.')}=" in lines[0]
    assert "run this as root, or use the container" in lines[0]


def test_an_ordinary_user_without_subordinate_ids(tmp_path: Path) -> None:
    code, lines = _run(tmp_path / "a")
    assert (code, len(lines)) == (1, 1)
    assert "(unshare: write failed); give u subordinate ids (usermod --add-subuids" in lines[0]


def test_root_needs_no_user_namespaces(tmp_path: Path) -> None:
    closed = dict.fromkeys(SYSCTLS, "0") | {"kernel/apparmor_restrict_unprivileged_userns": "1"}
    _code, lines = _run(tmp_path / "a", {"id": "echo 0"}, sysctls=closed)
    assert not [line for line in lines if "user namespaces" in line]


@pytest.mark.parametrize("without", ["apt-get", "dpkg-query"])
def test_a_system_without_apt(tmp_path: Path, without: str) -> None:
    code, lines = _run(tmp_path / "a", without=without)
    assert (code, len(lines)) == (1, 1)
    assert "this system has no apt." in lines[0]
    assert "use the container" in lines[0]
    assert (PROJECT / "Containerfile").is_file()


def test_another_processor(tmp_path: Path) -> None:
    assert _run(tmp_path / "a", {"uname": "echo aarch64"}) == (
        1, ["setup.sh: this machine is aarch64; x86_64 is needed"],
    )  # fmt: skip


def test_a_folder_that_path_can_t_hold(tmp_path: Path) -> None:
    code, lines = _run(tmp_path / "a:b")
    assert code == 1
    assert "has a colon in its name" in lines[-1]


@pytest.mark.parametrize(("arguments", "servers"), [((), False), (("tests",), True)])
def test_only_tests_bring_servers(
    tmp_path: Path, arguments: tuple[str, ...], servers: bool
) -> None:
    _code, lines = _run(tmp_path / "a", {"dpkg-query": "exit 1"}, arguments=arguments)
    assert (" openssh-server " in lines[-1]) == servers


def test_missing_packages_without_sudo_are_named(tmp_path: Path) -> None:
    code, lines = _run(tmp_path / "a", {"dpkg-query": "exit 1"})
    assert code == 1
    assert "there is no sudo here; as root, run: apt-get install" in lines[-1]
    assert " mmdebstrap " in lines[-1]
    assert not [line for line in lines if line.startswith("fetched")]
