"""controlplane's own tests: by themselves, and on real consul agents on loopback."""

from pathlib import Path

import pytest
from gotests import run_tests

from alpine import programs
from config.secrets import derive_certificate
from guest.consul import SERVER_NAME

FOLDER = programs.PROGRAMS["control-plane"].folder


def go_test(folder: Path, *words: str, **variables: str) -> list[str]:
    """The names of the tests that passed; one that fails is an error with that test's output."""
    passed, failed = run_tests(FOLDER, folder / "events", *words, "./...", **variables)
    if failed:
        pytest.fail("\n".join(failed.values()), pytrace=False)
    return passed


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
