"""raft's own tests on the raft that consul is built with here, patches and all."""

import os
import subprocess
from pathlib import Path

import pytest
from gotests import run_tests

from alpine import programs
from artefacts import golang

CONSUL = programs.PROGRAMS["consul"]
RAFT = "github.com/hashicorp/raft"

# What may fail for another reason than a patch, by test.
EXPECTED = {
    # `go test -run ... -count=300`: 42 times without the patches, 32 times with them.
    "TestNetworkTransport_AppendEntriesPipeline_CloseStreams": "a race of the test's own",
}
if os.geteuid() == 0:
    EXPECTED["TestFileSS_BadPerm"] = "root may write into each folder"


@pytest.fixture(scope="module")
def modules(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The patched modules, by name."""
    scratch = tmp_path_factory.mktemp("patched") / "consul"
    golang.patched(CONSUL.folder, CONSUL.patches(), scratch)
    return {each.module: golang.module_copy(scratch, each.module) for each in CONSUL.patches()}


def test_what_is_patched_is_formatted(modules: dict[str, Path]) -> None:
    files = [
        modules[patch.module] / line.removeprefix("+++ b/").strip()
        for patch in CONSUL.patches()
        for line in patch.file.read_text().splitlines()
        if line.startswith("+++ b/")
    ]
    assert len(files) > 5
    done = subprocess.run(["gofmt", "-l", *files], capture_output=True, text=True, check=True)
    assert done.stdout == ""


def test_vet_has_nothing_to_say(modules: dict[str, Path]) -> None:
    golang.go(modules[RAFT], "vet", ".")


@pytest.mark.timeout(1800)  # two minutes on two idle cores
def test_raft_passes_its_own_tests(modules: dict[str, Path], tmp_path: Path) -> None:
    passed, failed = run_tests(modules[RAFT], tmp_path / "events", "-timeout=25m", ".")
    print(f"{len(passed)} passed; failed, for known reasons: {EXPECTED}")
    unexpected = {name: text for name, text in failed.items() if name not in EXPECTED}
    assert unexpected == {}, "\n".join(unexpected.values())
    assert len(passed) > 150
