"""The libvirt plugin with a real libvirtd, reached over ssh through a jump host."""

import sys
import time
import uuid
from pathlib import Path

import pytest
from libvirtd_harness import Libvirtd
from plugin_harness import Plugin, Refused, Start, Values
from sshd_harness import Sshd

DOMAIN = "libvirt:index/domain:Domain"
POOL = "libvirt:index/pool:Pool"
NETWORK = "libvirt:index/network:Network"
XSLT = """<xsl:stylesheet version="1.0" xmlns:xsl="http://www.w3.org/1999/XSL/Transform">
<xsl:template match="@*|node()"><xsl:copy><xsl:apply-templates select="@*|node()"/></xsl:copy>
</xsl:template><xsl:template match="/{root}"><xsl:copy><xsl:apply-templates select="@*|node()"/>
<metadata>{owner}</metadata></xsl:copy></xsl:template></xsl:stylesheet>"""
OWNER = '<rack:owner xmlns:rack="urn:rack-lab">{}</rack:owner>'


@pytest.fixture
def plugin(start: Start, uri: str) -> Plugin:
    return start("libvirt", uri=uri)


@pytest.fixture
def guest() -> Values:
    """A domain that needs neither KVM nor disk nor network."""
    return {
        "name": f"guest-{uuid.uuid4().hex[:6]}",
        "type": "qemu",
        "memory": 16,
        "machine": "pc-i440fx-7.2",
        "xml": {"xslt": XSLT.format(root="domain", owner=OWNER.format("stack"))},
    }


def test_a_domain_lives_and_dies(plugin: Plugin, libvirtd: Libvirtd, guest: Values) -> None:
    made = plugin.create(DOMAIN, guest)
    assert guest["name"] in libvirtd.names()
    seen = plugin.read(made)
    assert seen.state["machine"] == guest["machine"]  # not the alias "pc"
    assert plugin.diff(seen, guest) == {}
    plugin.delete(seen)
    assert guest["name"] not in libvirtd.names()
    plugin.delete(seen)  # gone already is as good


def test_autostart_is_updated_in_place(plugin: Plugin, libvirtd: Libvirtd, guest: Values) -> None:
    made = plugin.create(DOMAIN, guest)
    assert set(plugin.diff(made, {**guest, "autostart": True}).values()) <= {"ADD", "UPDATE"}
    plugin.update(made, {**guest, "autostart": True})
    assert "enable" in libvirtd.virsh("dominfo", guest["name"]).split("Autostart:")[1]
    plugin.delete(made)


def test_a_network_lives_gives_way_and_dies(start: Start, uri: str, libvirtd: Libvirtd) -> None:
    inputs: Values = {
        "name": f"net-{uuid.uuid4().hex[:6]}",
        "mode": "bridge",
        "bridge": "br-none",
        "xml": {"xslt": XSLT.format(root="network", owner=OWNER.format("stack"))},
    }
    first = start("libvirt", uri=uri).create(NETWORK, inputs)
    plugin = start("libvirt", uri=uri)
    second = plugin.create(NETWORK, inputs)
    assert second.id != first.id
    assert second.id in libvirtd.virsh("net-uuid", inputs["name"])
    plugin.delete(second)
    plugin.delete(second)


def test_a_pool_is_adopted_with_its_volumes(start: Start, uri: str, libvirtd: Libvirtd) -> None:
    folder = libvirtd.folder / "pool"
    inputs = {"name": "pool", "type": "dir", "target": {"path": str(folder)}}
    start("libvirt", uri=uri).create(POOL, inputs)
    (folder / "volume").write_text("kept")
    plugin = start("libvirt", uri=uri)
    with pytest.raises(Refused, match="already exists"):
        plugin.create(POOL, {**inputs, "target": {"path": str(folder / "other")}})
    second = plugin.create(POOL, inputs)
    assert (folder / "volume").read_text() == "kept"
    (folder / "volume").unlink()
    plugin.delete(second)


