"""A host that is off: previews and refreshes go on, changes fail and say what to do."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_harness import Plugin, Refused, Resource, Start, Values

DOMAIN = "libvirt:index/domain:Domain"
INPUTS: Values = {
    "name": "guest",
    "memory": 64,
    "machine": "pc",
    "disks": [{"blockDevice": "/dev/a"}],
    "networkInterfaces": [{"bridge": "br", "mac": "52:54:00:00:00:01"}],
}
DEFAULTS = {"vcpu": 1, "type": "kvm", "running": True, "fwCfgName": "opt/com.coreos/config"}


@pytest.fixture
def closed_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@pytest.fixture
def dead(start: Start, closed_port: int, tmp_path: Path) -> Iterator[Plugin]:
    """The libvirt plugin with a node of stack mini that is off."""
    config = tmp_path / ".lab" / "stacks" / "mini" / "ssh_config"
    config.parent.mkdir(parents=True)
    config.write_text(f"Host compute1\n  HostName 127.0.0.1\n  Port {closed_port}\n")
    yield start("libvirt", uri=f"qemu+ssh://compute1/system?ssh_config={config}")


@pytest.fixture
def guest() -> Resource:
    """A guest of it, from an earlier deployment."""
    uuid = "00000000-0000-0000-0000-000000000001"
    return Resource(DOMAIN, uuid, INPUTS, {"id": uuid, **INPUTS, **DEFAULTS})


def test_a_preview_does_not_ask_the_host(dead: Plugin, guest: Resource) -> None:
    began = time.monotonic()
    dead.create(DOMAIN, {"name": "other"}, preview=True)
    assert "memory" in dead.diff(guest, {**INPUTS, "memory": 128})
    assert time.monotonic() - began < 1
    assert dead.log == []


def test_a_refresh_keeps_the_last_state_with_a_warning(dead: Plugin, guest: Resource) -> None:
    seen = dead.read(guest)
    assert seen.id == guest.id
    assert (seen.state["name"], seen.state["memory"]) == ("guest", 64)
    (line,) = dead.log
    assert line.startswith("warning: libvirt on compute1 (qemu+ssh://compute1/system) can't be")
    assert "Connection refused" in line


@pytest.mark.parametrize(
    "change",
    [
        {"bootDevices": [{"devs": ["network"]}]},
        {"disks": [{"blockDevice": "/dev/b"}]},
        {"disks": []},
        {"emulator": "/usr/bin/other"},
        {"initrd": "/boot/initrd"},
        {"kernel": "/boot/kernel"},
        {"machine": "q35"},
        {"metadata": "x"},
        {"networkInterfaces": [{"bridge": "br", "mac": "52:54:00:00:00:02"}]},
        {"networkInterfaces": [{"bridge": "other", "mac": "52:54:00:00:00:01"}]},
        {"networkInterfaces": [*INPUTS["networkInterfaces"], {"bridge": "more"}]},
        {"networkInterfaces": []},
        {"video": {"type": "vga"}},
        {"xml": {"xslt": "<other/>"}},
    ],
)
def test_what_the_provider_would_ignore_replaces(
    dead: Plugin, guest: Resource, change: Values
) -> None:
    changes = dead.diff(guest, {**INPUTS, **change})
    assert any(kind.endswith("_REPLACE") for kind in changes.values()), changes


@pytest.mark.parametrize("change", [{}, {"running": False}, {"autostart": True}])
def test_what_is_no_silent_change_does_not(dead: Plugin, guest: Resource, change: Values) -> None:
    plain = {"name": "guest", "memory": 64}
    state = {"id": guest.id, **plain, **DEFAULTS, "qemuAgent": False, "coreosIgnition": ""}
    changes = dead.diff(Resource(DOMAIN, guest.id, plain, state), {**plain, **change})
    assert set(changes) == set(change)
    assert not any(kind.endswith("_REPLACE") for kind in changes.values()), changes


def test_changes_fail_and_say_what_to_do(dead: Plugin, guest: Resource) -> None:
    switch = "lab --stack mini power compute1 on"
    remedy = rf"(?s)compute1.*Connection refused.*{switch} .*then run pulumi up again"
    with pytest.raises(Refused, match=remedy):
        dead.create(DOMAIN, {"name": "other"})
    with pytest.raises(Refused, match=remedy):
        dead.update(guest, {**INPUTS, "autostart": True})
    with pytest.raises(Refused, match=r"(?s)compute1.*or remove the node's domain as well"):
        dead.delete(guest)


def test_a_host_that_says_nothing_is_asked_once(
    start: Start, guest: Resource, tmp_path: Path
) -> None:
    """Twenty resources on a dead node must not wait twenty times."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = tmp_path / "ssh_config"
        port = silent.getsockname()[1]
        config.write_text(f"Host *\n  HostName 127.0.0.1\n  Port {port}\n  ConnectTimeout 1\n")
        plugin = start("libvirt", uri=f"qemu+ssh://compute1/system?ssh_config={config}")
        began = time.monotonic()
        for _ in range(20):
            plugin.read(guest)
        assert 0.9 < time.monotonic() - began < 5
    assert len([line for line in plugin.log if "banner exchange" in line]) == 20
