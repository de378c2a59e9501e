"""How this project builds a Go program.

Owns the Go environment (everything go writes stays in the artefact cache) and the naming
of what was built. Leaves which programs, and their flags, to `plugins.build`. Every go.sum
is committed, so no checksum database is asked: some modules are not in it.
"""

import os
import sys
from functools import cache
from pathlib import Path

from artefacts import cache_root, cached, digest, run

MODULES = Path(__file__).resolve().parent
NEEDS_GO = "Go builds Pulumi's plugins; ./setup.sh installs it."


def go(module: str, *arguments: str) -> str:
    """The output of `go ARGUMENTS` in the folder of `module`.

    Raises:
        CommandFailed: if go is missing or fails; the message ends with its last lines.
    """
    return run(["go", *arguments], cwd=MODULES / module, env=_environment(), hint=NEEDS_GO)


def program(module: str, name: str, package: str = ".", variables: str = "") -> Path:
    """The program `name`, built from `package` of `module` unless the cache has it.

    `variables` is more for the linker (`-X path.Name=value`).
    """

    def build(folder: Path) -> None:
        flags = f"-s -w {variables}".strip()
        output = str(folder / name)
        go(
            module,
            "build",
            "-trimpath",
            "-buildvcs=false",
            "-ldflags",
            flags,
            "-o",
            output,
            package,
        )

    key = digest(_sources(module), package, variables, _version())
    return cached("tools", f"{name}-{key}", build, title=f"building {name}") / name


def _sources(module: str) -> str:
    files = sorted(p for p in (MODULES / module).rglob("*") if p.is_file() and _compiled(p))
    return digest(*(part for file in files for part in (file.name, file)))


def _compiled(path: Path) -> bool:
    return path.suffix in {".go", ".mod", ".sum", ".json"} and not path.name.endswith("_test.go")


@cache
def _version() -> str:
    return run(["go", "version"], env=_environment(), hint=NEEDS_GO).strip()


def _environment() -> dict[str, str]:
    home = cache_root() / "go"
    settings = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return {
        "GOENV": str(settings / "go" / "env"),  # the user's proxy settings still count
        **os.environ,
        # requirements.lock pins a Go; the same everywhere, and a bare machine has no other
        "PATH": os.pathsep.join([str(Path(sys.prefix) / "bin"), os.environ.get("PATH", "")]),
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOPATH": str(home),
        "GOMODCACHE": str(home / "mod"),
        "GOCACHE": str(home / "build"),
        "XDG_CONFIG_HOME": str(home / "config"),  # where go keeps its usage counters
    }
