"""Gathers Pulumi's command line and plugins and sets up the folder they run from.

`python -m plugins.build` does it all and prints the environment as shell lines. Owns which of the
user's own, Pulumi's released and our built programs are used, and the environment that Pulumi must
run with. Leaves compiling to `artefacts.golang`, and Pulumi's releases to `released`.
"""

import json
import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from artefacts import CommandFailed, LabError, cache_root, cached, digest, run
from artefacts import environment as own_environment
from artefacts.cache import locked
from artefacts.environment import PROJECT, SYSTEM_FOLDERS, users_folder
from artefacts.golang import built, go, program
from artefacts.progress import say
from config.errors import ConfigError
from plugins import released
from plugins.released import CLI

MODULES = Path(__file__).resolve().parent
"""The Go modules, a folder each."""

VERSION_VARIABLE = "github.com/pulumi/pulumi/sdk/v3/go/common/version.Version"
BUILT_CLI = (
    MODULES / "cli", "pulumi", "github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
    f"-X {VERSION_VARIABLE}={CLI}",
)  # fmt: skip
PLUGINS = ("libvirt", "command")
LACKING = {
    "libvirt": "Pulumi's own fails a preview while the lab machine is off, and ignores changes "
    "that need a new machine"
}
"""Plug-ins of which ours is always taken, and why."""

SCRIPTS = {"pulumi-language-python-exec": "cmd", "pulumi-resource-pulumi-python": "dist"}
"""Of the SDK that the CLI is built with, by folder under its `python/`; the second one runs
resources whose provider is in the program (`components/commits.py`)."""

LOCAL = ("localhost", "127.0.0.1", "::1")
"""Hosts that no proxy is for."""

WITHOUT_ATTRIBUTES = "metadata=skip"
"""Of the backend's URL: without the file of attributes that gocloud.dev's fileblob writes beside
each file, and not at once: if a run is killed just there Pulumi can't read the state any more."""

LANGUAGE_HOST = ("pulumi-language-python", *SCRIPTS)
VERSION_S = 30.0  # so long the user's CLI may take to tell its version


def tools(own: "Own | None" = None) -> Path:
    """The tools folder: `bin/` with the CLI and language host, beside nothing else.

    Fetches or builds what the cache lacks (building takes some six minutes on two cores) and
    installs the resource plugins into `home()` in the versions the installed SDKs ask for.
    `own`: the user's own Pulumi, where that was asked for its version already.

    Raises:
        LabError: if Go is missing, a module can't be fetched, or a build fails.
    """
    programs = (own or users_own()).programs or _released() or _built()
    name = "pulumi-bin-" + digest(*(str(path) for path in programs))

    def assemble(folder: Path) -> None:
        (folder / "bin").mkdir()
        for path in programs:
            _place(path, folder / "bin" / path.name)

    folder = cached("tools", name, assemble)
    home().mkdir(parents=True, exist_ok=True)
    with locked(home() / ".install.lock", waiting="installing plugins"):
        for plugin in PLUGINS:
            _install(folder, plugin)
    return folder


def _place(program: Path, target: Path) -> None:
    """Our own programs as themselves: they look for each other in the folder they are in."""
    if program.is_relative_to(cache_root()):
        target.hardlink_to(program)
    else:
        target.symlink_to(program)


def home() -> Path:
    """Pulumi's home: plugins, selected stacks. In the project, so the user's is not touched."""
    return PROJECT / ".lab" / "pulumi"


