"""What is found on a lab machine, and which racks are refused there before the first resource."""

import shutil
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from artefacts import CommandFailed, LabError
from config.access import LabMachine
from config.errors import ConfigError, Problem
from config.load import FOLDER, load_topology
from config.profile import EMULATED, KVM, Cpu
from config.settings import Settings
from lab import ground, survey
from lab.survey import KEYS, Survey, conflicts, mismatches, read

TOPOLOGY = load_topology(FOLDER / "mini.yaml", "mini")
LOCAL = LabMachine(host=None)
SETTINGS = Settings("mini", TOPOLOGY, LOCAL, EMULATED, "00" * 32, memory=10 << 30)
EMPTY = [
    "memory|10485760", "bridge|virbr9|", "address|eth0|192.0.2.9/24", "route|default|eth0",
    "disk|disk1||", "disk|disk2||",
]  # fmt: skip
OWN = [
    *EMPTY,
    "domain|mini-laptop|rack-lab.mini|524288",
    "running|mini-laptop",
    "bridge|mini-lan|rack-lab.mini",
    "group|rack-mini|rack-lab.mini,rack-lab.blank",
    "address|mini-lan|10.77.3.254/24",
    "route|10.77.5.0/24|mini-lan",
    "disk|disk1|linux_raid_member|any:rack-mini",
]
OTHER = {
    "lan": [
        "bridge|quorum-lan|rack-lab.quorum", "address|quorum-lan|10.77.3.254/24",
        "route|10.77.3.0/24|quorum-lan",
    ],
    "disk": ["disk|disk1|linux_raid_member|any:rack-quorum"],
    "memory": ["domain|quorum-laptop|rack-lab.quorum|8388608"],
    "name": ["domain|mini-laptop|rack-lab.quorum|1024"],
    "vpn": ["route|10.77.5.0/24|tun0"],
    "wide vpn": ["route|10.0.0.0/8|tun0"],
    "own lan": ["address|enp3s0|10.77.3.50/24"],
    "file system": ["disk|disk2|ext4|"],
    "no rack's": ["domain|mini-laptop||1024"],
    "somebody's machine": ["domain|vm||8388608", "running|vm"],
}  # fmt: skip
NAMES_BOTH = {"lan", "disk", "memory", "name"}
KEY = {"lan": "networks.lan.cidr", "disk": "array.disks", "memory": "machines.*.memory",
       "name": "machines.laptop", "vpn": "networks.wan.cidr", "own lan": "networks.lan.cidr",
       "file system": "array.disks", "no rack's": "machines.laptop"}  # fmt: skip
HOLDS = {
    "another network": ["bridge|q-lan|rack-lab.q", "address|q-lan|10.78.3.254/24"],
    "another disk": ["disk|disk5|linux_raid_member|any:rack-quorum"],
    "memory that is left": ["domain|q-laptop|rack-lab.q|1048576"],
    "somebody's machine that is off": ["domain|vm||8388608"],
    "a network that this stack had before": [
        "bridge|mini-old|rack-lab.mini",
        "address|mini-old|10.77.3.254/24",
    ],
    "a blank group": ["group|rack-q|rack-lab.q,rack-lab.blank"],
}


def told(problems: list[Problem]) -> str:
    return str(ConfigError("test", problems))


@pytest.mark.parametrize("lines", [EMPTY, OWN])
def test_an_empty_machine_and_its_own_rack_are_no_conflict(lines: list[str]) -> None:
    assert list(conflicts(SETTINGS, read(lines))) == []


@pytest.mark.parametrize("case", HOLDS)
def test_what_needn_t_collide_doesn_t(case: str) -> None:
    assert list(conflicts(SETTINGS, read([*EMPTY, *HOLDS[case]]))) == []


@pytest.mark.parametrize("case", OTHER)
def test_what_collides_is_told_with_both_and_the_way_out(case: str) -> None:
    problems = list(conflicts(SETTINGS, read([*EMPTY, *OTHER[case]])))
    assert problems
    if case in KEY:
        assert [each.key for each in problems] == [KEY[case]]
    if case in NAMES_BOTH:
        assert "it is stack quorum's, beside which mini can't be" in told(problems)
        assert "pulumi destroy --stack quorum" in told(problems)
    else:
        assert "isn't a rack's" in told(problems)


