"""Bad input through the real command line and program: one error, exit code 1, nothing made."""

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from config.load import FOLDER
from config.settings import PROJECT, stack_folder

STACK = "bad-input"
NOBODY = "ssh://root@127.0.0.1:1"  # a port nobody listens on: tcpmux is long dead
MINI = (FOLDER / "mini.yaml").read_text()
CASES = {
    "overlapping networks": ("preview", MINI.replace("10.77.2.0", "10.77.1.0"), {}, "overlaps isp"),
    "an unknown key": ("up", MINI.replace("level: 1", "levl: 1"), {}, "did you mean 'level'?"),
    "no YAML": ("up", "array: [", {}, "nothing was created"),
    "a bad option": ("preview", MINI, {"timing": "fast"}, "pulumi config rm lab:timing"),
    "no lab machine": ("up", MINI, {"machine": NOBODY}, "the lab machine must answer"),
}


@pytest.fixture
def environ(pulumi: dict[str, str], tmp_path: Path) -> Iterator[dict[str, str]]:
    (tmp_path / "state").mkdir()
    yield os.environ | pulumi | {"PULUMI_BACKEND_URL": f"file://{tmp_path}/state"}
    (PROJECT / f"Pulumi.{STACK}.yaml").unlink(missing_ok=True)
    shutil.rmtree(stack_folder(STACK), ignore_errors=True)


@pytest.mark.parametrize("case", CASES)
def test_it_is_one_error_and_nothing_is_made(
    case: str, environ: dict[str, str], tmp_path: Path
) -> None:
    action, topology, options, said = CASES[case]
    (tmp_path / "topology.yaml").write_text(topology)
    settings = tmp_path / "settings.yaml"
    config = {"lab:topology": str(tmp_path / "topology")}
    config |= {f"lab:{key}": value for key, value in options.items()}
    settings.write_text(yaml.safe_dump({"config": config}))

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["pulumi", "--non-interactive", *arguments, "--stack", STACK],
            cwd=PROJECT, env=environ, capture_output=True, text=True, check=False,
        )  # fmt: skip

    run("stack", "select", "--create")
    done = run(action, "--config-file", str(settings), *(["--yes"] if action == "up" else []))
    assert done.returncode == 1
    shown = done.stdout + done.stderr
    assert said in shown
    assert "Traceback" not in shown
    resources = json.loads(run("stack", "export").stdout)["deployment"].get("resources", [])
    assert [each["type"] for each in resources] in ([], ["pulumi:pulumi:Stack"])


def test_a_preview_writes_nothing_in_the_stack_s_folder(
    environ: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "topology.yaml").write_text(MINI)
    (PROJECT / f"Pulumi.{STACK}.yaml").write_text(
        yaml.safe_dump({"config": {"lab:topology": str(tmp_path / "topology")}})
    )
    done = subprocess.run(
        ["pulumi", "preview", "--stack", STACK],
        cwd=PROJECT, env=environ, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "to create" in done.stdout, done.stdout + done.stderr
    assert not stack_folder(STACK).exists()