def test_the_remnant_of_a_killed_up_gives_way(
    start: Start, uri: str, libvirtd: Libvirtd, guest: Values
) -> None:
    first = start("libvirt", uri=uri).create(DOMAIN, guest)
    plugin = start("libvirt", uri=uri)  # which knows nothing of the first one
    second = plugin.create(DOMAIN, guest)
    assert second.id != first.id
    other = {**guest, "xml": {"xslt": guest["xml"]["xslt"].replace(">stack<", ">other<")}}
    with pytest.raises(Refused, match=f'"{guest["name"]}" already, and it belongs to "stack"'):
        plugin.create(DOMAIN, other)
    assert second.id in libvirtd.virsh("domuuid", guest["name"])
    plugin.delete(second)


def test_what_nobody_tagged_is_not_touched(
    plugin: Plugin, libvirtd: Libvirtd, guest: Values
) -> None:
    theirs = plugin.create(DOMAIN, {**guest, "xml": {"xslt": ""}})
    with pytest.raises(Refused, match="carries no owner tag"):
        plugin.create(DOMAIN, guest)
    assert guest["name"] in libvirtd.names()
    plugin.delete(theirs)


def test_a_lost_connection_is_made_again(start: Start, uri: str, sshd: Sshd, guest: Values) -> None:
    plugin = start("libvirt", uri=uri)
    made = plugin.create(DOMAIN, guest)
    sshd.drop_connections()
    assert plugin.read(made).id == made.id
    plugin.delete(made)


SLOW_SSH = """#!{python}
import socket, sys, threading, time

def pass_on(source, sink):
    while data := source.recv(65536):
        sink.sendall(data)

near, far = sys.argv[sys.argv.index("-L") + 1].split(":")
listening = socket.socket(socket.AF_UNIX)
listening.bind(near)
time.sleep(1)
listening.listen()
while True:
    client, server = listening.accept()[0], socket.socket(socket.AF_UNIX)
    server.connect(far)
    for way in ((client, server), (server, client)):
        threading.Thread(target=pass_on, args=way, daemon=True).start()
"""


@pytest.fixture
def slow_ssh(pulumi: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system's ssh client is one whose socket is there a second before it listens."""
    ssh = tmp_path / "ssh"
    ssh.write_text(SLOW_SSH.format(python=sys.executable))
    ssh.chmod(0o700)
    monkeypatch.setitem(pulumi, "PATH", f"{tmp_path}:{pulumi['PATH']}")


@pytest.mark.usefixtures("slow_ssh")
def test_a_tunnel_is_awaited_until_it_listens(start: Start, uri: str, guest: Values) -> None:
    plugin = start("libvirt", uri=uri)
    plugin.delete(plugin.create(DOMAIN, guest))


def ssh_of(plugin: Plugin) -> int:
    """The pid of the plugin's one tunnel."""
    children = Path(f"/proc/{plugin.process.pid}/task")
    ssh = [int(c) for task in children.iterdir() for c in (task / "children").read_text().split()]
    assert len(ssh) == 1
    return ssh[0]


def assert_ends(pid: int, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while Path(f"/proc/{pid}").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not Path(f"/proc/{pid}").exists()


def test_ssh_ends_with_the_plugin_even_if_it_is_killed(
    start: Start, uri: str, guest: Values
) -> None:
    plugin = start("libvirt", uri=uri)
    plugin.delete(plugin.create(DOMAIN, guest))
    ssh = ssh_of(plugin)
    plugin.close()
    assert_ends(ssh, 5)


def test_a_killed_engine_leaves_neither_plugin_nor_tunnel(plugin: Plugin, guest: Values) -> None:
    plugin.delete(plugin.create(DOMAIN, guest))
    ssh = ssh_of(plugin)
    plugin.kill_engine()
    plugin.process.wait(30)
    assert_ends(ssh, 30)
