"""line.sh: what it has Open vSwitch and tc do, with fake ones."""

import os
import subprocess
from pathlib import Path

import pytest

from equipment import FOLDER

OWN = ("lab-wan", "lab-abcdef", "rack-lab.lab")


@pytest.fixture
def programs(tmp_path: Path) -> Path:
    """A folder of fakes that note their calls; OWNER and QDISC are what they tell."""
    for name, says in (("ovs-vsctl", "OWNER"), ("ip", ""), ("tc", "QDISC")):
        fake = tmp_path / name
        told = f'case " $* " in *" get "* | *" show "*) echo "${says}" ;; esac' if says else ""
        fake.write_text(f'#!/bin/sh\necho "{name} $*" >>{tmp_path}/calls\n{told}\n')
        fake.chmod(0o755)
    return tmp_path


def run(programs: Path, *words: str, owner: str = OWN[2], qdisc: str = "") -> tuple[int, str]:
    path = f"{programs}:{os.environ['PATH']}"
    (programs / "calls").write_text("")
    done = subprocess.run(
        ["sh", str(FOLDER / "line.sh"), *words],
        env={"PATH": path, "OWNER": owner, "QDISC": qdisc}, check=False, timeout=60,
    )  # fmt: skip
    return done.returncode, (programs / "calls").read_text()


def test_both_ends_get_the_line_s_words(programs: Path) -> None:
    code, calls = run(programs, "apply", *OWN, "delay", "40ms", "loss", "2%")
    assert code == 0
    for end in ("n", "f"):
        assert f"tc qdisc add dev lab-abcdef.{end} root netem delay 40ms loss 2%\n" in calls
    assert "--may-exist add-port lab-wan lab-abcdef.n" in calls
    assert "tc qdisc del" not in calls


def test_what_was_there_is_forgotten(programs: Path) -> None:
    """tc changes a netem in place and keeps its rate, corruption and reordering."""
    code, calls = run(programs, "apply", *OWN, "loss", "1%", qdisc="qdisc netem 8001: rate 1Mbit")
    assert code == 0
    there = calls.index("tc qdisc del dev lab-abcdef.n root\n")
    assert there < calls.index("tc qdisc add dev lab-abcdef.n root netem loss 1%\n")


def test_another_stack_s_bridge_is_left_alone(programs: Path) -> None:
    code, calls = run(programs, "apply", *OWN, "loss", "1%", owner="rack-lab.other")
    assert code == 1
    assert "add-port" not in calls and "tc " not in calls
    code, calls = run(programs, "remove", *OWN, owner="rack-lab.other")
    assert code == 0
    assert "del-br" not in calls


def test_removed_it_leaves_nothing(programs: Path) -> None:
    code, calls = run(programs, "remove", *OWN)
    assert code == 0
    assert "del-port lab-wan lab-abcdef.n" in calls
    assert "del-br lab-abcdef" in calls
