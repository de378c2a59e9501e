"""Building all that a stack needs, side by side, before anything is started.

Owns which builds are independent of each other, and telling what is built, how far it is and how
long it will take. Leaves the building to `plugins`, `alpine` and `labmachine`, and that nothing is
built twice to the cache. `python -m lab.build PART STACK` builds one part.
"""

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import MappingProxyType

from alpine import boottree, image, kernelbuild, programs
from alpine.release import chosen
from artefacts import cache_root, run
from artefacts.process import ending_together
from config import stacks
from config.profile import Kernel
from config.settings import PROJECT, Settings, load_settings
from guest import consul
from lab import mirror
from lab.errors import told
from labmachine import accelerator, machine
from labmachine.emulator import emulator
from labmachine.image import machine_image
from labmachine.state import State
from plugins.build import tools, users_own

LOGS = PROJECT / ".lab" / "build"
SILENT_S = 5.0  # what is in the cache is found within that
REPORT_S = 60.0


@dataclass(frozen=True)
class Part:
    """One of the independent builds; `work` is what it took of a core, in minutes (measured)."""

    title: str
    work: float
    build: Callable[[str], object]


def _images(stack: str) -> None:
    settings = _settings(stack)
    release = chosen(settings.mirror, settings.profile.kernel)
    boottree.common_files(release)
    extra = consul.image_folders(settings.topology)
    for role in sorted({each.role for each in settings.topology.machines.values()}):
        image.role_image(role, extra, release)


def _settings(stack: str) -> Settings:
    return load_settings(stack, stacks.options(stack), keep=False)


def _lab_machine(_stack: str) -> None:
    emulator()
    machine_image()


PARTS: Mapping[str, Part] = MappingProxyType({
    "kernel": Part("kernel", 26, lambda _stack: kernelbuild.kernel_root()),
    "tools": Part("Pulumi's command line and plugins", 13, lambda _stack: tools()),
    "programs": Part("consul and the control plane", 6,
                     lambda _stack: [programs.build(name) for name in programs.PROGRAMS]),
    "labmachine": Part("the lab machine's image and qemu", 2, _lab_machine),
    "images": Part("machines' images", 4, _images),
})  # fmt: skip


def build(stack: str) -> None:
    """Build what the cache lacks; says nothing when it has all.

    But of a Pulumi of the user's that can't be used it says why.

    Raises:
        LabError: a part failed; the others have been ended, what they had finished is kept.
    """
    LOGS.mkdir(parents=True, exist_ok=True)
    if said := users_own().passed_over:
        print(said, file=sys.stderr)
    settings = _settings(stack)
    mirror.lock_at_first(settings)
    if settings.virtual and accelerator.opens() and not State().hardware.exists():
        _build_parts(["labmachine"], stack)
        machine.foresee()
        settings = _settings(stack)  # its kernel is the found profile's
    compiled = settings.profile.kernel == Kernel.RACK
    _build_parts([name for name in PARTS if name != "kernel" or compiled], stack)


def _build_parts(names: Sequence[str], stack: str) -> None:
    began = time.monotonic()
    with ending_together() as end, ThreadPoolExecutor(len(names)) as threads:
        running = {name: threads.submit(_build_part, name, stack) for name in names}
        try:
            _watch(running, began)
        finally:
            end()  # the threads end when what they wait for does


def _build_part(name: str, stack: str) -> None:
    log = LOGS / f"{name}.log"
    log.unlink(missing_ok=True)
    run([sys.executable, "-m", "lab.build", name, stack], cwd=PROJECT, log=log, hint=f"all: {log}")


def _watch(running: Mapping[str, Future[None]], began: float) -> None:
    """Until all are done; raises what the first one raises."""
    next_report = began + SILENT_S
    told: set[str] = set()
    while left := [name for name, each in running.items() if not each.done()]:
        for each in running.values():
            if each.done():
                each.result()
        now = time.monotonic()
        # those that look into the cache have said nothing
        if now >= next_report and (building := [name for name in left if _steps(name)]):
            _report(building, told, now - began)
            told.update(building)
            next_report = now + REPORT_S
        time.sleep(0.2)
    for each in running.values():
        each.result()
    if told:
        print(f"✓ built ({(time.monotonic() - began) / 60:.0f} min)", file=sys.stderr, flush=True)


def _report(left: list[str], told: set[str], seconds: float) -> None:
    if not told:
        what = ", ".join(PARTS[name].title for name in left)
        print(
            f"→ building, once for all clones, what {cache_root()} lacks: {what}", file=sys.stderr
        )
        print(f"  logs: {LOGS}", file=sys.stderr)
    rest = rest_of(told.union(left), seconds / 60, len(os.sched_getaffinity(0)))
    print(f"  {seconds / 60:.0f} min; some {rest:.0f} min left:", file=sys.stderr)
    for name in left:
        print(f"    {PARTS[name].title}: {_steps(name)[-1].strip(' →…')}", file=sys.stderr)
    sys.stderr.flush()


def rest_of(missing: Iterable[str], minutes: float, cores: int) -> float:
    """Minutes that are left: the work of all that was missing, on all cores, less what is past.

    Never less than a minute: a slow machine takes longer than the one this was measured on.
    """
    work = sum(PARTS[name].work for name in missing)
    return max(1.0, work / cores - minutes)


def _steps(name: str) -> list[str]:
    """What a part says that it builds; nothing where the cache has all."""
    log = LOGS / f"{name}.log"
    return log.read_text(errors="replace").splitlines() if log.exists() else []


if __name__ == "__main__":
    with told():
        PARTS[sys.argv[1]].build(sys.argv[2])
