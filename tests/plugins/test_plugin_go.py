"""The plugins' Go code is formatted and vetted, and its own tests pass."""

import subprocess

import pytest

from artefacts.golang import go
from plugins.build import MODULES


# Not libvirt's schema generator: it alone needs a minute to compile.
@pytest.mark.parametrize("packages", [["libvirt", ".", "./provider"], ["command", "./..."]])
@pytest.mark.usefixtures("pulumi")
def test_go_vet_finds_nothing(packages: list[str]) -> None:
    go(MODULES / packages[0], "vet", "-trimpath", *packages[1:])


def test_gofmt_would_change_nothing() -> None:
    files = [str(path) for path in MODULES.rglob("*.go")]
    done = subprocess.run(["gofmt", "-l", *files], capture_output=True, text=True, check=True)
    assert done.stdout == ""
