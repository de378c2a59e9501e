"""controlplane's own tests: by themselves, and on real consul agents on loopback."""

import json
import subprocess
from pathlib import Path

import pytest

from alpine import programs
from artefacts import CommandFailed, golang
from config.secrets import derive_certificate
from guest.consul import SERVER_NAME

FOLDER = programs.PROGRAMS["control-plane"].folder


def go_test(folder: Path, *words: str, **variables: str) -> list[str]:
    """The names of the tests that passed; one that fails is an error with that test's output."""
    said = folder / "events"
    argv = ["test", "-json", "-trimpath", "-vet=off", *words, "./..."]
    failed = None
    try:
        golang.go(FOLDER, *argv, variables=variables, output=said)
    except CommandFailed as error:
        failed = error
    events = [json.loads(line) for line in said.read_text().splitlines()]
    ended = {_test(each): each["Action"] for each in events}
    if failed:
        output = (each for each in events if each["Action"].endswith("output"))
        shown = (each["Output"] for each in output if ended.get(_test(each)) != "pass")
        pytest.fail(f"{failed}\n{''.join(shown)}", pytrace=False)
    return [name for (_, name), action in ended.items() if name and action == "pass"]


def _test(event: dict[str, str]) -> tuple[str, str]:
    """Package and test that an event is of; of the package itself: no test."""
    return event.get("Package") or event.get("ImportPath", ""), event.get("Test", "")


def test_vet_has_nothing_to_say() -> None:
    golang.go(FOLDER, "vet", "-trimpath", "-tags=consul", "./...")


def test_gofmt_would_change_nothing() -> None:
    done = subprocess.run(["gofmt", "-l", FOLDER], capture_output=True, text=True, check=True)
    assert done.stdout == ""


@pytest.mark.timeout(600)
def test_each_package_by_itself(tmp_path: Path) -> None:
    assert len(go_test(tmp_path)) > 50


@pytest.mark.control
@pytest.mark.timeout(2400)  # consul is compiled
def test_with_real_consul_agents(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        pair = derive_certificate("0" * 64, name, SERVER_NAME)
        (tmp_path / name).mkdir()
        for part, text in vars(pair).items():
            (tmp_path / name / f"{part}.pem").write_text(text)
    passed = go_test(
        tmp_path,
        "-tags=consul",
        "-p=1",  # agents of one package at a time
        CONSUL=str(programs.build("consul")),
        CERTIFICATES=str(tmp_path),
        SERVER_NAME=SERVER_NAME,
    )
    assert len(passed) > 20
