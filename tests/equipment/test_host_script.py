"""host.sh: what it notes and takes back of packages, with an apt that keeps a list."""

import os
import subprocess
from pathlib import Path

import pytest

from equipment import FOLDER
from lab import host

AT_FIRST = ["bash", "systemd-timesyncd", "users-own"]
WITH_OURS = ["bash", "chrony", "libgnutls30", "lvm2", "users-own"]
PROGRAMS = {
    "dpkg-query": """for last; do :; done
        case $last in --*) cat $LIST ;; *) for p; do grep -x "$p" $LIST || true; done ;; esac |
        sed 's/.*/ii |&:amd64|1-1/'""",
    "apt-get": """echo "$*" >>$CALLS
        case "$*" in
            *--simulate*" install "*)
                for p in $AFTER; do
                    grep -qx $p $LIST && state="Inst $p [1-0] (1-1 Debian:12 [amd64])" ||
                        state="Inst $p (1-1 Debian:12 [amd64])"
                    echo "$state"
                done
                sed -n 's/^systemd-timesyncd$/Remv & [1-1]/p' $LIST ;;
            *--simulate*" purge "*) for p; do [ $p != lvm2 ] || echo "Purg lvm2 [1-1]"; done
                echo "Remv users-of-lvm2 [1-1]" ;;
            *" install "*)
                [ "$FAILS" != before ] || exit 100
                { grep -vx systemd-timesyncd $LIST; printf '%s\\n' $AFTER; } | sort -u >$LIST.new
                mv $LIST.new $LIST
                case $FAILS in dies) kill $PPID ;; after) exit 100 ;; esac ;;
        esac""",
    "dpkg": "[ $1 = --configure ]",
    "id": "echo 0",
    "vgs": """[ -z "$GROUPS_THERE" ] || printf '  %s\\n' $GROUPS_THERE""",
}


