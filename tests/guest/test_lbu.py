"""What Alpine's own lbu has brought to the boot servers: each commit, and nothing else."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from alpine.image import GUEST

HOOK = GUEST / "alpine-conf/root/etc/lbu/pre-package.d/rack"
LBU = '#!/bin/sh\nrun-parts "${0%/*}/pre-package.d"\n'  # as it calls its hooks


@pytest.mark.parametrize(
    ("words", "pushed"),
    [
        ("commit", True), ("ci -d", True), ("commit -v usb", True),
        ("commit -n", False), ("ci -vn", False),
        ("package", False), ("package -", False), ("pkg commit", False), ("status", False),
        ("diff", False), ("", False),
    ],
)  # fmt: skip
def test_a_commit_is_pushed(tmp_path: Path, words: str, pushed: bool) -> None:
    (tmp_path / "pre-package.d").mkdir()
    shutil.copy(HOOK, tmp_path / "pre-package.d/rack")
    programs = {"lbu": LBU, "rack-commit": f'#!/bin/sh\necho "$*" >{tmp_path}/called\n'}
    for name, text in programs.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    (tmp_path / "pre-package.d/rack").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    subprocess.run([tmp_path / "lbu", *words.split()], env=env, check=True)
    called = tmp_path / "called"
    assert (called.read_text() if called.exists() else "") == ("push\n" if pushed else "")
