"""How soon another server serves when the one that does can't: on loopback, with real consuls.

`make bench-takeover` (no machine is started): three servers, each fault twice per run, by the
timing of profile kvm, as nothing is emulated here. What patience costs is told by an emulated
rack's drills (`make test-control`).
"""

import re
import statistics
import sys
import tempfile
from pathlib import Path

from alpine import programs
from artefacts import golang
from config.consul import PROMPT
from config.secrets import derive_certificate
from guest.consul import SERVER_NAME

RUNS = 5
SAID = re.compile(r"OneOfThreeServes/([a-z_]*)|served in ([0-9.]+) s")


def main(runs: int) -> None:
    """Print the median, least and most of each fault."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("a", "b", "c"):
            (Path(folder) / name).mkdir()
            for part, text in vars(derive_certificate("0" * 64, name, SERVER_NAME)).items():
                (Path(folder) / name / f"{part}.pem").write_text(text)
        said = golang.go(
            programs.PROGRAMS["control-plane"].folder, "test", "-trimpath", "-vet=off",
            "-tags=consul", "-v", f"-count={runs}", "-timeout=60m", "-run=TestOneOfThreeServes",
            "./internal/server", variables={
                "CONSUL": str(programs.build("consul")), "CERTIFICATES": folder,
                "SERVER_NAME": SERVER_NAME, "RAFT_MULTIPLIER": str(PROMPT.raft_multiplier),
                "PROOF_SECONDS": str(PROMPT.proof_s), "DISK_SECONDS": str(PROMPT.disk_s),
            },
        )  # fmt: skip
        for fault, seconds in _by_fault(said).items():
            middle, least, most = statistics.median(seconds), min(seconds), max(seconds)
            print(
                f"{PROMPT.name}, {fault.replace('_', ' ')}: {middle:.1f} s "
                f"({least:.1f} to {most:.1f}, {len(seconds)} times)", flush=True,
            )  # fmt: skip


def _by_fault(said: str) -> dict[str, list[float]]:
    fault, found = "", dict[str, list[float]]()
    for name, seconds in SAID.findall(said):
        if name:
            fault = name
        else:
            found.setdefault(fault, []).append(float(seconds))
    return found


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else RUNS)
