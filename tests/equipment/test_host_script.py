"""host.sh: what it notes and takes back of packages, with an apt that keeps a list."""

import os
import subprocess
from pathlib import Path

import pytest

from equipment import FOLDER

AT_FIRST = ["bash", "systemd-timesyncd", "users-own"]
WITH_OURS = ["bash", "chrony", "libgnutls30", "lvm2", "users-own"]
PROGRAMS = {
    "dpkg-query": """for last; do :; done
        case $last in --*) cat $LIST ;; *) for p; do grep -x "$p" $LIST || true; done ;; esac |
        sed 's/.*/ii |&:amd64|1-1/'""",
    "apt-get": """echo "$*" >>$CALLS
        case "$*" in
            *" install "*) printf '%s\\n' $AFTER >$LIST; [ -z "$DIES" ] || kill $PPID ;;
        esac""",
}


class Machine:
    """A machine whose packages are the lines of a file."""

    def __init__(self, folder: Path) -> None:
        self.packages, self.calls = folder / "packages", folder / "calls"
        self.notes, self.keys = folder / "notes", folder / "ssh" / "authorized_keys"
        self._folder = folder
        self.packages.write_text("".join(f"{each}\n" for each in AT_FIRST))
        for name, text in PROGRAMS.items():
            (folder / name).write_text(f"#!/bin/sh\n{text}\n")
            (folder / name).chmod(0o755)

    def run(self, *words: str, dies: bool = False) -> "subprocess.CompletedProcess[str]":
        """Have host.sh do that; `dies`: it is killed right after apt."""
        self.calls.write_text("")
        script = (FOLDER / "host.sh").read_text()
        for there, here in (("/var/lib/rack-lab", self.notes), ("/root/.ssh", self.keys.parent)):
            script = script.replace(there, str(here))
        found = {
            "PATH": f"{self._folder}:{os.environ['PATH']}", "LIST": str(self.packages),
            "CALLS": str(self.calls), "AFTER": " ".join(WITH_OURS), "DIES": "1" if dies else "",
        }  # fmt: skip
        return subprocess.run(
            ["sh", "-c", script, "host.sh", *words], env=found, text=True, capture_output=True,
            check=False, timeout=60,
        )  # fmt: skip


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def noted(machine: Machine) -> list[str]:
    return (machine.notes / "packages").read_text().split()


def test_what_apt_adds_and_removes_is_noted_and_taken_back(machine: Machine) -> None:
    assert machine.run("install", "lvm2", "chrony").returncode == 0
    changed = ["+chrony", "+libgnutls30", "+lvm2", "-systemd-timesyncd"]
    assert noted(machine) == changed
    assert machine.run("install", "lvm2").returncode == 0
    assert noted(machine) == changed
    machine.packages.write_text("bash\nchrony\nlvm2\nusers-own\n")  # the user removed one since
    assert machine.run("purge").returncode == 0
    (purge,) = machine.calls.read_text().splitlines()
    assert purge.endswith(" purge chrony lvm2 systemd-timesyncd+")
    assert not machine.notes.exists()
    assert machine.run("purge").returncode == 0
    assert machine.calls.read_text() == ""


def test_an_install_that_was_killed_is_noted_by_the_next(machine: Machine) -> None:
    assert machine.run("install", "lvm2", dies=True).returncode != 0
    assert not (machine.notes / "packages").exists()
    assert machine.run("install", "lvm2").returncode == 0
    assert "-systemd-timesyncd" in noted(machine)
    assert "+lvm2" in noted(machine)


def test_one_that_was_killed_is_taken_back_too(machine: Machine) -> None:
    assert machine.run("install", "lvm2", dies=True).returncode != 0
    assert machine.run("purge").returncode == 0
    assert "systemd-timesyncd+" in machine.calls.read_text()


def test_a_key_is_let_in_once_and_no_more(machine: Machine) -> None:
    key, users = 'from="127.0.0.1" ecdsa-sha2-nistp256 AAAA+/= rack-lab', "ssh-ed25519 BBBB user"
    sshd = machine.calls.with_name("sshd")
    sshd.write_text("#!/bin/sh\n")
    sshd.chmod(0o755)
    machine.keys.parent.mkdir()
    machine.keys.write_text(f"{users}\n")
    for _ in range(2):
        assert machine.run("admit", key).returncode == 0
        assert machine.keys.read_text() == f"{users}\n{key}\n"
    assert machine.keys.stat().st_mode & 0o777 == 0o600
    for _ in range(2):
        assert machine.run("purge", key).returncode == 0
        assert machine.keys.read_text() == f"{users}\n"


def test_an_unknown_action_is_refused(machine: Machine) -> None:
    done = machine.run("format")
    assert done.returncode == 1
    assert "no action format" in done.stderr