def environment(tools: Path) -> dict[str, str]:
    """What the environment must have on top of the current one for Pulumi to run.

    The state lies in `.lab/state` unless PULUMI_BACKEND_URL is set or the user is logged
    in to a backend; then theirs is used. The folder for the state is created.
    """
    users = os.environ.get("PATH", os.defpath).split(os.pathsep)
    search = [str(tools / "bin"), *users, *SYSTEM_FOLDERS]
    if sys.prefix != sys.base_prefix:
        # The language host takes the first python on PATH, whatever Pulumi.yaml says.
        search.insert(0, str(Path(sys.prefix) / "bin"))
    result = {
        "PATH": os.pathsep.join(dict.fromkeys(search)),
        "PULUMI_HOME": str(home()),
        "PULUMI_SKIP_UPDATE_CHECK": "true",
        "PULUMI_DISABLE_AUTOMATIC_PLUGIN_ACQUISITION": "true",
        **_without_proxy(),
    }
    credentials = _users_credentials()
    if credentials is not None:
        result["PULUMI_CREDENTIALS_PATH"] = str(credentials)
    elif not os.environ.get("PULUMI_BACKEND_URL"):
        state = PROJECT / ".lab" / "state"
        state.mkdir(parents=True, exist_ok=True)
        result["PULUMI_BACKEND_URL"] = f"{state.as_uri()}?{WITHOUT_ATTRIBUTES}"
    if not {"PULUMI_CONFIG_PASSPHRASE", "PULUMI_CONFIG_PASSPHRASE_FILE"} & os.environ.keys():
        result["PULUMI_CONFIG_PASSPHRASE"] = ""  # the state holds no secret; docs/decisions/0002
    return result


def _without_proxy() -> dict[str, str]:
    """The command line, plugins and the program talk by gRPC on this machine, past any proxy.

    Go and Python read the one or the other spelling; gRPC's own core reads `no_grpc_proxy` first
    (grpc's environment_variables.md).
    """
    users = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    hosts = dict.fromkeys([*filter(None, users.split(",")), *LOCAL])
    return {
        **dict.fromkeys(("no_proxy", "NO_PROXY"), ",".join(hosts)),
        "no_grpc_proxy": ",".join(LOCAL),
    }


def _users_credentials() -> Path | None:
    """The folder of the user's Pulumi credentials, if they say "logged in"."""
    folder = users_folder("PULUMI_CREDENTIALS_PATH", ".pulumi")
    if folder is None:
        return None
    try:
        current = json.loads((folder / "credentials.json").read_text()).get("current")
    except (OSError, ValueError):
        return None
    return folder if current else None


@dataclass(frozen=True)
class Own:
    """The user's own Pulumi: its CLI if there is one, the programs if they are used, and why."""

    cli: Path | None
    programs: tuple[Path, ...]
    why: str

    @property
    def passed_over(self) -> str:
        """Why it isn't used, if there is one that isn't; else nothing."""
        return f"pulumi {self.why}" if self.cli and not self.programs else ""


def users_own() -> Own:
    """The CLI and language host on PATH, which are used if they are there and new enough.

    New enough is: the same major version as the one built here and not older, because
    older ones were not tried with these SDKs.
    """
    # This project's own `pulumi` (lab/launcher.py) lies beside Python, and runs what is found.
    own = Path(sys.prefix) / "bin"
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    search = os.pathsep.join(each for each in folders if Path(each).resolve() != own.resolve())
    found = {name: shutil.which(name, path=search) for name in ("pulumi", *LANGUAGE_HOST)}
    cli = Path(found["pulumi"]).resolve() if found["pulumi"] else None
    if cli is None or cli.is_relative_to(cache_root()):
        return Own(None, (), f"{_ours()}: there is none of yours on PATH")
    if missing := [name for name, path in found.items() if path is None]:
        return Own(cli, (), f"{_ours()}: yours ({cli}) lacks {', '.join(missing)}")
    try:
        env = {**own_environment(), "PULUMI_HOME": str(home())}
        text = run([cli, "version"], env=env, timeout_s=VERSION_S)
    except CommandFailed:
        return Own(cli, (), f"{_ours()}: yours ({cli}) doesn't tell its version")
    numbers = [int(number) for number in re.findall(r"\d+", text)[:3]]
    wanted = [int(number) for number in CLI.split(".")]
    early = numbers == wanted and "-" in text  # 3.80.0-alpha comes before 3.80.0
    if numbers[:1] != wanted[:1] or numbers < wanted or early:
        least = f"{CLI} or newer of version {wanted[0]} is taken"
        return Own(cli, (), f"{_ours()}: yours ({cli}) is {text.strip()}; {least}")
    # by these names, which a link's target needn't have
    programs = tuple(Path(path).absolute() for path in found.values() if path is not None)
    return Own(cli, programs, f"{text.strip()}, yours: {cli}")


