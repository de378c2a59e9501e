"""Whether KVM really works here, found by booting a small guest on it.

Owns that test and its remembered answer. Inside some virtual machines /dev/kvm opens, yet a stock
kernel never gets to its first line. Leaves a real lab machine's to `lab.host`.
"""

import os
import select
import subprocess
import time
from dataclasses import asdict, dataclass
from json import dumps, loads
from pathlib import Path

from artefacts import cache_root, cached, digest, run
from artefacts.namespace import remove_tree
from config.errors import ConfigError, Problem
from config.profile import KVM_DEADLINE_S, KVM_PROOF
from labmachine.emulator import environment
from labmachine.image import MachineImage
from labmachine.qemu import PROGRAM, Accelerator, probe_argv

DEVICE = Path("/dev/kvm")
MODULES = Path("/sys/module")
SILENCE_S = 20.0  # a KVM on real silicon has booted it within 2


@dataclass(frozen=True)
class Verdict:
    """Which accelerator to use, and why in one line."""

    accelerator: Accelerator
    reason: str


def nesting_off() -> Problem | None:
    """What is wrong where KVM's guests can't run guests, as nodes do; None if they can."""
    for module in ("kvm_intel", "kvm_amd"):
        nested = MODULES / module / "parameters/nested"
        if nested.exists() and nested.read_text().strip() not in ("Y", "1"):
            return Problem(
                "KVM", f"{module} nested=0", "nodes run guests of their own, which needs nesting",
                f"as root: echo options {module} nested=1 >/etc/modprobe.d/rack-lab.conf; "
                f"modprobe --remove {module}; modprobe {module}",
            )  # fmt: skip
    return None


def opens() -> bool:
    """Whether this user may use KVM at all."""
    return os.access(DEVICE, os.R_OK | os.W_OK)


def accelerator(image: MachineImage) -> Verdict:
    """KVM if a guest boots on it, else TCG.

    Asked once per boot of the user's machine, qemu version, kernel and way of trying; then
    remembered. Whether /dev/kvm opens isn't: a user who joins its group gets KVM at his next login.

    Raises:
        ConfigError: it works, and its guests can run no guests.
    """
    if not opens():
        return Verdict("tcg", f"{DEVICE} can't be opened for reading and writing")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    version = run([PROGRAM, "--version"], env=environment())
    key = digest(boot, os.uname().release, version, image.kernel, Path(__file__))

    def test(folder: Path) -> None:
        (folder / "verdict.json").write_text(dumps(asdict(_try_kvm(image))))

    def ask() -> Verdict:
        folder = cached("accelerator", key, test, title="trying KVM with a small guest")
        return Verdict(**loads((folder / "verdict.json").read_text()))

    try:
        verdict = ask()
    except (OSError, ValueError):  # torn, as by a file system that was repaired
        remove_tree(cache_root() / "accelerator" / key)
        verdict = ask()
    if verdict.accelerator == "kvm" and (problem := nesting_off()):
        raise ConfigError("this machine", [problem])
    return verdict


def _try_kvm(image: MachineImage) -> Verdict:
    with subprocess.Popen(
        probe_argv(image, "kvm"), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, env=environment(),
    ) as guest:  # fmt: skip
        try:
            said, failure = _heard(guest)
        finally:
            guest.kill()
    if KVM_PROOF in said:
        return Verdict("kvm", "a guest booted on it")
    last = next((line.strip() for line in reversed(said.splitlines()) if line.strip()), "nothing")
    return Verdict("tcg", f"{DEVICE} opens, but {failure}; last seen: {last}")


def _heard(guest: subprocess.Popen[bytes]) -> tuple[str, str]:
    """What a guest says until it has booted, and why no more was waited for."""
    assert guest.stdout
    said, ends = "", time.monotonic() + KVM_DEADLINE_S
    while KVM_PROOF not in said:
        if time.monotonic() >= ends:
            return said, f"a guest didn't boot within {KVM_DEADLINE_S} s"
        if not select.select([guest.stdout], [], [], SILENCE_S)[0]:
            return said, f"a guest said nothing for {SILENCE_S:.0f} s"
        part = os.read(guest.stdout.fileno(), 65536)
        if not part:
            return said, f"qemu ended with code {guest.wait()}"
        said += part.decode(errors="replace")
    return said, ""