class Machine:
    """A machine whose packages are the lines of a file."""

    def __init__(self, folder: Path) -> None:
        self.packages, self.calls = folder / "packages", folder / "calls"
        self.notes, self.keys = folder / "notes", folder / "ssh" / "authorized_keys"
        self._folder, self.pages = folder, folder / "pages"
        self.pages.write_text("0\n")
        self.packages.write_text("".join(f"{each}\n" for each in AT_FIRST))
        for name, text in PROGRAMS.items():
            self.program(name, text)

    def run(
        self, *words: str | Path, fails: str = "", groups: str = "", stdin: bytes = b""
    ) -> "subprocess.CompletedProcess[str]":
        """Have host.sh do that; `fails`: apt does, before or after it did its work, or host.sh is
        killed there ("dies"); `groups`: the volume groups, NAME|UUID|TAGS.
        """
        self.calls.write_text("")
        script = (FOLDER / "host.sh").read_text()
        folder = self._folder
        rules = folder / "rules"
        rules.touch()
        places = {
            "/var/lib/rack-lab": self.notes, "/root/.ssh": self.keys.parent,
            "/etc/udev/rules.d/57-rack-lab.rules": rules, "/etc/modprobe.d/rack-lab.conf": rules,
            "/proc/sys/vm/nr_overcommit_hugepages": self.pages,
            "/etc/sysctl.d/10-rack-lab.conf": FOLDER / "host/etc/sysctl.d/10-rack-lab.conf",
        }  # fmt: skip
        for there, here in places.items():
            script = script.replace(there, str(here))
        found = {
            "PATH": f"{self._folder}:{os.environ['PATH']}", "LIST": str(self.packages),
            "CALLS": str(self.calls), "AFTER": " ".join(WITH_OURS), "FAILS": fails,
            "GROUPS_THERE": groups,
        }  # fmt: skip
        done = subprocess.run(
            ["sh", "-c", script, "host.sh", *words], env=found, input=stdin, capture_output=True,
            check=False, timeout=60,
        )  # fmt: skip
        said = done.stdout.decode(), done.stderr.decode()
        return subprocess.CompletedProcess(words, done.returncode, *said)

    def program(self, name: str, text: str) -> None:
        """Give it a program."""
        (self._folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (self._folder / name).chmod(0o755)


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
    *_, purge = machine.calls.read_text().splitlines()
    assert purge.endswith(" purge chrony lvm2 systemd-timesyncd+")
    assert not machine.notes.exists()
    assert machine.run("purge").returncode == 0
    assert machine.calls.read_text() == ""


@pytest.mark.parametrize("fails", ["dies", "after", "before"])
def test_what_the_user_installs_after_one_that_failed_stays_his(
    machine: Machine, fails: str
) -> None:
    assert machine.run("install", "lvm2", fails=fails).returncode != 0
    if fails == "before":
        assert noted(machine) == []
    with machine.packages.open("a") as packages:
        packages.write("users-new\n")
    assert machine.run("install", "lvm2").returncode == 0
    assert noted(machine) == ["+chrony", "+libgnutls30", "+lvm2", "-systemd-timesyncd"]


@pytest.mark.parametrize("fails", ["dies", "after"])
def test_one_that_failed_is_taken_back_too(machine: Machine, fails: str) -> None:
    assert machine.run("install", "lvm2", fails=fails).returncode != 0
    assert machine.run("purge").returncode == 0
    *_, purge = machine.calls.read_text().splitlines()
    assert purge.endswith(" purge chrony libgnutls30 lvm2 systemd-timesyncd+")


def test_nothing_is_purged_where_nothing_was_added(machine: Machine) -> None:
    assert machine.run("install", "lvm2", fails="before").returncode != 0
    assert machine.run("purge").returncode == 0
    assert machine.calls.read_text() == ""
    assert not machine.notes.exists()
    (machine.notes).mkdir()
    (machine.notes / "packages").write_text("-removed-for-racks\n")
    assert machine.run("purge").returncode == 0
    (purge,) = machine.calls.read_text().splitlines()
    assert purge.endswith(" purge removed-for-racks+")


def test_what_an_undo_would_do_is_told(machine: Machine) -> None:
    assert machine.run("install", "lvm2").returncode == 0
    said = machine.run("look", "/no/file", "lvm2", "", "", "").stdout.splitlines()
    assert [each for each in said if each.startswith("noted|")] == [
        "noted|chrony", "noted|libgnutls30", "noted|lvm2"
    ]  # fmt: skip
    assert "back|systemd-timesyncd" in said
    assert [each for each in said if each.startswith("purges|")] == [
        "purges|lvm2", "purges|users-of-lvm2"
    ]  # fmt: skip


def test_a_group_of_the_user_s_own_is_no_rack_s(machine: Machine) -> None:
    groups = ("rack|u1|", "rack-backup|u2|mine", "rack-a-b|u3|rack-lab.a-b,rack-lab.blank")
    done = machine.run("look", "/no/file", "", "", "", "", groups=" ".join(groups))
    said = done.stdout.splitlines()
    assert "foreign|rack-backup" in said
    assert [each for each in said if each.startswith(("foreign|", "racks|"))] == [
        "racks|a-b", "foreign|rack-backup"
    ]  # fmt: skip


def test_an_initramfs_that_couldn_t_be_made_isn_t_forgotten(machine: Machine) -> None:
    """The files lie where they should, and a boot without them would take the racks' disks."""
    files = machine.calls.parent / "files"
    (files / "etc").mkdir(parents=True)
    tar = subprocess.run(["tar", "-c", "-C", files, "."], capture_output=True, check=True).stdout
    root = machine.calls.parent / "root"
    root.mkdir()
    for name in ("udevadm", "sysctl", "sync"):
        machine.program(name, "exit 0")
    machine.program("tar", f"exec /usr/bin/tar -x -C {root}")
    machine.program("update-initramfs", "exit 1")
    done = machine.run("lay", stdin=tar)
    assert done.returncode == 1
    assert "heeded|yes" not in machine.run("look", "/no/file", "", "", "", "").stdout
    machine.program("update-initramfs", "exit 0")
    assert machine.run("lay", stdin=tar).returncode == 0
    assert "heeded|yes" in machine.run("look", "/no/file", "", "", "", "").stdout
    # Taking them back was cut at the initramfs: it is offered again.
    assert machine.pages.read_text() == f"{host.LEAST_PAGES}\n"
    machine.program("update-initramfs", "exit 1")
    assert machine.run("take", root / "etc").returncode == 1
    assert "laid|yes" in machine.run("look", "/no/file", "", "", "", "").stdout
    machine.program("update-initramfs", "exit 0")
    assert machine.run("take", root / "etc").returncode == 0
    assert "laid|yes" not in machine.run("look", "/no/file", "", "", "", "").stdout
    assert not machine.notes.exists()


def test_a_higher_limit_of_huge_pages_stays(machine: Machine) -> None:
    machine.pages.write_text("200000\n")
    for name in ("udevadm", "sync", "update-initramfs", "tar"):
        machine.program(name, "exit 0")
    assert machine.run("lay").returncode == 0
    assert machine.pages.read_text() == "200000\n"


def test_who_isn_t_root_is_told_alone(machine: Machine) -> None:
    """The rest fails there, or looks like nothing."""
    machine.program("id", "echo 1000")
    machine.program("vgs", "echo /run/lock/lvm: Permission denied >&2; exit 5")
    done = machine.run("look", "/no/file", "lvm2", "", "", "")
    assert (done.returncode, done.stdout) == (0, "root|1000\n")


def test_a_program_that_fails_isn_t_taken_for_nothing_there(machine: Machine) -> None:
    machine.program("vgs", "exit 5")
    assert machine.run("look", "/no/file", "", "", "", "").returncode == 5
    machine.program("vgs", "exit 0")
    machine.program("ovs-vsctl", "exit 1")
    assert machine.run("install", "lvm2").returncode == 0
    said = machine.run("look", "/no/file", "lvm2", "", "", "").stdout
    assert "uses|openvswitch-switch|bridges, maybe" in said


def test_a_key_is_let_in_once_and_no_more(machine: Machine) -> None:
    key = 'from="127.0.0.1" ecdsa-sha2-nistp256 AAAA+/= rack-lab'
    users = r'command="printf \n" ssh-ed25519 BBBB user'
    sshd = machine.calls.with_name("sshd")
    sshd.write_text("#!/bin/sh\n")
    sshd.chmod(0o755)
    machine.keys.parent.mkdir()
    machine.keys.write_text(users)  # without a newline
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
