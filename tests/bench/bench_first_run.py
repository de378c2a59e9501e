"""What a first run builds, and how long: offline, and with an Alpine mirror's packages.

`make bench-first-run` (no machine is started): `lab build` of the small rack, each time with an
empty cache. With the mirror the kernel is Alpine's linux-virt, as profile kvm has it. The mirror is
made of the packages that can be had without one, and served on loopback. What both have to fetch
(Debian's packages, Go's modules) comes from where the user's settings say.
"""

import os
import re
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import yaml
from mirrors import served_mirror

from artefacts.namespace import remove_tree
from config.settings import PROJECT
from lab.build import LOGS, PARTS

STACK = "first-run"
SETTINGS = PROJECT / f"Pulumi.{STACK}.yaml"
CACHE = PROJECT / ".lab" / STACK
STEP = re.compile(r"^✓ (.*) \(([0-9.]+) s\)$", re.MULTILINE)  # no step inside another


def main() -> None:
    """Print each way's time, core time and steps."""
    with served_mirror() as served:
        mirror = {"alpine": served.place, "alpineKeys": served.keys}
        first_run("offline, the rack's own kernel", {"kernel": "rack"})
        first_run("a mirror's packages, linux-virt", mirror | {"kernel": "linux-virt"})


def first_run(title: str, options: Mapping[str, str]) -> None:
    """Build with an empty cache and these `lab:` options, and print what it took."""
    remove_tree(CACHE)
    shutil.rmtree(LOGS, ignore_errors=True)
    config = {"lab:topology": "mini"} | {f"lab:{key}": value for key, value in options.items()}
    SETTINGS.write_text(yaml.safe_dump({"config": config}))
    try:
        before, began = _core_seconds(), time.monotonic()
        argv = [str(Path(sys.executable).with_name("lab")), "--stack", STACK, "build"]
        subprocess.run(argv, cwd=PROJECT, env=os.environ | {"LAB_CACHE": str(CACHE)}, check=True)
        took, worked = time.monotonic() - began, _core_seconds() - before
    finally:
        SETTINGS.unlink()
        remove_tree(CACHE)
    print(f"{title}: {took:.0f} s, {worked / 60:.1f} minutes of a core")
    for log in sorted(LOGS.glob("*.log")):
        for step, seconds in STEP.findall(log.read_text()):
            print(f"  {PARTS[log.stem].title}: {step}: {seconds} s", flush=True)


def _core_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    main()
