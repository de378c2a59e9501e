"""A stack under test: its settings, running Pulumi and lab on it, changing its topology.

Owns making and removing such a stack, and how commands are run and shown. Leaves what is
proved to the tests.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from config.load import FOLDER, read_topology
from plugins.build import environment, tools

PROJECT = FOLDER.parent
HANG_S = 2400
TOLD = 2000  # characters: the end of what a failed command printed
OTHER_NETWORKS = {
    f"networks/{name}/cidr": f"10.78.{number}.0/24"
    for number, name in enumerate(["isp", "internet", "lan", "storage", "wan", "ipmi"], 1)
}
"""Changes of a topology: networks that no shipped one has."""
OPERATIONS = dict.fromkeys(("create-replacement", "delete-replaced"), "replace")


@dataclass(frozen=True)
class Rack:
    """The stack under test; `topology` is its file, which a test may change from `original`."""

    stack: str
    settings: Path
    topology: Path
    original: str
    environ: dict[str, str]

    def pulumi(self, *arguments: str, check: bool = True) -> str:
        """Run Pulumi on the stack; what it printed."""
        return self._run("pulumi", *arguments, "--stack", self.stack, check=check)

    def planned(self) -> dict[str, str]:
        """What a preview would do, by the resource's name: create, update, replace or delete."""
        done = self._run("pulumi", "preview", "--json", "--stack", self.stack, apart=True)
        steps = {
            (step["urn"].rsplit("::", 1)[-1], step["op"]) for step in json.loads(done)["steps"]
        }
        found = {name: OPERATIONS.get(op, op) for name, op in sorted(steps) if op != "same"}
        print(found)
        return found

    def killed(self, operation: str, reached: Callable[[], bool], *options: str) -> bool:
        """Start an operation and kill Pulumi once that is reached; False: it ended before."""
        argv = ["pulumi", operation, "--yes", "--skip-preview", "--stack", self.stack, *options]
        print(f"$ {' '.join(argv)}  # to be killed")
        with subprocess.Popen(argv, cwd=PROJECT, env=self.environ) as launcher:
            while launcher.poll() is None and not reached():
                time.sleep(0.05)
            with suppress(ProcessLookupError, subprocess.CalledProcessError):
                # by its name: what outlived its own parent is the launcher's child too
                look = ["pgrep", "--parent", str(launcher.pid), "--exact", "pulumi"]
                os.kill(int(subprocess.check_output(look, text=True)), signal.SIGKILL)
        return launcher.returncode == 128 + signal.SIGKILL

    def lab(self, *arguments: str, check: bool = True) -> str:
        """Run the lab command on the stack; what it printed."""
        return self._run("lab", "--stack", self.stack, *arguments, check=check)

    def status(self) -> dict[str, Any]:
        """The machines of `lab status --json`."""
        found: dict[str, Any] = json.loads(self.lab("status", "--json"))["machines"]
        return found

    def lab_machine(self, script: str) -> str:
        """Run a shell script on the lab machine."""
        return self.lab("ssh", "labmachine", "--", "sh", "-c", script)

    def change(self, dotted: str, value: object) -> None:
        """Set a key of the stack's topology."""
        data = yaml.safe_load(self.topology.read_text())
        *parents, last = dotted.split("/")
        place = data
        for part in parents:
            place = place[part]
        place[last] = value
        self.topology.write_text(yaml.safe_dump(data, sort_keys=False))

    def reset_topology(self) -> None:
        """Undo what was changed."""
        self.topology.write_text(self.original)

    def _run(self, *argv: str, check: bool = True, apart: bool = False) -> str:
        """What the command printed; `apart`: only to standard output."""
        began = time.monotonic()
        print(f"$ {' '.join(argv)}", flush=True)
        said = []
        with subprocess.Popen(
            argv, cwd=PROJECT, env=self.environ, text=True, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=None if apart else subprocess.STDOUT,
        ) as process:  # fmt: skip
            hangs = threading.Timer(HANG_S, process.kill)
            hangs.start()
            try:
                assert process.stdout
                for line in process.stdout:
                    said.append(line)
                    if not apart:
                        print(line, end="", flush=True)
                code = process.wait()
            finally:
                hangs.cancel()
        print(f"# {time.monotonic() - began:.0f} s, code {code}", flush=True)
        output = "".join(said)
        if check:
            assert code == 0, f"{' '.join(argv)} ended with {code}:\n{output[-TOLD:]}"
        return output


@contextmanager
def packaged(folder: str, package: str) -> Iterator[None]:
    """Images with this folder of guest/ have one package more, for a while."""
    file = PROJECT / "guest" / folder / "packages"
    before = file.read_text()
    assert package not in before
    file.write_text(f"{before}{package}\n")
    try:
        yield
    finally:
        file.write_text(before)


@contextmanager
def stack(
    name: str,
    folder: Path,
    changes: Mapping[str, object],
    base: str = "mini",
    *,
    keep: bool = False,
    options: Mapping[str, str] | None = None,
) -> Iterator[Rack]:
    """A stack over a shipped topology with changed keys; destroyed and removed, whatever happens.

    The lab machine runs, unless `up` goes back to what was kept, which starts it.
    `changes` are by path, e.g. "networks/lan/cidr"; `keep` and `options` are `lab:` ones.
    """
    topology = folder / f"{name}.yaml"
    original = yaml.safe_dump(read_topology(FOLDER / f"{base}.yaml"), sort_keys=False)
    topology.write_text(original)
    settings = PROJECT / f"Pulumi.{name}.yaml"
    config: dict[str, object] = {f"lab:{key}": value for key, value in (options or {}).items()}
    config |= {"lab:topology": str(topology.with_suffix("")), "lab:keep": keep}
    settings.write_text(yaml.safe_dump({"config": config}))
    environ = os.environ | environment(tools())
    environ["PULUMI_DEBUG_COMMANDS"] = "true"  # `--event-log` is one for debugging
    environ["PATH"] = os.pathsep.join([str(Path(sys.prefix) / "bin"), environ["PATH"]])
    rack = Rack(name, settings, topology, original, environ)
    for path, value in changes.items():
        rack.change(path, value)
    rack.pulumi("stack", "select", "--create")
    rack.lab("machine", "up", "--unless-kept")
    try:
        yield rack
    finally:
        rack.lab("unlock", check=False)
        rack.pulumi("destroy", "--yes", "--skip-preview", check=False)
        rack.pulumi("stack", "rm", "--yes", "--force", check=False)
        settings.unlink(missing_ok=True)