def _ours() -> str:
    return f"{CLI}, {_origin(released.cli())}"


def plugins_in_use() -> dict[str, str]:
    """Each plug-in's version, where it is from, and why it isn't Pulumi's own; fetches nothing."""
    return {
        name: f"{version(f'pulumi-{name}')}, "
        + (f"built here: {LACKING[name]}" if name in LACKING else _origin(released.plugin(name)))
        for name in PLUGINS
    }


def _origin(archive: str) -> str:
    if released.unpacked(archive):
        return "Pulumi's release"
    if not released.known(archive):
        return "built here, as no checksum of Pulumi's release is known (plugins/released.py)"
    return "built here unless Pulumi's release can be fetched"


def _take(archive: str, ours: tuple[Path, str, str, str]) -> Path | None:
    """The folder of one of Pulumi's archives; nothing if what we build in its place is used.

    Which is so if the cache has it already, or the archive can't be had. Both do the same job, so
    nothing that there is gets fetched or built a second time.
    """
    if not released.unpacked(archive) and built(*ours):
        return None
    try:
        return released.fetch(archive)
    except LabError as error:
        say(f"{error}; ours is built in its place")
        return None


def _released() -> list[Path]:
    folder = _take(released.cli(), BUILT_CLI)
    return [folder / "pulumi" / name for name in ("pulumi", *LANGUAGE_HOST)] if folder else []


def _built() -> list[Path]:
    cli = program(*BUILT_CLI)
    host = program(
        MODULES / "langhost",
        "pulumi-language-python",
        "github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
    )
    return [cli, host, *_scripts()]


def _scripts() -> list[Path]:
    """The SDK's scripts, copied."""

    def copy(folder: Path) -> None:
        sdk, module = "github.com/pulumi/pulumi/sdk/v3", MODULES / "cli"
        go(module, "mod", "download", sdk)
        origin = Path(go(module, "list", "-m", "-f", "{{.Dir}}", sdk).strip())
        for name, place in SCRIPTS.items():
            script = folder / name
            script.write_bytes((origin / "python" / place / name).read_bytes())
            script.chmod(0o755)

    folder = cached("tools", f"python-scripts-{CLI}", copy)
    return [folder / name for name in SCRIPTS]


def _install(tools: Path, plugin: str) -> None:
    """Put our build of a resource plugin where Pulumi looks for the SDK's version of it."""
    wanted = version(f"pulumi-{plugin}")
    name = f"pulumi-resource-{plugin}"
    ours = (MODULES / plugin, name, ".", f"-X main.version={wanted}")
    folder = None if plugin in LACKING else _take(released.plugin(plugin), ours)
    binary = folder / name if folder else program(*ours)
    marker = home() / "plugins" / f"resource-{plugin}-v{wanted}" / "built-from"
    if marker.is_file() and marker.read_text() == binary.parent.name:
        return
    install = ["plugin", "install", "resource", plugin, wanted, "--reinstall", "--file"]
    pulumi = [str(tools / "bin" / "pulumi"), *install, str(binary)]
    run(pulumi, env={**own_environment(), **environment(tools)})
    marker.write_text(binary.parent.name)


def main() -> None:
    """Build everything and print the environment, ready for a shell's `eval`."""
    try:
        found = environment(tools())
    except (LabError, ConfigError, OSError) as error:
        sys.exit(str(error))
    for name, value in found.items():
        print(f"export {name}={shlex.quote(value)}")


if __name__ == "__main__":
    main()
