"""station.sh: what it has Open vSwitch, ip and systemd do, with fake ones."""

import os
import subprocess
from pathlib import Path

import pytest

from equipment import FOLDER

OWN = ("lab-lan", "lab-ntp", "rack-lab.lab")
PLACE = ("10.77.3.1", "10.77.3.252/24", "udp/123")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of fakes that note their calls.

    OWNER is whose port of that name is there, LISTENER what ss tells, STATE the unit's.
    """
    answers = {
        "ovs-vsctl": 'case " $* " in *" get "*) echo "$OWNER" ;; esac',
        "ip": 'case "$4" in ss) echo "$LISTENER" ;; esac',
        "systemctl": 'case "$1" in is-active) echo "$STATE" ;; esac',
        "journalctl": "echo no such option",
    }
    for name in (*answers, "systemd-run", "chronyd"):
        answer = answers.get(name, "")
        fails = "exit 3" if name == "systemctl" else ""  # the unit isn't active
        fake = tmp_path / name
        fake.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/calls\n{answer}\n{fails}\n')
        fake.chmod(0o755)
    return tmp_path


def run(
    programs: Path,
    *words: str,
    owner: str = OWN[2],
    listener: str = "UNCONN 0 0 0.0.0.0:123 0.0.0.0:*",
    state: str = "active",
) -> tuple[int, str, str]:
    (programs / "calls").write_text("")
    path = f"{programs}:{os.environ['PATH']}"
    done = subprocess.run(
        ["sh", str(FOLDER / "station.sh"), *words], text=True, capture_output=True,
        env={"PATH": path, "OWNER": owner, "LISTENER": listener, "STATE": state},
        check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, (programs / "calls").read_text(), done.stderr


def test_its_program_runs_in_a_namespace_with_a_port_and_a_way_out(programs: Path) -> None:
    code, calls, _ = run(programs, "apply", *OWN, *PLACE, "chronyd", "-x", "local stratum 10")
    assert code == 0
    assert "ip netns exec lab-ntp ip address replace 10.77.3.252/24 dev lab-ntp" in calls
    assert "ip netns exec lab-ntp ip route replace default via 10.77.3.1" in calls
    assert "NetworkNamespacePath=/run/netns/lab-ntp chronyd -x local stratum 10" in calls


def test_a_program_that_is_missing_is_told_before_anything_is_made(programs: Path) -> None:
    """systemd would start it again and again, and tell nobody."""
    code, calls, said = run(programs, "apply", *OWN, *PLACE, "nosuchd")
    assert (code, calls) == (1, "")
    assert "the lab machine has no nosuchd; install it there" in said


@pytest.mark.parametrize("state", ["inactive", "failed"])
def test_a_program_that_ends_instead_of_listening_is_an_error(programs: Path, state: str) -> None:
    code, calls, said = run(programs, "apply", *OWN, *PLACE, "chronyd", listener="", state=state)
    assert code == 1
    assert "ss --no-header --listening --numeric --udp sport = :123" in calls
    assert f"doesn't listen at udp/123, and it is {state}; it last said:\nno such option" in said
    assert said.splitlines()[-1].endswith("journalctl --unit=lab-ntp.service")


def test_a_program_that_listens_at_no_port_is_not_waited_for(programs: Path) -> None:
    code, calls, _ = run(programs, "apply", *OWN, *PLACE[:2], "-", "chronyd", listener="")
    assert code == 0
    assert " ss " not in calls


def test_another_stack_s_port_is_left_alone(programs: Path) -> None:
    code, calls, said = run(programs, "apply", *OWN, *PLACE, "chronyd", owner="rack-lab.other")
    assert code == 1
    assert "remove or rename it" in said
    assert "add-port" not in calls and "systemd-run" not in calls
