"""How this project builds a Go program.

Owns the Go environment (everything go writes stays in the artefact cache), the naming of what
was built, and patches of a dependency's source. Leaves which programs, their flags and patches to
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
from artefacts.process import run

DOWNLOADS = ("GOPROXY", "GONOPROXY", "GOPRIVATE", "GOINSECURE", "GOAUTH")
NEEDS_GO = "Go compiles this project's programs; ./setup.sh installs it."


@dataclass(frozen=True)
class Patch:
    """A patch file for a module that a program depends on, for what it has no option for.

    It is one of git's or diff's, `a/` and `b/` before the paths; what stands before the first
    `diff` says why.
    """

    module: str
    file: Path


def patches_below(folder: Path) -> tuple[Patch, ...]:
    """The patches `folder/MODULE/NNNN-what.patch`, in the order in which they are applied."""
    files = sorted(folder.rglob("*.patch"))
    return tuple(Patch(str(file.parent.relative_to(folder)), file) for file in files)


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
    env = go_environment() | dict(variables or {})
    return run(["go", *arguments], cwd=folder, env=env, output=output, hint=NEEDS_GO)


def program_key(
    folder: Path, package: str = ".", variables: str = "", patches: Sequence[Patch] = ()
) -> str:
    """The key of what `program` builds, known without building it."""
    patched = [part for each in patches for part in (each.module, each.file)]
    return digest(_sources(folder), package, variables, _version(), *patched)


def program(
    folder: Path,
    name: str,
    package: str = ".",
    variables: str = "",
    patches: Sequence[Patch] = (),
) -> Path:
    """The program `name`, built from `package` in the module `folder` unless the cache has it.

    `variables` is more for the linker (`-X path.Name=value`).
    """

    def build(work: Path) -> None:
        flags = ["-trimpath", "-buildvcs=false", "-ldflags", f"-s -w {variables}".strip()]
        scratch = work / "patched"
        module = patched(folder, patches, scratch) if patches else folder
        go(module, "build", *flags, "-o", str(work / name), package)
        shutil.rmtree(scratch, ignore_errors=True)

    place = _place(name, program_key(folder, package, variables, patches))
    return cached(str(place.parent), place.name, build, title=f"building {name}") / name


def built(
    folder: Path, name: str, package: str = ".", variables: str = "", patches: Sequence[Patch] = ()
) -> bool:
    """Whether the cache has what `program` with these arguments gives."""
    return (cache_root() / _place(name, program_key(folder, package, variables, patches))).is_dir()


def _place(name: str, key: str) -> Path:
    return Path("tools", f"{name}-{key}")


def patched(folder: Path, patches: Sequence[Patch], scratch: Path) -> Path:
    """A copy of the module `folder` in `scratch`, made anew; it takes patched modules beside it.

    `go build -overlay` refuses files in the module cache. The module is copied too, not just
    its go.mod for `-modfile`, so that the copies' paths are relative: the program records
    them, and the same sources shall give the same bytes wherever they are built.

    Raises:
        CommandFailed: a patch doesn't fit, exactly: none of its lines may be others.
    """
    shutil.copytree(folder, scratch)
    sources = {each.module: module_copy(scratch, each.module) for each in patches}
    for module, copy in sources.items():
        go(folder, "mod", "download", module)
        origin = go(folder, "list", "-m", "-f", "{{.Dir}}", module).strip()
        # content alone: in the module cache everything is read-only
        shutil.copytree(origin, copy, copy_function=shutil.copyfile)
        for path in (copy, *(path for path in copy.rglob("*") if path.is_dir())):
            path.chmod(0o755)
    for each in patches:
        apply(each, sources[each.module])
    with (scratch / "go.mod").open("a") as modfile:
        modfile.writelines(
            f"\nreplace {module} => ./{copy.relative_to(scratch)}\n"
            for module, copy in sources.items()
        )
    return scratch


def module_copy(scratch: Path, module: str) -> Path:
    """Where `patched` has a module that it has patched."""
    return scratch / "modules" / module


def apply(patch: Patch, source: Path) -> None:
    """Apply a patch to the module in `source`, whole or not at all.

    Raises:
        CommandFailed: it doesn't fit.
    """
    # Without a repository above: git would leave out what isn't below its root.
    env = {**environment(), "GIT_CEILING_DIRECTORIES": str(source.resolve().parent)}
    argv: list[str | Path] = ["git", "apply", "--whitespace=nowarn", patch.file.resolve()]
    hint = f"{patch.file.name} is for another version of {patch.module}; go.mod has the one used"
    run(argv, cwd=source, env=env, hint=hint)


def _sources(folder: Path) -> str:
    files = sorted(p for p in folder.rglob("*") if p.is_file() and _compiled(p))
    return digest(*(part for file in files for part in (str(file.relative_to(folder)), file)))


def _compiled(path: Path) -> bool:
    return path.suffix in {".go", ".mod", ".sum", ".json"} and not path.name.endswith("_test.go")


@cache
def _version() -> str:
    return run(["go", "version"], env=go_environment(), hint=NEEDS_GO).strip()


def go_environment() -> dict[str, str]:
    """What go runs with here: pinned, and writing nowhere but into the cache."""
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
