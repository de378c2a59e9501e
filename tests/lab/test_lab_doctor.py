"""`lab doctor` looks, and tells no false alarm."""

import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from prepared_host import PREPARED

from artefacts import CommandFailed
from config.access import LabMachine
from config.consul import PROMPT
from config.labmachine import load_labmachine
from config.mirror import Mirror
from config.profile import EMULATED, KEYS, KVM
from config.settings import Settings, load_settings
from lab import doctor, host
from lab.survey import silent
from labmachine import accelerator, machine
from labmachine.state import State


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr(Settings, "write_access", lambda _self: None)
    return load_settings("mini", {"topology": "mini"}.get, keep=False)


def test_it_starts_nothing_for_the_virtual_lab_machine(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refuse(*_arguments: object, **_options: object) -> None:
        raise AssertionError("doctor started a program")

    monkeypatch.setattr(subprocess, "Popen", refuse)
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "none" / "cache"))
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    began = time.monotonic()
    found = {each.about: each for each in doctor.examine(settings)}
    assert time.monotonic() - began < 20
    assert not (tmp_path / "none").exists()
    programs = [found[name] for name in (*doctor.PROGRAMS, "go")]
    assert [each.about for each in programs if not each.fine] == []
    assert found["go"].found == f"{sys.prefix}/bin/go"
    assert "acceleration" in found


def test_it_tells_what_lab_machine_up_would_refuse(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "State", lambda: State(tmp_path / "machine"))
    monkeypatch.setattr("labmachine.preconditions.available_memory", lambda: 8 << 30)
    monkeypatch.setattr(doctor, "available_memory", lambda: 8 << 30)
    off = machine.status(load_labmachine(), State(tmp_path / "machine"))
    monkeypatch.setattr("lab.doctor.machine.status", lambda: off)
    with socket.socket() as others:
        others.bind(("127.0.0.1", 0))
        others.listen()
        hardware = load_labmachine().model_copy(
            update={
                "ssh_port": others.getsockname()[1],
                "disks": {"disk1": 1 << 60},
                "memory": 8 << 30,  # qemu's own doesn't fit beside it
            }
        )
        monkeypatch.setattr(doctor, "load_labmachine", lambda: hardware)
        wrong = {each.about: each.remedy for each in doctor.examine(settings) if not each.fine}
    told = ["memory for the lab machine", "disks of the lab machine", "ssh_port of the lab machine"]
    assert [about for about in wrong if "of the lab" in about or "for the lab" in about] == told
    assert all("labmachine.yaml" in wrong[about] for about in told)


def test_it_tells_of_an_unfinished_way_back(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = State(tmp_path / "machine")
    state.folder.mkdir()
    state.restoring.write_text("formed")
    monkeypatch.setattr(doctor, "State", lambda: state)
    (wrong,) = [each for each in doctor.examine(settings) if each.about == "the lab machine"]
    assert wrong.found == "the way back to snapshot formed isn't finished"
    assert "lab snapshot restore formed" in wrong.remedy


@pytest.mark.parametrize(
    ("exists", "opens", "words"),
    [(False, False, "has no"), (True, False, "gets KVM"), (True, True, "machine up try")],
)
def test_kvm_is_looked_at_only(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, exists: bool, opens: bool, words: str
) -> None:
    device = tmp_path / "kvm"
    if exists:
        device.touch()
    monkeypatch.setattr(accelerator, "DEVICE", device)
    monkeypatch.setattr("os.access", lambda _path, _mode: opens)
    assert words in doctor._acceleration()


SOUND = host.read(PREPARED)


@pytest.mark.parametrize(
    ("found", "wrong"),
    [
        (SOUND, ["ssh://somewhere: reached, has all it needs"]),
        (replace(SOUND, pages=0, held=[("rack-lab-sda", "md9")]),
         ["ssh://somewhere: reached", "vm.nr_overcommit_hugepages 0", "held: rack-lab-sda by md9"]),
        (CommandFailed(["ssh"], "exit code 255", said="no route to host", code=255),
         ["ssh://somewhere: the lab machine must answer: no route to host"]),
    ],
)  # fmt: skip
def test_a_real_lab_machine_is_asked(
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    found: host.Host | CommandFailed,
    wrong: list[str],
) -> None:
    def look(settings: Settings, *, timeout_s: float) -> host.Host:
        assert timeout_s < 60
        if isinstance(found, CommandFailed):
            raise silent(settings, found)
        return found

    monkeypatch.setattr(host, "look", look)
    real = replace(settings, lab=LabMachine("somewhere"), memory=None)
    about = "lab machine"
    told = [each for each in doctor.examine(real) if each.about.startswith(about)]
    assert [each.found for each in told] == wrong
    assert all(each.fine for each in told) == (found == SOUND)


def test_a_report_has_what_its_readers_need_and_no_names(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = replace(SOUND, foreign=["rack-secret-group"], uses=[("lvm2", "secret group")])
    monkeypatch.setattr(host, "look", lambda _settings, **_: odd)
    mirror = Mirror("http://secret-mirror/alpine")
    real = replace(settings, lab=LabMachine("secret-host"), memory=None, mirror=mirror)
    text = "\n".join(doctor.report(real))
    assert "secret" not in text
    assert "lab:alpine is another mirror" in text
    assert "NOT FINE: lab machine, volume groups" in text
    for wanted in ("project ", "this machine: ", "CPU: ", "qemu-system-x86", "lab:nodeCpu"):
        assert wanted in text


def test_a_report_of_a_machine_that_is_silent_tells_that(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def look(settings: Settings, **_: object) -> host.Host:
        raise silent(
            settings, CommandFailed(["ssh"], "exit code 255", said="me@secret: no route", code=255)
        )

    monkeypatch.setattr(host, "look", look)
    real = replace(settings, lab=LabMachine("secret-host"), memory=None)
    text = "\n".join(doctor.report(real))
    assert "NOT FINE: lab machine: (" in text
    assert "secret" not in text
    assert "the real lab machine has" not in text


def test_it_shows_each_value_of_the_profile_and_where_it_is_from(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(doctor, "State", lambda: State(tmp_path))
    set_one = replace(settings, profile=replace(KVM, timing=PROMPT))
    options = {"timing": "prompt", "guestCpu": str(EMULATED.guest_cpu)}
    monkeypatch.setattr("config.stacks.options", lambda _stack: options.get)
    found = {each.about: each.found for each in doctor.examine(set_one)}
    assert found["lab:timing"] == "prompt (set)"
    assert found["lab:guestCpu"].endswith(" (set)")
    assert found["cores of the lab machine"] == "1 (best with tcg)"
    assert found["preloaded into its qemu"].startswith("svm.so")
    assert found["lab:bootsAtOnce"] == "all (of profile kvm)"
    assert found["lab:profile"].startswith("kvm (")
    assert {f"lab:{key}" for key in KEYS} < set(found)
