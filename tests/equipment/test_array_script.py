"""array.sh: how it has mdadm make the array of each level, with fake programs."""

import os
import subprocess
from pathlib import Path

import pytest

from equipment import FOLDER

FAKES = {
    "lsblk": 'echo "$FOLDER/sda disk1"; echo "$FOLDER/sdb disk2"',
    "mdadm": 'case $1 in --examine) exit 1 ;; --detail) echo MD_LEVEL=x ;; esac',
    "blockdev": "echo 1024",
    "vgs": "exit 1",
    **dict.fromkeys(["wipefs", "fallocate", "udevadm", "vgcreate"], ":"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("level", "options"),
    [
        (0, "--level=0"),  # mdadm: bitmaps not meaningful with level raid0
        (1, "--assume-clean --bitmap=internal --level=1"),
    ],
)
def test_blank_disks_become_the_array(tmp_path: Path, level: int, options: str) -> None:
    for name, body in FAKES.items():
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"$FOLDER/calls"\n{body}\n')
        (tmp_path / name).chmod(0o755)
    for disk in ("sda", "sdb"):
        (tmp_path / disk).touch()
    script = (FOLDER / "array.sh").read_text().replace("[ -b ", "[ -e ")  # files for disks
    subprocess.run(
        ["sh", "-s", "--", "apply", "rack-x", "rack-lab.x", str(level), "disk1", "disk2"],
        input=script, text=True, check=True, timeout=60,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "FOLDER": str(tmp_path)},
    )  # fmt: skip
    [create] = [
        line for line in (tmp_path / "calls").read_text().splitlines() if "--create" in line
    ]
    assert f"--metadata=1.2 {options} --raid-devices=2 {tmp_path}/sda {tmp_path}/sdb" in create