def test_a_foreign_disk_is_told_with_what_it_holds() -> None:
    """As tests/vm/test_networks_and_volumes.py has it for real."""
    problems = list(conflicts(SETTINGS, read([*EMPTY, "disk|disk1|ext4|precious"])))
    assert "the disk holds ext4 'precious', and isn't a rack's" in told(problems)
    assert "wipefs --all" in told(problems)


def test_a_disk_that_isn_t_there_is_told() -> None:
    without = [line for line in EMPTY if not line.startswith("disk|disk2")]
    (problem,) = conflicts(SETTINGS, read(without))
    assert (problem.key, problem.value) == ("array.disks", "disk2")
    assert "lsblk -o NAME,SERIAL" in problem.remedy


def test_a_raised_rack_s_disk_may_be_pulled_out() -> None:
    without = [line for line in OWN if not line.startswith("disk|disk2")]
    assert list(conflicts(SETTINGS, read(without))) == []


def test_of_a_real_machine_the_memory_counts_that_it_has() -> None:
    real = Settings("mini", TOPOLOGY, LOCAL, KVM, "00" * 32)
    small = ["memory|1048576", *EMPTY[-2:]]
    assert [each.key for each in conflicts(real, read(small))] == ["machines.*.memory"]


def state(*names: str, pending: bool = False, key: str | None = None) -> dict[str, Any]:
    kinds = {"array": survey.COMMAND, "lan-bridge": survey.COMMAND, "bmcs-settings": survey.COMMAND}
    resources = [{"urn": f"urn::{name}", "type": kinds.get(name, survey.DOMAIN)} for name in names]
    outputs = {KEYS: key} if key else {}
    top = {"urn": "urn::rack-lab-mini", "type": survey.STACK, "outputs": outputs}
    return {"resources": [top, *resources], "pending_operations": [{}] if pending else None}


RIGHT = {
    "the first up": (EMPTY, state()),
    "no state at all": (EMPTY, {}),
    "raised": (OWN, state("laptop", "array", key=SETTINGS.admin_key.public)),
    "raised before keys were told": (OWN, state("laptop")),
    "killed at its first steps": (OWN, state(pending=True)),
    "killed after them": (OWN, state("lan-bridge")),
    "nothing made yet": (EMPTY, state("bmcs-settings")),
}
WRONG = {
    "the state is elsewhere": (OWN, {}, "lab --stack mini clear"),
    "a new backend": (OWN, state(), "this Pulumi state doesn't have it"),
    "it was reset": (
        EMPTY,
        state("laptop"),
        "pulumi state delete --all --force --yes --stack mini",
    ),
    "another clone": (OWN, state("laptop", key="ssh-ed25519 x"), "copy that file"),
}


@pytest.mark.parametrize("case", RIGHT)
def test_state_and_machine_tell_of_one_rack(case: str) -> None:
    lines, known = RIGHT[case]
    assert list(mismatches(SETTINGS, read(lines), known)) == []


@pytest.mark.parametrize("case", WRONG)
def test_where_they_don_t_it_is_refused_with_the_ways_on(case: str) -> None:
    lines, known, remedy = WRONG[case]
    assert remedy in told(list(mismatches(SETTINGS, read(lines), known)))


def test_a_survey_of_nothing_is_one() -> None:
    assert read([]) == Survey()


def test_a_rack_that_isn_t_there_is_told_with_the_way_to_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [*OWN]
    monkeypatch.setattr("lab.survey.ask", lambda *_, **__: "\n".join(lines))
    survey.require_rack(SETTINGS)
    lines[:] = [*EMPTY, *OTHER["lan"]]
    with pytest.raises(LabError, match="pulumi up --stack mini"):
        survey.require_rack(SETTINGS)


UNREACHABLE = """\
the stack's settings can't be used, nothing was created:
  lab:machine: ssh://127.0.0.1:1
    rule:   the lab machine must answer: ssh: connect to host 127.0.0.1 port 1: Connection refused
    remedy: {}"""


def test_this_machine_without_what_a_lab_machine_needs_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lab.remote.PROJECT", tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(import_module("artefacts.environment"), "SYSTEM_FOLDERS", ())
    for name in ("sh", "cat", "awk", "sed", "head"):
        (tmp_path / name).symlink_to(shutil.which(name, path="/usr/bin:/bin") or "")
    with pytest.raises(ConfigError, match=r"virsh: not found[^!]*lab --stack mini host prepare"):
        survey.survey(Settings("mini", TOPOLOGY, LOCAL, KVM, "00" * 32))


