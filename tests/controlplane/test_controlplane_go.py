"""controlplane's own tests: by themselves, and on real consul agents on loopback."""

import json
import subprocess
from pathlib import Path

import pytest

from alpine import programs
from artefacts import golang
from config.secrets import derive_certificate
from guest.consul import SERVER_NAME

FOLDER = programs.PROGRAMS["control-plane"].folder


def go_test(*words: str, **variables: str) -> list[str]:
    """The names of the tests that passed; one that doesn't is an error with its output."""
    argv = ["test", "-json", "-trimpath", "-vet=off", *words, "."]
    said = golang.go(FOLDER, *argv, variables=variables)
    events = [json.loads(line) for line in said.splitlines()]
    return [each["Test"] for each in events if each["Action"] == "pass" and "Test" in each]


def test_vet_has_nothing_to_say() -> None:
    golang.go(FOLDER, "vet", "-trimpath", "-tags=consul", ".")


def test_gofmt_would_change_nothing() -> None:
    done = subprocess.run(["gofmt", "-l", FOLDER], capture_output=True, text=True, check=True)
    assert done.stdout == ""


@pytest.mark.timeout(600)
def test_decisions_gate_and_parts() -> None:
    assert len(go_test()) > 10


@pytest.mark.control
@pytest.mark.timeout(2400)  # consul is compiled
def test_with_real_consul_agents(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        pair = derive_certificate("0" * 64, name, SERVER_NAME)
        (tmp_path / name).mkdir()
        for part, text in vars(pair).items():
            (tmp_path / name / f"{part}.pem").write_text(text)
    passed = go_test(
        "-tags=consul",
        CONSUL=str(programs.build("consul")),
        CERTIFICATES=str(tmp_path),
        SERVER_NAME=SERVER_NAME,
    )
    assert len(passed) > 20
