"""Independent builds side by side: what is told, and what happens to the others when one fails."""

import time
from collections.abc import Iterable
from pathlib import Path
from types import SimpleNamespace

import pytest

from artefacts import LabError, run
from config import settings
from lab import build
from labmachine import accelerator, machine
from labmachine.state import State
from plugins.build import Own


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("LAB_CACHE", str(tmp_path))
    monkeypatch.setattr(build, "LOGS", tmp_path / "logs")
    monkeypatch.setattr(build, "SILENT_S", 0.5)
    monkeypatch.setattr(build, "REPORT_S", 0.5)
    monkeypatch.setattr(build, "users_own", lambda: Own(None, (), "none"))
    monkeypatch.setattr(accelerator, "opens", lambda: False)


def _parts(monkeypatch: pytest.MonkeyPatch, **commands: str) -> None:
    """Parts that run shell commands."""
    parts = {name: build.Part(f"the {name}", 10, lambda _stack: None) for name in commands}
    monkeypatch.setattr(build, "PARTS", parts)

    def run_part(argv: list[str], **options: object) -> str:
        return run(["sh", "-c", commands[argv[3]]], **options)  # type: ignore[arg-type]

    monkeypatch.setattr(build, "run", run_part)


@pytest.mark.parametrize("two", ["true", "sleep 2"], ids=["at once", "after a slow look"])
def test_nothing_is_said_when_all_is_there(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], two: str
) -> None:
    _parts(monkeypatch, one="true", two=two)
    build.build("mini")
    assert capfd.readouterr() == ("", "")


def test_of_an_own_pulumi_that_is_too_old_one_is_told(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _parts(monkeypatch, one="true")
    monkeypatch.setattr(build, "users_own", lambda: Own(Path("/bin/pulumi"), (), "too old"))
    build.build("mini")
    assert capfd.readouterr() == ("", "pulumi too old\n")


def test_it_is_told_what_is_built_and_how_long_it_takes(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    _parts(monkeypatch, one="true", two="echo '→ compiling it …'; sleep 2")
    build.build("mini")
    said = capfd.readouterr().err
    assert "lacks: the two\n" in said
    assert "min left:\n    the two: compiling it\n" in said
    assert said.splitlines()[-1].startswith("✓ built")


def test_one_that_fails_ends_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    _parts(monkeypatch, one="echo the reason; exit 3", two="sleep 60")
    began = time.monotonic()
    with pytest.raises(LabError, match="the reason"):
        build.build("mini")
    assert time.monotonic() - began < 20


def test_on_kvm_the_lab_machine_is_first_and_no_kernel_is_compiled(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state, order = State(tmp_path / "machine"), tmp_path / "order"
    names = ("kernel", "tools", "labmachine")
    _parts(monkeypatch, **{name: f"echo {name} >>{order}" for name in names})

    def foresee() -> None:
        order.write_text(f"{order.read_text()}kvm\n")
        state.folder.mkdir()
        state.hardware.write_text('{"accelerator": "kvm"}')

    monkeypatch.setattr(accelerator, "opens", lambda: True)
    monkeypatch.setattr(machine, "foresee", foresee)
    monkeypatch.setattr(build, "State", lambda: state)
    monkeypatch.setattr(settings, "MACHINE_FOLDER", state.folder)
    build.build("mini")
    first, tried, *rest = order.read_text().split()
    assert (first, tried, sorted(rest)) == ("labmachine", "kvm", ["labmachine", "tools"])


def test_a_full_disk_is_told_where_a_log_has_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    _parts(monkeypatch, one="exit 120")  # a Python program that can't write what it says
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=0))
    with pytest.raises(LabError, match="logs is full; free space there"):
        build.build("mini")


@pytest.mark.parametrize(
    ("missing", "minutes", "cores", "left"),
    [(build.PARTS.keys(), 0, 2, 25.5), (("tools",), 2, 2, 4.5),
     (("tools",), 60, 2, 1)],
)  # fmt: skip
def test_what_is_left_is_the_work_on_all_cores(
    missing: Iterable[str], minutes: float, cores: int, left: float
) -> None:
    assert build.rest_of(missing, minutes, cores) == left
