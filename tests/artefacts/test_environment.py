"""What of the user's environment reaches the programs of this project."""

import os
import subprocess
from pathlib import Path

import pytest

from artefacts import golang, run
from artefacts.environment import KEPT, OWN, environment, search_path

HOSTILE = {
    "GOARCH": "arm64", "GOOS": "darwin", "GOFLAGS": "-race", "GOAMD64": "v4", "GOROOT": "/none",
    "GOEXPERIMENT": "none", "GOTOOLCHAIN": "go1.1", "GOWORK": "/none", "GO111MODULE": "off",
    "CC": "false", "CFLAGS": "-O9", "LDFLAGS": "-lnone", "KCFLAGS": "-O9", "ARCH": "arm64",
    "CROSS_COMPILE": "arm-", "MAKEFLAGS": "-n", "MAKELEVEL": "3", "KBUILD_OUTPUT": "/none",
    "PIP_TARGET": "/none", "PIP_USER": "1", "PIP_REQUIRE_VIRTUALENV": "1", "PIP_NO_BINARY": ":all:",
    "PYTHONPATH": "/none", "PYTHONHOME": "/none", "VIRTUAL_ENV": "/none",
    "SOURCE_DATE_EPOCH": "1", "LD_PRELOAD": "/none", "LD_LIBRARY_PATH": "/none", "TZ": "UTC+9",
    "LC_ALL": "tr_TR.UTF-8", "LANG": "de_DE", "LC_NUMERIC": "de_DE", "POSIXLY_CORRECT": "1",
    "TAR_OPTIONS": "--totals", "GZIP": "-1", "XZ_DEFAULTS": "-0", "ZSTD_CLEVEL": "1",
    "APT_CONFIG": "/none", "DEB_BUILD_OPTIONS": "nocheck", "GREP_OPTIONS": "-v", "CDPATH": "/",
    "PERL5LIB": "/none", "PERL5OPT": "-Mnone", "ENV": "/none", "BASH_ENV": "/none",
    "GIT_DIR": "/none", "MTOOLSRC": "/none", "MKE2FS_CONFIG": "/none", "QEMU_AUDIO_DRV": "none",
    "PULUMI_CONFIG_PASSPHRASE": "x", "DEBIAN_FRONTEND": "dialog", "KBUILD_BUILD_TIMESTAMP": "now",
}  # fmt: skip
DOWNLOADS = {
    "https_proxy": "http://proxy:3128", "NO_PROXY": "intern", "PIP_INDEX_URL": "http://index/",
    "PIP_CERT": "/cert", "GOPROXY": "http://modules/", "SSL_CERT_FILE": "/cert",
    "SSH_AUTH_SOCK": "/agent",
}  # fmt: skip


@pytest.fixture
def hostile(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**HOSTILE, **DOWNLOADS}.items():
        monkeypatch.setitem(os.environ, name, value)


@pytest.mark.usefixtures("hostile")
def test_no_variable_of_the_users_gets_through_but_for_downloads() -> None:
    found = environment()
    assert {name: found.get(name) for name in HOSTILE} == {name: OWN.get(name) for name in HOSTILE}
    assert {name: found[name] for name in DOWNLOADS} == DOWNLOADS


def test_a_kept_variable_is_none_of_those_that_change_results() -> None:
    kept = {line for line in KEPT.read_text().splitlines() if not line.startswith("#")}
    assert kept >= DOWNLOADS.keys()
    assert not kept & HOSTILE.keys()


def test_run_gives_that_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GOARCH", "arm64")
    assert "GOARCH" not in run(["env"])
    assert run(["sh", "-c", "echo $LC_ALL"]) == "C.UTF-8\n"


@pytest.mark.usefixtures("hostile")
def test_go_is_told_what_it_builds_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    monkeypatch.setenv("GOENV", str(tmp_path / "env"))
    (tmp_path / "env").write_text("GOARCH=arm64\nGOPRIVATE=intern\nGOEXPERIMENT=none\n")
    golang._users_downloads.cache_clear()
    try:
        found = golang.go_environment()
        values = run(["go", "env", "GOARCH", "GOOS", "GOEXPERIMENT", "GOFLAGS"], env=found)
    finally:
        golang._users_downloads.cache_clear()
    assert values.split("\n")[:4] == ["amd64", "linux", "", "-mod=readonly"]
    assert found["GOPROXY"] == "http://modules/"
    assert found["GOPRIVATE"] == "intern"


def test_the_systems_programs_come_before_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/home/u/bin::relative:/usr/bin:/opt/bin")
    folders = search_path().split(":")
    assert folders.index("/usr/sbin") < folders.index("/home/u/bin") < folders.index("/opt/bin")
    assert "relative" not in folders
    assert "" not in folders
    assert folders.count("/usr/bin") == 1


def test_setup_reads_the_same_list(tmp_path: Path) -> None:
    """setup.sh starts itself anew in such an environment, before anything else."""
    setup = Path(__file__).parents[2] / "setup.sh"
    (tmp_path / "artefacts").mkdir()
    (tmp_path / "artefacts" / KEPT.name).write_bytes(KEPT.read_bytes())
    head = setup.read_text().partition("# --- the environment is clean ---\n")[0]
    (tmp_path / "setup.sh").write_text(f"{head}env\n")
    done = subprocess.run(
        ["sh", tmp_path / "setup.sh"], check=True, capture_output=True, text=True,
        env={**HOSTILE, **DOWNLOADS, "PATH": "/usr/bin:/bin", "HOME": "/a b", "YES": "1",
             "LD_PRELOAD": "", "LD_LIBRARY_PATH": ""},
    )  # fmt: skip
    found = dict(line.split("=", 1) for line in done.stdout.splitlines())
    assert {name: found.get(name) for name in HOSTILE if name != "TZ"} == {
        name: OWN[name] if name in {"LC_ALL", "DEBIAN_FRONTEND"} else None
        for name in HOSTILE if name != "TZ"
    }  # fmt: skip
    assert {name: found[name] for name in DOWNLOADS} == DOWNLOADS
    assert found["HOME"] == "/a b"
    assert found["YES"] == "1"
