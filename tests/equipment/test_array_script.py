"""array.sh: how it has mdadm make the array of each level, with fake programs."""

import os
import subprocess
from pathlib import Path

import pytest

from equipment import FOLDER

FAKES = {
    "lsblk": """case "$*" in
        *MOUNTPOINT*sdb) printf 'sdb\\n%s' "$ON_SDB" ;;
        *MOUNTPOINT*) echo sda ;;
        *) echo "$FOLDER/sda disk1"; echo "$FOLDER/sdb disk2" ;;
    esac""",
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
    done = applied(tmp_path, level)
    assert done.returncode == 0, done.stderr
    [create] = [line for line in calls(tmp_path) if "--create" in line]
    assert f"--metadata=1.2 {options} --raid-devices=2 {tmp_path}/sda {tmp_path}/sdb" in create


def test_a_disk_in_use_without_a_signature_is_left_alone(tmp_path: Path) -> None:
    """As one under dm-crypt in plain mode."""
    done = applied(tmp_path, 1, on_sdb="secret /home")
    assert done.returncode == 1
    assert f"{tmp_path}/sdb is in use: secret /home; nothing was changed" in done.stderr
    assert not [
        line for line in calls(tmp_path) if line.startswith(("fallocate", "mdadm --create"))
    ]


def calls(folder: Path) -> list[str]:
    return (folder / "calls").read_text().splitlines()


def applied(tmp_path: Path, level: int, on_sdb: str = "") -> "subprocess.CompletedProcess[str]":
    for name, body in FAKES.items():
        (tmp_path / name).write_text(f'#!/bin/sh\necho "{name} $*" >>"$FOLDER/calls"\n{body}\n')
        (tmp_path / name).chmod(0o755)
    for disk in ("sda", "sdb"):
        (tmp_path / disk).touch()
    script = (FOLDER / "array.sh").read_text().replace("[ -b ", "[ -e ")  # files for disks
    return subprocess.run(
        ["sh", "-s", "--", "apply", "rack-x", "rack-lab.x", str(level), "disk1", "disk2"],
        input=script, text=True, capture_output=True, check=False, timeout=60,
        env={
            "PATH": f"{tmp_path}:{os.environ['PATH']}", "FOLDER": str(tmp_path), "ON_SDB": on_sdb,
        },
    )  # fmt: skip
