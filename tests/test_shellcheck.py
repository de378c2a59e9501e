"""Every shell script passes shellcheck."""

import os
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
FOLDERS = ("guest", "components", "equipment", "labmachine", ".ci")
BASH = b"#!/bin/bash"
SHEBANGS = (b"#!/bin/sh", BASH, b"#!/sbin/openrc-run", b"# shellcheck shell=sh")
# openrc-run's own shebang and variables; settings that only a machine has; busybox ash's local, -nt
IGNORED = "SC1008,SC1090,SC1091,SC2034,SC2154,SC3013,SC3043"
SCRIPTS = sorted(
    path
    for path in (
        PROJECT / "setup.sh",
        *(p for each in FOLDERS for p in (PROJECT / each).rglob("*")),
    )
    if path.is_file() and not path.is_symlink() and path.read_bytes().startswith(SHEBANGS)
)


def test_scripts_are_found() -> None:
    assert len(SCRIPTS) > 20


def test_programs_can_be_run() -> None:
    """What is laid into an image keeps its mode; a service that can't be run starts nothing."""
    images = [each for each in SCRIPTS if "root" in each.relative_to(PROJECT).parts]
    programs = [each for each in images if each.read_bytes().startswith(b"#!")]
    assert programs
    assert [each for each in programs if not os.access(each, os.X_OK)] == []


@pytest.mark.parametrize("bash", [False, True])
def test_shellcheck_has_nothing_to_say(bash: bool) -> None:
    scripts = [each for each in SCRIPTS if each.read_bytes().startswith(BASH) is bash]
    assert scripts
    shell = "bash" if bash else "busybox" if _knows_busybox() else "sh"
    done = subprocess.run(
        ["shellcheck", "-s", shell, "-e", IGNORED, *scripts],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not done.stdout, done.stdout


def _knows_busybox() -> bool:
    shown = subprocess.run(["shellcheck", "--help"], capture_output=True, text=True, check=False)
    return "busybox" in shown.stdout
