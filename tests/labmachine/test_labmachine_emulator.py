"""Which qemu runs, and on what."""

import subprocess
from pathlib import Path

import pytest

from artefacts.debian import Lock
from config.errors import ConfigError
from config.profile import KVM_PROOF
from labmachine import accelerator, emulator
from labmachine.accelerator import Verdict
from labmachine.image import MachineImage


def test_qemu_is_pinned() -> None:
    locked = {each.name: each for each in Lock.read(emulator.LOCK).packages}
    assert set(emulator.PACKAGES) <= locked.keys()
    assert all(len(each.sha256) == 64 for each in locked.values())


@pytest.mark.parametrize(
    ("argument", "preloaded"),
    [("kvm", ""), ("kvm,kernel-irqchip=on", ""), ("tcg,thread=multi", "svm.so"), ("", "svm.so")],
)
def test_the_correction_is_for_emulated_svm(tmp_path: Path, argument: str, preloaded: str) -> None:
    folder = tmp_path / "my rack ü#1%41"
    loader = folder / "root/usr/lib64/ld-linux-x86-64.so.2"
    loader.parent.mkdir(parents=True)
    loader.write_text('#!/bin/sh\nfor each; do echo "$each"; done\n')
    program = folder / "qemu-system-x86_64"
    program.write_text(emulator.WRAPPER)
    for each in (loader, program):
        each.chmod(0o755)
    argv = [str(program), *(["-accel", argument] if argument else ["a b"])]
    told = subprocess.run(argv, capture_output=True, text=True, check=True).stdout.splitlines()
    assert told[told.index("--preload") + 1] == preloaded
    assert f"{folder}/root/usr/bin/qemu-system-x86_64" in told
    assert told[-1] == argv[-1]


@pytest.fixture
def opens(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[bool]:
    """Whether /dev/kvm opens; a guest boots on it."""
    answer = [False]
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("os.access", lambda _path, _mode: answer[0])
    monkeypatch.setattr(accelerator, "run", lambda _argv, env: "version")
    monkeypatch.setattr(accelerator, "environment", dict)
    monkeypatch.setattr(accelerator, "_try_kvm", lambda _image: Verdict("kvm", "a guest booted"))
    return answer


def test_who_joins_the_group_gets_kvm(opens: list[bool], tmp_path: Path) -> None:
    image = MachineImage(tmp_path)
    image.kernel.write_bytes(b"kernel")
    assert accelerator.accelerator(image).accelerator == "tcg"
    opens[0] = True
    assert accelerator.accelerator(image).accelerator == "kvm"
    opens[0] = False
    assert accelerator.accelerator(image).accelerator == "tcg"


def test_a_torn_verdict_is_not_believed(opens: list[bool], tmp_path: Path) -> None:
    image = MachineImage(tmp_path)
    image.kernel.write_bytes(b"kernel")
    opens[0] = True
    accelerator.accelerator(image)
    (verdict,) = (tmp_path / "cache/accelerator").glob("*/verdict.json")
    verdict.write_text('{"accelerator": "t')
    assert accelerator.accelerator(image).accelerator == "kvm"


@pytest.mark.parametrize(("nested", "off"), [("N", True), ("0", True), ("Y", False), ("1", False)])
def test_kvm_that_does_not_nest_is_refused(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, nested: str, off: bool
) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(accelerator, "MODULES", tmp_path)
    assert accelerator.nesting_off() is None
    file = tmp_path / "kvm_intel/parameters/nested"
    file.parent.mkdir(parents=True)
    file.write_text(f"{nested}\n")
    monkeypatch.setattr(accelerator, "opens", lambda: True)
    monkeypatch.setattr(accelerator, "_try_kvm", lambda _: Verdict("kvm", "a guest booted on it"))
    monkeypatch.setattr(accelerator, "run", lambda *_, **__: f"qemu of {tmp_path}")
    image = MachineImage(tmp_path)
    (tmp_path / "vmlinuz").touch()
    if off:
        with pytest.raises(ConfigError, match="kvm_intel nested=0"):
            accelerator.accelerator(image)
    else:
        assert accelerator.accelerator(image).accelerator == "kvm"


@pytest.mark.parametrize(
    ("says", "verdict"),
    [
        (f"echo starting; sleep 0.6; echo; echo '{KVM_PROOF}'; sleep 60", "a guest booted on it"),
        ("echo early; sleep 60", "a guest said nothing for 1 s; last seen: early"),
        (
            "while sleep 0.1; do echo again; done",
            "a guest didn't boot within 2 s; last seen: again",
        ),
        ("echo no such CPU >&2; exit 3", "qemu ended with code 3; last seen: no such CPU"),
    ],
)
def test_kvm_is_waited_for_while_a_guest_on_it_goes_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, says: str, verdict: str
) -> None:
    monkeypatch.setattr(accelerator, "environment", lambda: None)
    monkeypatch.setattr(accelerator, "probe_argv", lambda _image, _kvm: ["sh", "-c", says])
    monkeypatch.setattr(accelerator, "SILENCE_S", 1.0)
    monkeypatch.setattr(accelerator, "KVM_DEADLINE_S", 2)
    found = accelerator._try_kvm(MachineImage(tmp_path))
    assert found.reason.endswith(verdict)
    assert found.accelerator == ("kvm" if "booted" in verdict else "tcg")
