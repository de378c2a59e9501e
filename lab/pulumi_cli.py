"""Pulumi's command line as this project runs it, and what it says of stacks.

Owns which program that is, with which environment, and reading its JSON. Leaves building it and the
environment's content to `plugins.build`, running operations to `launcher`.
"""

import gzip
import json
import os
import tempfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from artefacts import CommandFailed, LabError, run
from config.load import read_yaml
from config.stacks import PROJECT
from lab.locks import drop_torn, folder_of
from plugins import build

ASK_S = 120
# The program is this project's, with the Python and the modules of its own .venv.
PYTHONS_OWN = ("PYTHONHOME", "PYTHONPATH", "PULUMI_PYTHON_CMD")
STATE_ENDS = (".json", ".json.gz")  # of the file of a stack's state


@dataclass(frozen=True)
class Pulumi:
    """The program, the whole environment it runs in, and why it isn't the user's own."""

    program: Path
    environment: dict[str, str]
    passed_over: str = ""

    def ask(self, *arguments: str) -> str:
        """What it prints in this project's folder, asking nobody.

        Raises:
            LabError: it fails; with what it said.
        """
        argv = [str(self.program), *arguments, "--non-interactive", "--color=never"]
        return run(argv, cwd=PROJECT, env=self.environment, timeout_s=ASK_S)

    @property
    def backend(self) -> str:
        """The URL that the environment names; "" where Pulumi's own login counts."""
        return self.environment.get("PULUMI_BACKEND_URL", "")


@dataclass(frozen=True)
class Known:
    """A stack as Pulumi has it: `resources` counts its own entry; `updated`: an ISO 8601 time.

    `problem`: why its state can't be read, if it can't.
    """

    resources: int
    updated: str
    problem: str = ""

    @property
    def raised(self) -> bool:
        """Whether there is, or may be, more than the stack's own entry and its outputs."""
        return self.resources > 1 or bool(self.problem)


@cache
def pulumi() -> Pulumi:
    """The tools, built if the cache lacks them."""
    own = build.users_own()
    tools = build.tools(own)
    users = {name: value for name, value in os.environ.items() if name not in PYTHONS_OWN}
    environment = {**users, **build.environment(tools)}
    return Pulumi(tools / "bin" / "pulumi", environment, own.passed_over)


def backend() -> str:
    """The backend's URL, "" where Pulumi's own login counts; builds nothing."""
    return {**os.environ, **build.environment(Path())}.get("PULUMI_BACKEND_URL", "")


def project_name(folder: Path | None = None) -> str:
    """The name in this project's Pulumi.yaml, or in that of a folder; "" where it has none."""
    data = read_yaml((folder or PROJECT) / "Pulumi.yaml")
    return str(data.get("name", "")) if isinstance(data, dict) else ""


def stacks() -> dict[str, Known]:
    """This project's stacks in the backend that the environment names.

    Raises:
        LabError: the backend can't be asked.
    """
    folder = folder_of(backend())
    if folder is not None and not (folder / ".pulumi").exists():
        return {}  # nothing was ever raised: that needs no tools
    try:
        said = json.loads(pulumi().ask("stack", "ls", "--json"))
    except CommandFailed:
        if drop_torn(backend()):
            return stacks()
        found = {} if folder is None else dict(_in_files(folder))
        if not any(each.problem for each in found.values()):
            raise
        return found
    return {
        each["name"].rsplit("/", 1)[-1]: Known(
            each.get("resourceCount") or 0, each.get("lastUpdate") or ""
        )
        for each in said
    }


def _in_files(backend: Path) -> Iterator[tuple[str, Known]]:
    """The stacks of a folder, where `pulumi stack ls` names none as one's state is damaged."""
    for file in sorted(_kept(backend).glob("*.json*")):
        stack, _, ending = file.name.partition(".")
        if f".{ending}" in STATE_ENDS:
            yield stack, _in_file(file)


def _kept(backend: Path) -> Path:
    """Where a backend that is a folder has this project's states."""
    return backend / ".pulumi" / "stacks" / project_name()


def state_file(backend: Path, stack: str) -> Path | None:
    """A stack's state in a backend that is a folder, if it has one.

    Beside it may be what is left of a stack that was removed, STACK.json.bak.
    """
    files = (_kept(backend) / f"{stack}{end}" for end in STATE_ENDS)
    return next(filter(Path.exists, files), None)


def _in_file(file: Path) -> Known:
    try:
        content = file.read_bytes()
        text = gzip.decompress(content) if file.suffix == ".gz" else content
        latest = json.loads(text)["checkpoint"]["latest"] or {}
        resources, manifest = latest.get("resources") or [], latest.get("manifest") or {}
        return Known(len(resources), str(manifest.get("time", "")))
    except (OSError, EOFError, zlib.error, ValueError, KeyError, TypeError, AttributeError):
        problem = f"Pulumi's state of it can't be read: {file}; the one before is {file}.bak"
        return Known(0, "", problem)


def damage(stack: str, backend_url: str) -> str:
    """Why a stack's state can't be read, where it is in a folder and damaged; else ""."""
    folder = folder_of(backend_url)
    file = state_file(folder, stack) if folder else None
    return _in_file(file).problem if file else ""


def clear_pending(stack: str) -> None:
    """Drop what a run that was killed had begun and a later one has made.

    Pulumi itself drops it by a refresh alone, and warns at each `up` until then.
    """
    exported = json.loads(pulumi().ask("stack", "export", "--stack", stack))
    if not (exported.get("deployment") or {}).pop("pending_operations", None):
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:  # 0600
        json.dump(exported, file)
        file.flush()
        pulumi().ask("stack", "import", "--stack", stack, "--file", file.name)


def state(stack: str) -> dict[str, Any]:
    """A stack's state as it is at this moment, also while an operation goes on.

    Raises:
        LabError: there is none, or the backend can't be asked.
    """
    said = pulumi().ask("stack", "export", "--stack", stack)
    try:
        found = json.loads(said)["deployment"]
    except (ValueError, KeyError, TypeError) as error:
        raise LabError(f"the state of stack {stack} can't be read: {error}") from error
    return found if isinstance(found, dict) else {}
