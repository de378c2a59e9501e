"""How this project builds a Go program.

Owns the Go environment (everything go writes stays in the artefact cache), the naming of what
was built, and edits of a dependency's source. Leaves which programs, their flags and edits to
`plugins.build` and `alpine.programs`. Every go.sum is committed, so no checksum database is
asked: some modules are not in it.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from artefacts.cache import cache_root, cached, digest, shared_folder
from artefacts.environment import environment
from artefacts.process import CommandFailed, run

DOWNLOADS = ("GOPROXY", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOAUTH")
NEEDS_GO = "Go compiles this project's programs; ./setup.sh installs it."


@dataclass(frozen=True)
class Edit:
    """In `file` of a module that a program depends on, `find` becomes `replace`.

    For what the module has no option for. `find` stands there exactly once, so that another
    version of the module can't take the edit in a place nobody looked at.
    """

    module: str
    file: str
    find: str
    replace: str


def read_edits(path: Path) -> tuple[Edit, ...]:
    """The edits of a JSON file: a list of objects with an edit's fields, texts in lines."""
    found = json.loads(path.read_text())
    lines = ("find", "replace")
    return tuple(Edit(**each | {key: "\n".join(each[key]) for key in lines}) for each in found)


def go(
    folder: Path,
    *arguments: str,
    variables: Mapping[str, str] | None = None,
    output: Path | None = None,
) -> str:
    """The output of `go ARGUMENTS` in `folder`, with more variables in the environment.

    With `output` it goes to that file instead, which is there after a failure, too.

    Raises:
        CommandFailed: if go is missing or fails; the message ends with its last lines, with
            `output` those on standard error alone.
    """
    env = _environment() | dict(variables or {})
    return run(["go", *arguments], cwd=folder, env=env, output=output, hint=NEEDS_GO)


def program_key(
    folder: Path, package: str = ".", variables: str = "", edits: Sequence[Edit] = ()
) -> str:
    """The key of what `program` builds, known without building it."""
    changed = [text for each in edits for text in (each.module, each.file, each.find, each.replace)]
    return digest(_sources(folder), package, variables, _version(), *changed)


def program(
    folder: Path,
    name: str,
    package: str = ".",
    variables: str = "",
    edits: Sequence[Edit] = (),
) -> Path:
    """The program `name`, built from `package` in the module `folder` unless the cache has it.

    `variables` is more for the linker (`-X path.Name=value`).
    """

    def build(work: Path) -> None:
        flags = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {variables}".strip()]
        scratch = work / "edited"
        module = _edited(folder, edits, scratch) if edits else folder
        go(module, "build", *flags, "-o", str(work / name), package)
        shutil.rmtree(scratch, ignore_errors=True)

    place = _place(name, program_key(folder, package, variables, edits))
    return cached(str(place.parent), place.name, build, title=f"building {name}") / name


def built(
    folder: Path, name: str, package: str = ".", variables: str = "", edits: Sequence[Edit] = ()
) -> bool:
    """Whether the cache has what `program` with these arguments gives."""
    return (cache_root() / _place(name, program_key(folder, package, variables, edits))).is_dir()


def _place(name: str, key: str) -> Path:
    return Path("tools", f"{name}-{key}")


def apply_edits(edits: Sequence[Edit], sources: Mapping[str, Path]) -> None:
    """Edit the files of the modules; `sources` has each module's folder.

    Raises:
        CommandFailed: an edit's `find` isn't in its file exactly once.
    """
    for edit in edits:
        path = sources[edit.module] / edit.file
        text = path.read_text() if path.is_file() else ""
        if (count := text.count(edit.find)) != 1:
            where = f"{edit.module}: {edit.file}"
            raise CommandFailed(f"{where} has {edit.find!r} {count} times, an edit needs it once")
        path.write_text(text.replace(edit.find, edit.replace))


def _edited(folder: Path, edits: Sequence[Edit], scratch: Path) -> Path:
    """A copy of the module `folder` that takes the edited modules from copies beside it.

    `go build -overlay` refuses files in the module cache. The module is copied too, not just
    its go.mod for `-modfile`, so that the copies' paths are relative: the program records
    them, and the same sources shall give the same bytes wherever they are built.
    """
    shutil.copytree(folder, scratch)
    sources = {edit.module: scratch / "modules" / edit.module for edit in edits}
    for module, copy in sources.items():
        go(folder, "mod", "download", module)
        origin = go(folder, "list", "-m", "-f", "{{.Dir}}", module).strip()
        # content alone: in the module cache everything is read-only
        shutil.copytree(origin, copy, copy_function=shutil.copyfile)
        for path in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
            path.chmod(0o755)
    apply_edits(edits, sources)
    with (scratch / "go.mod").open("a") as modfile:
        modfile.writelines(f"\nreplace {module} => ./modules/{module}\n" for module in sources)
    return scratch


def _sources(folder: Path) -> str:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and _compiled(p))
    return digest(*(part for file in files for part in (str(file.relative_to(folder)), file)))


def _compiled(path: Path) -> bool:
    return path.suffix in {".go", ".mod", ".sum", ".json"} and not path.name.endswith("_test.go")


@cache
def _version() -> str:
    return run(["go", "version"], env=_environment(), hint=NEEDS_GO).strip()


def _environment() -> dict[str, str]:
    home = cache_root() / "go"
    return {
        **environment(),
        **_users_downloads(),
        "GOENV": "off",  # the user's may name another architecture
        "GOOS": "linux",
        "GOARCH": "amd64",
        "GOTOOLCHAIN": "local",  # requirements.lock pins a Go, and that one is used
        "CGO_ENABLED": "0",
        "GOFLAGS": "-mod=readonly",
        "GOPATH": str(home),
        "GOMODCACHE": str(shared_folder("go", "mod")),
        "GOCACHE": str(shared_folder("go", "build")),
        "XDG_CONFIG_HOME": str(home / "config"),  # where go keeps its usage counters
    }


@cache
def _users_downloads() -> dict[str, str]:
    """Where the user's own Go settings say that modules are fetched from."""
    asked = run(["go", "env", "-json", *DOWNLOADS], cwd=Path("/"), hint=NEEDS_GO)
    return {name: value for name, value in json.loads(asked).items() if value}
