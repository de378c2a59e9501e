"""Golden errors: each file in bad/ is one mistake, with the one-screen error it must give.

NAME.yaml changes keys of config/mini.yaml (null removes one); NAME.raw is a whole file.
"""

from pathlib import Path
from typing import Any

import pytest
import yaml
from golden import assert_golden

from config import profile, stacks
from config.access import LabMachine
from config.checks import Hardware
from config.errors import ConfigError
from config.load import FOLDER, load_topology
from config.settings import load_settings

BAD = Path(__file__).parent / "bad"
CASES = sorted(path for path in BAD.iterdir() if path.suffix in (".yaml", ".raw"))
HARDWARE = Hardware(memory=10 << 30, disks={f"disk{n}": 4 << 30 for n in range(1, 7)})
SCREEN_LINES = 24


def test_there_are_cases() -> None:
    assert len(CASES) > 20


def changed_mini(changes: dict[str, Any]) -> str:
    data = yaml.safe_load((FOLDER / "mini.yaml").read_text())
    for dotted, value in changes.items():
        *parents, last = dotted.split(".")
        place = data
        for part in parents:
            place = place[part]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return yaml.safe_dump(data)


@pytest.mark.parametrize("case", CASES, ids=lambda path: path.stem)
def test_error_is_the_golden_one(case: Path, tmp_path: Path) -> None:
    rack = tmp_path / "rack.yaml"
    if case.suffix == ".raw":
        rack.write_bytes(case.read_bytes())
    else:
        rack.write_text(changed_mini(yaml.safe_load(case.read_text())))
    with pytest.raises(ConfigError) as caught:
        load_topology(rack, "mini", HARDWARE)
    message = f"{caught.value}\n"
    golden = case.with_suffix(".txt")
    assert_golden(message, golden)
    assert message.count("\n") <= SCREEN_LINES
    assert "rule:" in message and "remedy:" in message


def test_a_missing_topology_names_those_there_are() -> None:
    with pytest.raises(ConfigError, match="mini"):
        load_topology(FOLDER / "nowhere.yaml", "mini")


@pytest.mark.parametrize("stack", ["x" * 28, "größe", "-x", "a b", "a/b", "", "a.b"])
def test_a_stack_s_name_fits_pulumi_md_and_lvm(stack: str) -> None:
    with pytest.raises(ConfigError, match="1 to 27 ASCII letters, digits and inner dashes"):
        load_topology(FOLDER / "mini.yaml", stack)
    assert load_topology(FOLDER / "mini.yaml", "x" * 27).machines


@pytest.mark.parametrize("stack", ["blank", "not-blank-yet"])
def test_a_stack_s_tag_is_no_other_mark(stack: str) -> None:
    with pytest.raises(ConfigError, match="choose another name"):
        load_topology(FOLDER / "mini.yaml", stack)


@pytest.mark.parametrize("text", ["ftp://there", "ssh://", "here", "ssh://host/path", ""])
def test_a_wrong_lab_machine_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="lab:machine"):
        LabMachine.parse(text, "mini")
    with pytest.raises(ConfigError, match="lab:machine"):
        load_settings("mini", {"topology": "mini", "machine": text}.get, keep=False)


@pytest.mark.parametrize("start", ["yes", "maybe", "1", "True"])
def test_a_wrong_start_is_refused(start: str) -> None:
    options = {"topology": "mini", "start": start}
    with pytest.raises(ConfigError, match=r"lab:start.*\n.*true, false"):
        load_settings("mini", options.get, keep=False)


@pytest.mark.parametrize("start", ["true", "false"])
def test_a_start_is_taken(start: str) -> None:
    load_settings("mini", {"topology": "mini", "start": start}.get, keep=False)


WRONG = {
    "profile": (["xen"], "one of: emulated, kvm"),
    "nodeCpu": (
        ["Westmere,vmx", "host-passthrough,+vmx", "host-model", "EPYC", "EPYC,?sha-ni"],
        "vmx or svm among them",
    ),
    "guestCpu": (["<cpu/>", "host-passthrough", "max"], "a model of libvirt's, no host-"),
    "hugePages": (["yes"], "one of: true, false"),
    "bootsAtOnce": (["0", "1_0", "+2", "two", "1.5"], "1 or more, or all"),
    "timing": (["slow"], "one of: patient, prompt"),
    "kernel": (["linux-lts"], "one of: rack, linux-virt"),
}


@pytest.mark.parametrize(
    ("key", "value"), [(key, value) for key, (values, _) in WRONG.items() for value in values]
)
def test_a_wrong_value_of_the_profile_is_refused(key: str, value: str) -> None:
    _, rule = WRONG[key]
    with pytest.raises(ConfigError) as refused:
        load_settings("mini", {"topology": "mini", key: value}.get, keep=False)
    (problem,) = refused.value.problems
    assert (problem.key, problem.value) == (f"lab:{key}", value)
    assert rule in problem.rule
    assert problem.remedy == f"pulumi config rm lab:{key} --stack mini"


def test_every_option_of_the_profile_is_tried_and_known() -> None:
    assert set(WRONG) == {"profile", *profile.KEYS}
    assert set(WRONG) < set(stacks.OPTIONS)
