"""The linters of this project's Go: gofmt, go vet and staticcheck, which is built once and kept.

`make check-go`. Staticcheck's version and checksums are pinned in go.mod and go.sum beside this.
"""

import subprocess
import sys
from pathlib import Path

from alpine.programs import PROGRAMS
from artefacts import CommandFailed, golang
from artefacts.cache import shared_folder

HERE = Path(__file__).parent
STATICCHECK = "honnef.co/go/tools/cmd/staticcheck"
TAGS = "consul"  # tests beside real agents are looked at, too


def main() -> int:
    """Print what the linters have to say; 1 if that is anything."""
    folder = PROGRAMS["control-plane"].folder
    unformatted = _output(["gofmt", "-l", "."], folder)
    staticcheck = golang.program(HERE, "staticcheck", STATICCHECK)
    said = [f"not as gofmt has it: {name}" for name in unformatted.splitlines()]
    for argv in (["go", "vet", f"-tags={TAGS}"], [staticcheck, f"-tags={TAGS}"]):
        said += _output([*argv, "./..."], folder).splitlines()
    print("\n".join(said) or "gofmt, go vet and staticcheck have nothing to say")
    return 1 if said else 0


def _output(argv: list[str | Path], folder: Path) -> str:
    """What a linter says of the module in `folder`; with a failure that says nothing, its code."""
    env = golang.go_environment() | {"STATICCHECK_CACHE": str(shared_folder("go", "staticcheck"))}
    done = subprocess.run(argv, cwd=folder, env=env, capture_output=True, text=True, check=False)
    told = done.stdout + done.stderr
    return told or (f"{argv[0]}: exit code {done.returncode}" if done.returncode else "")


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CommandFailed as error:
        sys.exit(str(error))
