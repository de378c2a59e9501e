"""controlplane's own tests: by themselves, and on real consul agents on loopback."""

import json
import os
import subprocess

import pytest

from alpine import programs
from artefacts import golang

FOLDER = programs.PROGRAMS["control-plane"].folder


def go_test(*words: str) -> list[str]:
    """The names of the tests that passed; one that doesn't is an error with its output."""
    said = golang.go(FOLDER, "test", "-json", "-trimpath", "-vet=off", *words, ".")
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
def test_with_real_consul_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(os.environ, "CONSUL", str(programs.build("consul")))
    assert len(go_test("-tags=consul")) > 20
