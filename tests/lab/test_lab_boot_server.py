"""The boot server's description where it goes, and where it is looked for."""

from dataclasses import replace

import pytest

from artefacts import CommandFailed, LabError
from config import names
from config.access import LAB_MACHINE
from config.errors import ConfigError
from config.netem import Netem
from config.settings import load_settings
from lab import boot_server, power
from lab.ground import check_ground
from lab.survey import read

SETTINGS = load_settings("moving", {"topology": "moving"}.get, keep=False)
FOUND = read(
    [
        "domain|moving-laptop|rack-lab.moving|1024", "running|moving-compute1",
        "group|rack-moving|rack-lab.moving",
    ]
)  # fmt: skip
STATE = {"resources": [{"urn": "a::laptop", "type": "libvirt:index/domain:Domain"}]}
DOMAIN = """<domain><name>moving-laptop</name>
<metadata><rack:owner xmlns:rack="urn:rack-lab">rack-lab.moving</rack:owner></metadata>
<devices>
<interface type="bridge"><mac address="52:54:00:00:00:01"/><source bridge="moving-lan"/>
<virtualport type="openvswitch"><parameters interfaceid="1"/></virtualport></interface>
<serial type="pty"><log file="/var/log/libvirt/moving/laptop.log" append="on"/></serial>
</devices></domain>"""


def test_in_a_node_it_joins_the_node_s_bridge() -> None:
    text = boot_server.describe(SETTINGS, "laptop", DOMAIN, "compute1").decode()
    assert '<source bridge="lan" />' in text
    assert "virtualport" not in text
    assert '<log file="/var/log/rack/laptop.log"' in text
    assert 'xmlns:rack="urn:rack-lab"' in text


def test_at_home_it_is_a_port_of_the_switch() -> None:
    there = boot_server.describe(SETTINGS, "laptop", DOMAIN, "compute1").decode()
    text = boot_server.describe(SETTINGS, "laptop", there, LAB_MACHINE).decode()
    assert '<source bridge="moving-lan" />' in text
    assert text.count('<virtualport type="openvswitch" />') == 1
    assert '<log file="/var/log/rack/laptop.log"' not in text


def test_at_home_it_is_behind_its_bad_line_again() -> None:
    laptop = SETTINGS.topology.machines["laptop"].model_copy(
        update={"netem": {"lan": Netem.model_validate({"delay": "1ms"})}}
    )
    machines = {**SETTINGS.topology.machines, "laptop": laptop}
    topology = SETTINGS.topology.model_copy(update={"machines": machines})
    settings = replace(SETTINGS, topology=topology)
    text = boot_server.describe(settings, "laptop", DOMAIN, LAB_MACHINE).decode()
    assert f'<source bridge="{names.line_bridge("moving", "laptop", "lan")}" />' in text


@pytest.mark.parametrize(
    ("home", "away", "where"),
    [
        (["moving-laptop", "moving-compute1"], [], LAB_MACHINE),
        (["moving-compute1"], ["moving-laptop"], "compute1"),
        (["moving-compute1"], [], None),
        (["moving-storage1"], None, None),  # the node is off: nobody asks it
    ],
)
def test_it_is_where_it_runs(
    monkeypatch: pytest.MonkeyPatch, home: list[str], away: list[str] | None, where: str | None
) -> None:
    def ask(_settings: object, host: str, _command: object) -> str:
        found = home if host == LAB_MACHINE else away
        if found is None:
            raise CommandFailed(["ssh"], f"{host} is off")
        return "\n".join(found)

    monkeypatch.setattr("lab.power.ask", ask)
    assert power.where(SETTINGS, "laptop") == where


def test_a_node_that_is_silent_isn_t_taken_for_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_settings: object, host: str, _command: object) -> str:
        if host == LAB_MACHINE:
            return "moving-compute1"
        raise CommandFailed(["ssh"], f"{host} is silent")

    monkeypatch.setattr("lab.power.ask", ask)
    with pytest.raises(LabError, match="compute1 is silent"):
        power.where(SETTINGS, "laptop")


@pytest.mark.parametrize(
    ("away", "off"),
    [(["moving-laptop"], []), ([], ["laptop"]), (None, [])],  # a node that is silent may run it
)
def test_it_is_off_only_if_it_runs_nowhere(
    monkeypatch: pytest.MonkeyPatch, away: list[str] | None, off: list[str]
) -> None:
    def ask(_settings: object, host: str, _command: object) -> str:
        found = ["moving-compute1"] if host == LAB_MACHINE else away
        if found is None:
            raise CommandFailed(["ssh"], f"{host} is silent")
        return "\n".join(found)

    monkeypatch.setattr("lab.power.ask", ask)
    monkeypatch.setattr("lab.pulumi_cli.state", lambda _: STATE)
    monkeypatch.setattr("lab.survey.survey", lambda _: FOUND)
    monkeypatch.setattr("config.settings.Settings.write_access", lambda _: None)
    assert check_ground(SETTINGS) == off


@pytest.mark.parametrize(("stack", "to"), [("moving", "storage1"), ("quorum", "compute1")])
def test_it_moves_to_its_own_node_alone(stack: str, to: str) -> None:
    settings = load_settings(stack, {"topology": stack}.get, keep=False)
    with pytest.raises(ConfigError):
        boot_server.move(settings, to)


def test_it_doesn_t_set_out_for_a_node_that_is_off(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_settings: object, _host: str, _command: object) -> str:
        return "moving-laptop"

    monkeypatch.setattr("lab.power.ask", ask)
    with pytest.raises(LabError, match="lab --stack moving power compute1 on"):
        boot_server.move(SETTINGS, "compute1")


@pytest.mark.parametrize(
    ("after", "told"),
    [
        ("moving-laptop", "laptop goes on, on labmachine; to try again"),
        ("", "laptop is off; switch it on: lab --stack moving power laptop on; to try again"),
    ],
)
def test_a_move_that_fails_tells_where_it_is_and_how_to_try_again(
    monkeypatch: pytest.MonkeyPatch, after: str, told: str
) -> None:
    running = ["moving-laptop", "moving-compute1"]

    def ask(_settings: object, _host: str, command: list[str], **_: object) -> str:
        if command[0] == "stick":
            running[:] = [after]
            raise CommandFailed(["ssh"], "the volume is full")
        return "\n".join(running)

    for module in ("power", "boot_server"):
        monkeypatch.setattr(f"lab.{module}.ask", ask)
    match = rf"full\n{told}: lab --stack moving boot-server move compute1$"
    with pytest.raises(LabError, match=match):
        boot_server.move(SETTINGS, "compute1")
