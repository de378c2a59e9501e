"""How the engine scales: first previews of racks of many servers, under the real CLI.

Nothing is contacted or created. Prints seconds and memory by resource; run by `make bench-graph`.
"""

import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import yaml

from config.load import FOLDER
from plugins.build import environment, tools

SIZES = (8, 64, 256, 1000)
STACK = "bench"
PROJECT = FOLDER.parent
FILES = (FOLDER / f"{STACK}.yaml", PROJECT / f"Pulumi.{STACK}.yaml")


def topology(servers: int) -> dict[str, Any]:
    """config/rack.yaml's networks with a laptop, a router and compute nodes, `servers` in all."""
    rack: dict[str, Any] = yaml.safe_load((FOLDER / "rack.yaml").read_text())
    for number, network in enumerate(rack["networks"].values(), 1):
        network["cidr"] = f"10.{number}.0.0/16"
    kept = {name: rack["machines"][name] for name in ("laptop", "router")}
    machines = kept | {
        f"compute{number}": {
            "role": "compute",
            "host": 1000 + number,
            "bmc": 1000 + number,
            "networks": ["lan", "wan"],
            "memory": "256MiB",
        }
        for number in range(1, servers)
    }
    return rack | {"machines": machines, "reach": {}}


def preview(servers: int) -> tuple[int, float, float]:
    """Resources of a first preview, its seconds, and the most MiB one of its processes had."""
    FILES[0].write_text(yaml.safe_dump(topology(servers)))
    # "local" so that no memory is checked; a preview contacts nothing.
    FILES[1].write_text(yaml.safe_dump({"config": {"lab:topology": STACK, "lab:machine": "local"}}))
    environ = os.environ | environment(tools())
    environ["PATH"] = os.pathsep.join([str(Path(sys.prefix) / "bin"), environ["PATH"]])

    def pulumi(*words: str) -> str:
        argv = ["pulumi", *words, "--stack", STACK]
        return subprocess.run(argv, cwd=PROJECT, env=environ, check=True, text=True,
                              stdout=subprocess.PIPE).stdout  # fmt: skip

    pulumi("stack", "select", "--create")
    try:
        began = time.monotonic()
        steps = json.loads(pulumi("preview", "--json"))["steps"]
        took = time.monotonic() - began
    finally:
        pulumi("stack", "rm", "--yes", "--force")
        for file in FILES:
            file.unlink(missing_ok=True)
    return len(steps), took, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


def main() -> None:
    """Print one line a size."""
    sizes = [int(word) for word in sys.argv[1:]] or SIZES
    print(f"{'servers':>8} {'resources':>10} {'seconds':>8} {'s/resource':>11} {'peak MiB':>9}")
    for servers in sizes:
        count, took, peak = preview(servers)
        print(f"{servers:8} {count:10} {took:8.1f} {took / count:11.4f} {peak:9.0f}", flush=True)


if __name__ == "__main__":
    main()