@pytest.mark.parametrize(
    ("memory", "remedy"),
    [
        (10 << 30, "start it: lab machine up"),
        (
            None,
            "switch ssh://127.0.0.1:1 on and look with ssh, or name another: "
            "pulumi config set lab:machine ssh://root@HOST --stack mini",
        ),
    ],
)
def test_a_lab_machine_that_is_off_is_told_before_anything_is_created(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, memory: int | None, remedy: str
) -> None:
    monkeypatch.setattr("config.settings.stack_folder", lambda _: tmp_path / "stack")
    monkeypatch.setattr("config.settings.PROJECT", tmp_path)
    monkeypatch.setattr("lab.remote.PROJECT", tmp_path)
    monkeypatch.setattr("lab.pulumi_cli.state", lambda _: pytest.fail("the state isn't needed"))
    lab = LabMachine(host="127.0.0.1", port=1)
    with pytest.raises(ConfigError) as caught:
        ground.check_ground(Settings("mini", TOPOLOGY, lab, EMULATED, "00" * 32, memory=memory))
    assert str(caught.value) == UNREACHABLE.format(remedy)


STATE: dict[str, Any] = {"resources": [{"urn": "a::laptop", "type": survey.DOMAIN}]}


def test_a_lab_machine_that_was_off_is_told_with_the_way_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """libvirt keeps its domains; md and LVM wait for `lab start`."""
    lines = [line for line in OWN if not line.startswith("group|")]
    monkeypatch.setattr("lab.survey.ask", lambda *_, **__: "\n".join(lines))
    monkeypatch.setattr("lab.pulumi_cli.state", lambda _: STATE)
    monkeypatch.setattr("config.settings.Settings.write_access", lambda _: None)
    with pytest.raises(LabError, match="lab --stack mini start"):
        survey.require_started(SETTINGS)
    with pytest.raises(ConfigError, match="lab --stack mini start; then: pulumi up --stack mini"):
        ground.check_ground(SETTINGS)


def test_a_volume_that_shall_be_smaller_is_refused_before_anything_is_changed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(name: str, size: int) -> dict[str, object]:
        create = f"san-volume apply x {size}"
        return {"urn": f"a::{name}", "type": survey.COMMAND, "inputs": {"create": create}}

    volumes = [made("san1-web", 160 << 20), made("san1-share", 64 << 20),
               made("storage1-sda-volume", 2 << 30)]  # fmt: skip
    state = {"resources": [*STATE["resources"], *volumes]}
    monkeypatch.setattr("lab.survey.ask", lambda *_, **__: "\n".join(OWN))
    monkeypatch.setattr("lab.pulumi_cli.state", lambda _: state)
    monkeypatch.setattr("config.settings.Settings.write_access", lambda _: None)
    with pytest.raises(ConfigError) as refused:
        ground.check_ground(SETTINGS)
    assert [problem.key for problem in refused.value.problems] == [
        "machines.storage1.disks", "machines.san1.volumes.web",
    ]  # fmt: skip
    assert "it has 160MiB, and is never made smaller" in str(refused.value)


def test_a_lab_machine_without_kvm_is_refused() -> None:
    found = read([*EMPTY, "kvm|no"])
    (problem,) = conflicts(SETTINGS, found)
    assert problem.key == "KVM"


def test_cpus_that_kvm_there_lacks_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def compare(_settings: Settings, _machine: str, words: list[str], **_options: object) -> str:
        asked.append(words[-1])
        if "vmx" in words[-1]:
            raise CommandFailed(["virsh"], "exit code 1", said="does not provide: vmx", code=1)
        return ""

    monkeypatch.setattr(survey, "ask", compare)
    node = Cpu.parse("Westmere,+vmx,?x2apic")
    real = replace(SETTINGS, profile=replace(KVM, node_cpu=node), memory=None)
    (wrong,) = survey.cpus(real, Survey(virtualisation="vmx"))
    assert (wrong.key, wrong.value) == ("lab:nodeCpu", str(node))
    assert "provide: vmx" in wrong.rule
    assert '<feature policy="require" name="vmx"/>' in asked[0]
    assert len(asked) == 2
    assert list(survey.cpus(replace(SETTINGS, profile=EMULATED), Survey())) == []
    assert len(asked) == 2  # emulated, libvirt would miss what is there
    on_intel = replace(real, profile=EMULATED)
    (other,) = survey.cpus(on_intel, Survey(virtualisation="vmx"))
    assert "by vmx" in other.rule
    assert len(asked) == 4  # a real one's is always asked
