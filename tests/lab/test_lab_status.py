"""Which power and state a machine has, by what its hosts and itself say."""

from threading import Event

import pytest

from artefacts import CommandFailed
from config.access import LAB_MACHINE, LabMachine
from config.load import FOLDER, load_topology
from config.profile import EMULATED
from config.settings import Settings
from lab.status import BOOTS, RackWatch, power_of, rack_status, rogue_dhcp_servers

TOPOLOGY = load_topology(FOLDER / "mini.yaml", "mini")
SETTINGS = Settings("mini", TOPOLOGY, LabMachine(host=None), EMULATED, "00" * 32)
NODES = {"mini-storage1", "mini-compute1"}
CASES: dict[str, tuple[str, dict[str, set[str] | None], str]] = {
    "a node that runs": ("storage1", {LAB_MACHINE: NODES}, "on"),
    "a node that doesn't": ("storage1", {LAB_MACHINE: set()}, "off"),
    "the lab machine is silent": ("storage1", {LAB_MACHINE: None}, "unknown"),
    "a guest that runs": ("san1", {LAB_MACHINE: NODES, "storage1": {"mini-san1"}}, "on"),
    "a guest that doesn't": ("san1", {LAB_MACHINE: NODES, "storage1": set()}, "off"),
    "its node is off": ("san1", {LAB_MACHINE: {"mini-compute1"}}, "off"),
    "its node is silent": ("san1", {LAB_MACHINE: NODES, "storage1": None}, "unknown"),
    "nothing answers": ("san1", {LAB_MACHINE: None}, "unknown"),
}


@pytest.mark.parametrize("case", CASES)
def test_power_of(case: str) -> None:
    name, running, power = CASES[case]
    assert power_of(SETTINGS, name, running) == power


def test_each_machine_that_is_on_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        LAB_MACHINE: "\nmini-laptop\nmini-router\nmini-compute1\nmini-storage1\n",
        "laptop": "ready\n",
        "router": "failed dhcp\n",
        "compute1": "ready\nmini-lxc1\n",
        "storage1": "ready\n?\n",
        "lxc1": "ready\nweb1\n",
    }
    asked = []

    def ask(_: Settings, name: str, *__: object, **___: object) -> str:
        asked.append(name)
        return said[name]

    monkeypatch.setattr("lab.status.ask", ask)
    report = rack_status(SETTINGS)
    assert sorted(asked) == sorted(said)
    assert {name: (each.power, each.phase) for name, each in report.items()} == {
        "laptop": ("on", "ready"),
        "router": ("on", "failed dhcp"),
        "firewall": ("off", "-"),
        "storage1": ("on", "ready"),
        "compute1": ("on", "ready"),
        "san1": ("unknown", "-"),
        "nfs1": ("off", "-"),
        "lxc1": ("on", "ready"),
        "web1": ("on", "ready"),
        "consul1": ("off", "-"),
    }


def test_a_machine_that_cannot_be_asked_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask(_: Settings, name: str, *__: object, **___: object) -> str:
        if name == LAB_MACHINE:
            return "\nmini-router\n"
        raise CommandFailed(["ssh"], "no end after 120 s")

    monkeypatch.setattr("lab.status.ask", ask)
    router, san1 = (rack_status(SETTINGS)[name] for name in ("router", "san1"))
    assert (router.phase, router.ready, router.why) == (
        "unreachable",
        False,
        "ssh: no end after 120 s",
    )
    assert (san1.power, san1.why) == ("off", "")


def test_who_is_the_boot_server_says_so_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    topology = load_topology(FOLDER / "quorum.yaml", "quorum")
    settings = Settings("quorum", topology, LabMachine(host=None), EMULATED, "00" * 32)
    said = {
        LAB_MACHINE: "\nquorum-laptop\nquorum-compute1\n",
        "laptop": "ready\n",
        "compute1": "ready\nquorum-consul1\n",
        "consul1": f"ready\n{BOOTS}\n",
    }
    monkeypatch.setattr("lab.status.ask", lambda _, name, *__, **___: said[name])
    report = rack_status(settings)
    assert report["consul1"].serves == ["http://10.77.3.253/", "dhcp"]
    assert report["laptop"].serves == report["consul2"].serves == []


def test_a_silent_lab_machine_names_no_rogue(monkeypatch: pytest.MonkeyPatch) -> None:
    def silent(*_: object, **__: object) -> str:
        raise CommandFailed(["ssh"], "silent")

    monkeypatch.setattr("lab.status.ask", lambda *_, **__: "52:54:00:00:00:01\n")
    assert rogue_dhcp_servers(SETTINGS) == ["52:54:00:00:00:01"]
    monkeypatch.setattr("lab.status.ask", silent)
    assert rogue_dhcp_servers(SETTINGS) == []


def test_what_is_said_shows_while_another_machine_is_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {
        LAB_MACHINE: "\nmini-laptop\nmini-compute1\n",
        "laptop": "ready\n",
        "compute1": "ready\nmini-nfs1\n",
        "nfs1": "ready\n",
    }
    seen = Event()

    def ask(_: Settings, name: str, *__: object, **___: object) -> str:
        if name == "laptop":
            assert seen.wait(10), "a time-out: nfs1's answer didn't show"
        return said[name]

    monkeypatch.setattr("lab.status.ask", ask)
    phases = []
    for report in RackWatch(SETTINGS).round():
        phases.append((report["nfs1"].phase, report["laptop"].phase))
        if report["nfs1"].ready:
            seen.set()
    assert phases[-2:] == [("ready", "-"), ("ready", "ready")]
