"""A sandbox for the machines' scripts: their absolute paths lead into a temporary folder."""

import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

GUEST = Path(__file__).parents[2] / "guest"
ABSOLUTE = re.compile(
    r"(?<![\w$}/.:])/(etc/rack|usr/lib/rack|dev/|proc/mdstat|run|srv|media|var/lib)"
)


@dataclass
class Sandbox:
    """Scripts under `root`, fake programs under `bin` that note their calls in `calls`."""

    root: Path
    environment: dict[str, str] = field(default_factory=dict)

    def script(self, source: str) -> Path:
        """Copy a script of guest/ here."""
        target = self.root / "bin" / Path(source).name
        target.write_text(self.inside((GUEST / source).read_text()))
        target.chmod(0o755)
        return target

    def inside(self, text: str) -> str:
        """A script's text with its paths below the root; /dev/null stays what it is."""
        rewritten = ABSOLUTE.sub(lambda found: f"{self.root}{found.group(0)}", text)
        return rewritten.replace(f"{self.root}/dev/null", "/dev/null")

    def file(self, path: str, text: str = "") -> Path:
        """A file below the root."""
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return target

    def fake(self, name: str, body: str = "") -> None:
        """A program on PATH that notes its arguments, then runs `body`."""
        text = f'#!/bin/sh\necho "{name} $*" >>{self.root}/calls\n{body}\n'
        target = self.root / "bin" / name
        target.write_text(text)
        target.chmod(0o755)

    def calls(self) -> str:
        """Every call of a fake program, one a line."""
        log = self.root / "calls"
        return log.read_text() if log.exists() else ""

    def run(self, script: str, *words: str, stdin: bytes = b"") -> subprocess.CompletedProcess[str]:
        """Run a copied script; the result's streams are text."""
        path = f"{self.root}/bin:{os.environ['PATH']}"
        done = subprocess.run(
            ["sh", str(self.root / "bin" / script), *words],
            input=stdin, capture_output=True, check=False, env={"PATH": path}, timeout=60,
        )  # fmt: skip
        return subprocess.CompletedProcess(
            done.args, done.returncode, done.stdout.decode(), done.stderr.decode()
        )
