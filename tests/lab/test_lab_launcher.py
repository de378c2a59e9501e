"""The folder's own `pulumi`, with a program in Pulumi's place that notes how it was called."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.settings import PROJECT
from lab import launcher, pulumi_cli
from lab.folder import require_own
from lab.passphrase import opens
from lab.pulumi_cli import Known, Pulumi
from labmachine import machine
from labmachine.state import State

SALT = "v1:Q6fweDb5Blk=:v1:Rs5sXXLmIQSuEXB0:BZiX5ogpnBmKV02BnFWKvF31f23Zzw=="  # for ""
# Notes its arguments; knows the stacks of the folder `known`; waits where it finds `slow`.
STANDIN = """#!/bin/sh
cd "$STANDIN" || exit 1
echo "$*" >>calls
echo "${PULUMI_BACKEND_URL:-}|${PULUMI_DEBUG_COMMANDS:-}|" >>environments
case "$*" in
    "stack --show-name"*) [ -e selected ] || exit 255; cat selected; exit ;;
    "stack ls"*) echo "[]"; exit ;;
    "stack init"*)
        known=${PULUMI_BACKEND_URL#file://}/.pulumi/stacks/rack-lab
        mkdir -p "$known"; : >"$known/$3.json"; [ ! -e beaten ]; exit ;;
    "stack export"*) echo '{"deployment": {"resources": []}}'; exit ;;
esac
if [ -e plugin ]; then
    sh -c 'sleep 60 & echo $! >plugin; exec sleep 60' &
    setsid sh -c 'echo $$ >service; exec sleep 60' &
