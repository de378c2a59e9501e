"""Whether KVM really works here, found by booting a small guest on it.

Owns that test and its remembered answer. Opening /dev/kvm proves nothing: inside some
virtual machines it opens, yet a stock kernel never gets to its first line.
"""

import os
import subprocess
from dataclasses import asdict, dataclass
from json import dumps, loads
from pathlib import Path

from artefacts import cache_root, cached, digest, run
from artefacts.namespace import remove_tree
from labmachine.emulator import environment
from labmachine.image import MachineImage
from labmachine.qemu import PROGRAM, Accelerator, probe_argv

DEVICE = Path("/dev/kvm")
DEADLINE_S = 20.0  # a real KVM needs under 2
PROOF = "Unable to mount root fs"  # the kernel's last words without a disk: all of it came up


@dataclass(frozen=True)
class Verdict:
    """Which accelerator to use, and why in one line."""

    accelerator: Accelerator
    reason: str


def opens() -> bool:
    """Whether this user may use KVM at all."""
    return os.access(DEVICE, os.R_OK | os.W_OK)


def accelerator(image: MachineImage) -> Verdict:
    """KVM if a guest boots on it within 20 s, else TCG.

    Asked once per boot of the user's machine, qemu version and kernel; then remembered. Whether
    /dev/kvm opens isn't: a user who joins its group gets KVM at his next login.
    """
    if not opens():
        return Verdict("tcg", f"{DEVICE} can't be opened for reading and writing")
    boot = Path("/proc/sys/kernel/random/boot_id").read_text()
    version = run([PROGRAM, "--version"], env=environment())
    key = digest(boot, os.uname().release, version, image.kernel, "a guest on it")

    def test(folder: Path) -> None:
        (folder / "verdict.json").write_text(dumps(asdict(_try_kvm(image))))

    def ask() -> Verdict:
        folder = cached("accelerator", key, test, title="trying KVM with a small guest")
        return Verdict(**loads((folder / "verdict.json").read_text()))

    try:
        return ask()
    except (OSError, ValueError):  # torn, as by a file system that was repaired
        remove_tree(cache_root() / "accelerator" / key)
        return ask()


def _try_kvm(image: MachineImage) -> Verdict:
    seen = ""
    try:
        done = subprocess.run(
            probe_argv(image, "kvm"), capture_output=True, timeout=DEADLINE_S,
            check=False, stdin=subprocess.DEVNULL, env=environment(),
        )  # fmt: skip
        seen = (done.stdout + done.stderr).decode(errors="replace")
        failure = f"qemu ended with code {done.returncode}"
    except subprocess.TimeoutExpired as error:
        seen = (error.stdout or b"").decode(errors="replace")
        failure = f"a guest didn't boot within {DEADLINE_S:.0f} s"
    if PROOF in seen:
        return Verdict("kvm", "a guest booted on it")
    last = next((line.strip() for line in reversed(seen.splitlines()) if line.strip()), "nothing")
    return Verdict("tcg", f"{DEVICE} opens, but {failure}; last seen: {last}")