fi
[ ! -e slow ] || { echo $$ >pid; echo began >>calls; exec sleep 60; }
exit "$(cat code 2>/dev/null || echo 0)"
"""
SHOW_SETTINGS = (
    'for last; do [ "${was:-}" != --config-file ] || cat "$last" >settings; was=$last; done'
)
# The launcher, with the project and the program that the environment names.
RUN = """
import os
from pathlib import Path
from config import settings, stacks
from lab import launcher, pulumi_cli
folder = Path(os.environ["STANDIN"])
stacks.PROJECT = settings.PROJECT = launcher.PROJECT = pulumi_cli.PROJECT = folder
found = pulumi_cli.Pulumi(folder / "pulumi", dict(os.environ))
pulumi_cli.pulumi = lambda: found
launcher.machine.require_running = lambda: None
launcher.main()
"""
# Tests that a script has started in the background ignore SIGINT (POSIX sh, 2.11).
RUNS = ("env", "--default-signal=INT", sys.executable, "-c", RUN)


@dataclass(frozen=True)
class Done:
    """How a launch ended."""

    returncode: int
    stderr: str


Launch = Callable[..., Done]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "pulumi").write_text(STANDIN)
    (tmp_path / "pulumi").chmod(0o755)
    (tmp_path / "Pulumi.yaml").write_text("name: rack-lab\n")
    for stack in ("mini", "servers"):
        (tmp_path / f"Pulumi.{stack}.yaml").write_text("config: {}\n")
    kept = tmp_path / "state/.pulumi/stacks/rack-lab"
    kept.mkdir(parents=True)
    (tmp_path / "known").symlink_to(kept)
    return tmp_path


@pytest.fixture
def environment(project: Path) -> dict[str, str]:
    own = {"STANDIN": str(project), "PULUMI_BACKEND_URL": f"file://{project}/state"}
    own |= {"PULUMI_CONFIG_PASSPHRASE": "", "PYTHONPATH": str(PROJECT)}
    return {**os.environ, **own}


@pytest.fixture
def launch(
    project: Path,
    environment: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> Launch:
    """Runs the launcher in this process, which is a second faster than in another one."""
    for place in ("config.stacks", "config.settings", "lab.launcher", "lab.pulumi_cli"):
        monkeypatch.setattr(f"{place}.PROJECT", project)
    monkeypatch.setattr("lab.launcher.machine.up", (project / "started").touch)
    monkeypatch.setattr("lab.launcher.machine.require_running", lambda: None)
    monkeypatch.setattr("lab.pulumi_cli.stacks", dict)  # not this project's own
    monkeypatch.chdir(project)

    def instead_of_exec(program: Path, argv: list[str], env: dict[str, str]) -> None:
        sys.exit(subprocess.run([program, *argv[1:]], env=env, check=False).returncode)

    monkeypatch.setattr("os.execve", instead_of_exec)

    def run(line: str, **more: str) -> Done:
        found = Pulumi(project / "pulumi", {**environment, **more})
        monkeypatch.setattr("lab.pulumi_cli.pulumi", lambda: found)
        monkeypatch.setattr("sys.argv", ["pulumi", *line.split()])
        with pytest.raises(SystemExit) as ended:
            launcher.main()
        assert isinstance(ended.value.code, int)
        return Done(ended.value.code, capfd.readouterr().err)

    return run


def calls(project: Path) -> list[str]:
    """But for looks at the state."""
    file = project / "calls"
    lines = file.read_text().splitlines() if file.exists() else []
    return [each for each in lines if not each.startswith("stack export")]


def called(project: Path) -> list[str]:
    """The calls, with COPY for the folder of a preview, which is gone."""
    return [re.sub(r"/\S*/tmp[a-z0-9_]{8}(?=/|\b)", "COPY", each) for each in calls(project)]


def log(project: Path, stack: str = "mini") -> str:
    return f"--event-log {project}/.lab/stacks/{stack}/events.json"


COPIED = " --stack mini --config-file COPY/Pulumi.mini.yaml --stack mini"
CALLS = {
    "preview --stack mini": ["stack init mini --no-select --cwd COPY", f"preview{COPIED}"],
    "preview --stack org/rack-lab/mini --diff": [
        "stack init mini --no-select --cwd COPY",
        "preview --stack org/rack-lab/mini --diff "
        "--config-file COPY/Pulumi.mini.yaml --stack mini",
    ],
    "preview -c a=b --stack mini": [
        "stack init mini --no-select --cwd COPY", f"preview -c a=b{COPIED}",
    ],
    "install": [],
    "up --stack mini --yes": ["stack init mini --no-select", "up --stack mini --yes {log}"],
    "up --stack mini --event-log x": ["stack init mini --no-select",
                                      "up --stack mini --event-log x"],
    "destroy --stack mini": [],  # never raised
    "stack init new": ["stack init new"],
}  # fmt: skip


def test_a_preview_with_other_settings_works_on_a_copy_of_them(
    project: Path, launch: Launch
) -> None:
    (project / "other.yaml").write_text("config: {lab:topology: five}\n")
    (project / "pulumi").write_text(STANDIN.replace("case ", SHOW_SETTINGS + "\ncase ", 1))
    assert launch("preview --stack mini --config-file other.yaml").returncode == 0
    assert (project / "settings").read_text() == "config: {lab:topology: five}\n"
    assert (project / "other.yaml").read_text() == "config: {lab:topology: five}\n"
    assert launch("preview --stack mini --cwd . --config-file other.yaml").returncode == 0
    missing = launch("preview --stack mini --config-file missing.yaml")
    assert missing.returncode == 1
    assert "missing.yaml: No such file" in missing.stderr


@pytest.mark.parametrize("line", ["preview --stack mini", "stack ls", "up -s mini"])
def test_another_clone_s_folder_is_refused(
    project: Path, launch: Launch, line: str, tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    other = tmp_path_factory.mktemp("clone")
    (other / "Pulumi.yaml").write_text("name: rack-lab\n")
    monkeypatch.chdir(other)
    done = launch(line)
    assert done.returncode == 1
    assert str(other) in done.stderr
    assert str(project) in done.stderr
    assert calls(project) == []
    (other / "Pulumi.yaml").write_text("name: somebody-else-s\n")
    assert launch(line).returncode == 0


def test_a_copied_venv_is_refused(
    project: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied = project / "copy/.venv"
    (copied / "bin").mkdir(parents=True)
    (copied / "pyvenv.cfg").touch()
    with pytest.raises(ConfigError, match=r"setup\.sh"):
        require_own(copied / "bin/lab", project)
    require_own(Path(sys.prefix) / "bin/lab", project)


@pytest.mark.parametrize("line", CALLS)
def test_what_pulumi_is_called_with(project: Path, launch: Launch, line: str) -> None:
    done = launch(line)
    assert done.returncode == 0, done.stderr
    own = [each.removesuffix(" --non-interactive --color=never") for each in called(project)]
    assert own == [each.format(log=log(project)) for each in CALLS[line]]


@pytest.mark.parametrize(
    ("line", "called"),
    [
        ("refresh --stack mini --yes", "refresh --stack mini --yes --clear-pending-creates"),
        ("refresh -s mini --skip-pending-creates", "refresh -s mini --skip-pending-creates"),
        ("destroy --stack mini", "destroy --stack mini"),
    ],
)
def test_a_stack_that_is_known_isn_t_made_again(
    project: Path, launch: Launch, line: str, called: str
) -> None:
    (project / "known/mini.json").touch()
    assert launch(line).returncode == 0
    assert calls(project) == [called]


@pytest.mark.parametrize(
    ("left", "made"), [("mini.json", False), ("mini.json.gz", False), ("mini.json.bak", True)]
)
def test_a_stack_that_was_removed_is_made_again(
    project: Path, launch: Launch, left: str, made: bool
) -> None:
    (project / "known" / left).touch()
    assert launch("up --stack mini").returncode == 0
    assert calls(project)[0].startswith("stack init mini") is made


def test_a_stack_s_settings_may_be_in_another_file(project: Path, launch: Launch) -> None:
    assert launch("up --stack other --config-file x.yaml").returncode == 0
    assert calls(project)[-1].startswith("up --stack other --config-file x.yaml")


def test_a_stack_that_another_run_makes_at_the_same_moment_is_no_error(
    project: Path, launch: Launch
) -> None:
    (project / "beaten").touch()
    assert launch("up --stack mini").returncode == 0
    assert calls(project)[-1].startswith("up --stack mini")


@pytest.mark.parametrize("what", ["preview", "config", "config get lab:profile"])
@pytest.mark.parametrize("raised", [True, False])
def test_who_only_looks_writes_nothing(
    project: Path, launch: Launch, raised: bool, what: str
) -> None:
    if raised:
        (project / "known/mini.json").touch()
    before = {each: each.is_file() and each.read_bytes() for each in project.rglob("*")}
    assert launch(f"{what} --stack mini").returncode == 0
    own = [project / "calls", project / "environments"]  # what the stand-in notes
    after = {each: each.is_file() and each.read_bytes() for each in project.rglob("*")}
    assert {each: what for each, what in after.items() if each not in own} == before
    assert called(project)[-1] == f"{what}{COPIED}"


def test_a_preview_of_a_topology_without_settings_has_empty_ones(
    project: Path, launch: Launch
) -> None:
    assert launch("preview --stack moving").returncode == 0
    assert not (project / "Pulumi.moving.yaml").exists()


@pytest.mark.parametrize("kind", ["up", "preview", "refresh", "destroy", "config", "config get k"])
def test_a_typing_error_is_refused_and_leaves_nothing(
    project: Path, launch: Launch, kind: str
) -> None:
    before = sorted(project.rglob("*"))
    done = launch(f"{kind} --stack mni")
    assert done.returncode == 1
    assert "did you mean mini?" in done.stderr
    assert calls(project) == []
    assert sorted(project.rglob("*")) == before


@pytest.mark.parametrize("named", ["--stack=", "--stack=/", "--stack=org/rack-lab/"])
def test_an_empty_name_isn_t_the_selected_stack_s(
    project: Path, launch: Launch, named: str
) -> None:
    (project / "selected").write_text("mini\n")
    (project / "known/mini.json").touch()
    for kind in ("destroy", "up", "preview", "up --config-file x"):
        done = launch(f"{kind} {named}")
        assert done.returncode == 1
        assert "1 to 27 ASCII letters" in done.stderr
    assert calls(project) == []


@pytest.mark.parametrize("kind", ["up", "preview", "destroy"])
def test_who_selects_another_stack_meanwhile_changes_nothing(
    project: Path, launch: Launch, kind: str
) -> None:
    """What is selected when it starts is named to Pulumi."""
    (project / "selected").write_text("mini\n")
    for stack in ("mini", "servers"):
        (project / f"known/{stack}.json").touch()
    assert launch(kind).returncode == 0
    assert calls(project)[-1].startswith(kind)
    assert "--stack mini" in calls(project)[-1]


def test_a_stack_that_is_named_goes_before_the_environment_s(project: Path, launch: Launch) -> None:
    (project / "known/mini.json").touch()
    assert launch("destroy --stack mini", PULUMI_STACK="servers").returncode == 0
    assert calls(project) == ["destroy --stack mini"]


@pytest.mark.parametrize("line", ["up --stack mni", "stack ls", "version"])
def test_another_project_s_folder_keeps_its_environment(
    project: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """The venv may be activated there too."""
    monkeypatch.setenv("STANDIN", str(project))
    monkeypatch.delenv("PULUMI_BACKEND_URL", raising=False)
    monkeypatch.chdir(project.parent)
    assert launch(line).returncode == 0
    assert calls(project) == [line]
    assert (project / "environments").read_text() == "||\n"


def test_the_environment_s_stack_counts_where_none_is_named(project: Path, launch: Launch) -> None:
    (project / "selected").write_text("servers\n")
    assert launch("preview", PULUMI_STACK="mini").returncode == 0
    assert called(project)[-1].endswith("--stack mini")
    done = launch("preview", PULUMI_STACK="mni")
    assert (done.returncode, "did you mean mini?" in done.stderr) == (1, True)


@pytest.mark.parametrize(
    "line",
    [
        "config set lab:profile kvm --stack mini",
        "config rm lab:profile -s mini",
        "stack select mini",
    ],
)
def test_the_settings_of_a_stack_can_be_changed_before_it_is_raised(
    project: Path, launch: Launch, line: str
) -> None:
    for number in (1, 2):
        assert launch(line).returncode == 0
        made = [each for each in calls(project) if each.startswith("stack init mini")]
        assert (len(made), len(calls(project))) == (1, 1 + number)


@pytest.mark.parametrize("kind", ["up", "preview"])
@pytest.mark.parametrize("text", ["config: {lab:topolgy: mini}", "[]", "config: {profile: kvm}"])
def test_settings_that_mean_nothing_are_refused_by_a_preview_too(
    project: Path, launch: Launch, kind: str, text: str
) -> None:
    (project / "Pulumi.mini.yaml").write_text(text)
    done = launch(f"{kind} --stack mini")
    assert (done.returncode, calls(project)) == (1, [])
    assert "Pulumi.mini.yaml can't be used" in done.stderr


def test_a_damaged_state_is_named_when_pulumi_fails(project: Path, launch: Launch) -> None:
    (project / "known/mini.json").write_text("{")
    (project / "code").write_text("255")
    done = launch("destroy --stack mini")
    assert done.returncode == 255
    assert f"{project}/state/.pulumi/stacks/rack-lab/mini.json.bak" in done.stderr


def test_without_any_stack_pulumi_asks_which(project: Path, launch: Launch) -> None:
    assert launch("up").returncode == 0
    assert calls(project)[-1] == "up"


@pytest.mark.parametrize(
    ("line", "told"),
    [("stack rm -y mini", True), ("stack rm servers", False), ("stack rm mini --preserve-config",
     False)],
)  # fmt: skip
def test_a_settings_file_of_git_s_that_goes_is_told(
    project: Path, launch: Launch, line: str, told: bool
) -> None:
    for words in (["init", "-q"], ["add", "Pulumi.mini.yaml"]):
        subprocess.run(["git", *words], cwd=project, check=True)
    assert ("git checkout Pulumi.mini.yaml" in launch(line).stderr) is told
    assert calls(project)[-1] == line


@pytest.mark.parametrize("code", [0, 1, 255])
def test_the_exit_code_is_pulumi_s(project: Path, launch: Launch, code: int) -> None:
    (project / "code").write_text(str(code))
    assert launch("preview --stack mini").returncode == code
    assert launch("up --stack mini").returncode == code


REQUIRE_RUNNING = machine.require_running  # the fixture replaces it


def test_an_up_beside_a_lab_machine_that_is_off_makes_nothing(
    project: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = State(project / "machine")
    monkeypatch.setattr("lab.launcher.machine.require_running", lambda: REQUIRE_RUNNING(off))
    done = launch("up --stack mini")
    assert (done.returncode, done.stderr) == (
        1, "the lab machine is off; start it: lab machine up\n",
    )  # fmt: skip
    assert calls(project) == []
    for line in ("preview --stack mini", "destroy --stack mini", "up -s mini -c lab:machine=local"):
        assert launch(line).returncode == 0
    (project / "Pulumi.mini.yaml").write_text("config: {lab:machine: local}")
    assert launch("up --stack mini").returncode == 0


@pytest.mark.parametrize(
    ("settings", "started"),
    [
        ("config: {lab:start: true}", True),
        ("config: {lab:start: 'true'}", True),
        ("config: {lab:start: false}", False),
        ("config: {}", False),
        ("config: {lab:start: true, lab:machine: local}", False),
    ],
)
def test_the_lab_machine_is_started_where_a_setting_says_so(
    project: Path, launch: Launch, settings: str, started: bool
) -> None:
    (project / "Pulumi.mini.yaml").write_text(settings)
    assert launch("preview --stack mini").returncode == 0
    assert launch("refresh --stack mini").returncode == 0
    assert not (project / "started").exists()
    for kind in ("up", "destroy"):
        assert launch(f"{kind} --stack mini").returncode == 0
        assert (project / "started").exists() is started
        (project / "started").unlink(missing_ok=True)


@pytest.mark.parametrize(("given", "told"), [("", False), ("x", True)])
def test_another_project_s_passphrase_is_told_when_pulumi_fails(
    project: Path, launch: Launch, given: str, told: bool
) -> None:
    (project / "Pulumi.mini.yaml").write_text(f"encryptionsalt: {SALT}\n")
    (project / "code").write_text("255")
    done = launch("preview --stack mini", PULUMI_CONFIG_PASSPHRASE=given)
    assert done.returncode == (1 if told else 255)
    assert ("unset PULUMI_CONFIG_PASSPHRASE" in done.stderr) is told


@pytest.mark.parametrize("salt", ["", "v2:x", "v1:a:v1:b:c", "v1:AAAA:v2:AAAA:AAAA"])
def test_a_salt_of_unknown_form_is_left_to_pulumi(salt: str) -> None:
    assert opens(salt, "x")


def test_a_lock_that_a_killed_run_left_goes(project: Path, launch: Launch) -> None:
    (project / "known/mini.json").touch()
    lock = project / "state/.pulumi/locks/organization/rack-lab/mini/some-id.json"
    lock.parent.mkdir(parents=True)
    holder = {"pid": 2**22 + 1, "hostname": os.uname().nodename, "username": "", "timestamp": ""}
    lock.write_text(json.dumps(holder))
    assert "is removed" in launch("destroy --stack mini").stderr
    assert not lock.exists()


@pytest.mark.parametrize("moved", [True, False])
def test_a_folder_that_was_moved_is_followed(project: Path, launch: Launch, moved: bool) -> None:
    """What the topology has lost since the last `up` is still to be reached otherwise."""
    (project / "Pulumi.mini.yaml").write_text("config: {lab:topology: mini}\n")
    (project / "known/mini.json").touch()
    folder = project / ".lab/stacks/mini"
    folder.mkdir(parents=True)
    old = "/elsewhere" if moved else str(folder)
    (folder / "ssh_config").write_text(f'Host router\n    IdentityFile "{old}/id_ecdsa"\n')
    (folder / "seed").write_text("00" * 32)
    assert launch("destroy --stack mini").returncode == 0
    text = (folder / "ssh_config").read_text()
    assert str(folder) in text
    assert ("Host storage1" in text) is moved


def test_ctrl_c_while_it_waits_is_no_traceback(
    project: Path, environment: dict[str, str], slow: subprocess.Popen[str]
) -> None:
    argv = [*RUNS, "up", "--stack", "mini"]
    with subprocess.Popen(
        argv, cwd=project, env=environment, stderr=subprocess.PIPE, text=True
    ) as second:
        assert second.stderr
        assert "waiting" in second.stderr.readline()
        second.send_signal(signal.SIGINT)
        assert second.wait(60) == 128 + signal.SIGINT
        assert second.stderr.read() == ""
    assert slow.poll() is None


@pytest.fixture
def slow(project: Path, environment: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """An operation on stack mini that is under way."""
    (project / "known/mini.json").touch()
    (project / "slow").touch()
    argv = [*RUNS, "destroy", "--stack", "mini"]
    with subprocess.Popen(
        argv, cwd=project, env=environment, text=True, start_new_session=True
    ) as run:
        _until(lambda: "began" in calls(project))
        (project / "slow").unlink()
        yield run
        run.terminate()


def _until(true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_the_second_run_on_a_stack_waits_and_says_for_whom(
    project: Path, environment: dict[str, str], slow: subprocess.Popen[str]
) -> None:
    argv = [*RUNS, "up", "--stack", "mini"]
    with subprocess.Popen(
        argv, cwd=project, env=environment, stderr=subprocess.PIPE, text=True
    ) as second:
        assert second.stderr
        said = second.stderr.readline()
        assert f"waiting for pulumi destroy (process {slow.pid}" in said
        assert not any(call.startswith("up") for call in calls(project))
        slow.terminate()
        assert second.wait(60) == 0
    assert calls(project)[-1].startswith("up --stack mini")


def test_a_preview_waits_for_nobody(launch: Launch, slow: subprocess.Popen[str]) -> None:
    assert launch("preview --stack mini").returncode == 0
    assert slow.poll() is None


def test_another_stack_waits_for_nobody(launch: Launch, slow: subprocess.Popen[str]) -> None:
    assert launch("up --stack servers").returncode == 0
    assert slow.poll() is None


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_pulumi_with_it(slow: subprocess.Popen[str], number: signal.Signals) -> None:
    slow.send_signal(number)
    assert slow.wait(60) == 128 + number


def test_ctrl_c_is_pulumi_s_to_deal_with(slow: subprocess.Popen[str]) -> None:
    """The terminal sends it to both."""
    os.killpg(slow.pid, signal.SIGINT)
    assert slow.wait(60) == 128 + signal.SIGINT


def test_what_nohup_ignores_stays_ignored(project: Path, environment: dict[str, str]) -> None:
    (project / "known/mini.json").touch()
    (project / "slow").touch()
    argv = ["nohup", *RUNS, "destroy", "--stack", "mini"]
    with subprocess.Popen(
        argv, cwd=project, env=environment, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, start_new_session=True,
    ) as run:  # fmt: skip
        _until(lambda: "began" in calls(project))
        os.killpg(run.pid, signal.SIGHUP)
        run.send_signal(signal.SIGTERM)
        assert run.wait(60) == 128 + signal.SIGTERM


def test_pulumi_ends_when_its_launcher_is_killed(
    project: Path, slow: subprocess.Popen[str]
) -> None:
    running = int((project / "pid").read_text())
    slow.kill()
    slow.wait(60)
    _until(lambda: not Path(f"/proc/{running}").exists())


def test_plug_ins_end_when_pulumi_is_killed(project: Path, environment: dict[str, str]) -> None:
    """And what they have started, but no service."""
    for each in ("known/mini.json", "slow", "plugin", "service"):
        (project / each).touch()
    argv = [*RUNS, "destroy", "--stack", "mini"]
    with subprocess.Popen(argv, cwd=project, env=environment, start_new_session=True) as run:
        files = [project / each for each in ("pid", "plugin", "service")]
        _until(lambda: all(each.exists() and each.read_text() for each in files))
        pulumi, plugin, service = (int(each.read_text()) for each in files)
        os.kill(pulumi, signal.SIGKILL)
        assert run.wait(60) == 128 + signal.SIGKILL
    assert not Path(f"/proc/{plugin}").exists()
    os.kill(service, signal.SIGKILL)


def test_what_a_killed_run_had_begun_is_dropped_after_one_that_made_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Pulumi warns of it at each `up` else, until a refresh."""
    state = {"deployment": {"resources": [1], "pending_operations": [{"type": "creating"}]}}
    imported = []

    class StandIn:
        def ask(self, *words: str) -> str:
            if words[1] == "import":
                imported.append(json.loads(Path(words[-1]).read_text()))
            return json.dumps(state)

    monkeypatch.setattr("lab.pulumi_cli.pulumi", StandIn)
    pulumi_cli.clear_pending("mini")
    assert imported == [{"deployment": {"resources": [1]}}]
    state = imported[0]
    pulumi_cli.clear_pending("mini")
    assert len(imported) == 1


@pytest.mark.parametrize("raised", [True, False])
def test_a_destroy_needs_the_lab_machine_if_there_is_something(
    project: Path, launch: Launch, monkeypatch: pytest.MonkeyPatch, raised: bool
) -> None:
    (project / "known/mini.json").touch()
    off = State(project / "machine")
    monkeypatch.setattr("lab.launcher.machine.require_running", lambda: REQUIRE_RUNNING(off))
    known = {"mini": Known(9 if raised else 1, "")}
    monkeypatch.setattr("lab.launcher.pulumi_cli.stacks", lambda: known)
    done = launch("destroy --stack mini")
    assert done.returncode == raised
    assert ("start it: lab machine up" in done.stderr) is raised
