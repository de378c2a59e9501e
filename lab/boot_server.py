"""Moving the boot server between the lab machine and a compute node, while it runs.

Owns where it runs, and the order: tree and state to the volume, off the stick, over to the node;
and back. Leaves copying to guest/roles/founder, the move itself to libvirt's and qemu's live
migration (https://libvirt.org/migration.html, "managed direct").
"""

import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from artefacts import LabError, step
from config import addressing, names
from config.access import LAB_MACHINE
from config.errors import Problem, Refused
from config.settings import PROJECT, Settings
from lab.power import where
from lab.remote import VIRSH, ask, on_lab_machine, patiently

COPY_S, MOVE_S = 1800, 1800  # hangs
CONNECT_S = 60
SOCKET = "/run/libvirt/libvirt-sock"
OWNER = "urn:rack-lab"
DETACH = """
virsh="{virsh}"
in_use() {{ $virsh domblklist "$1" | grep -q sda; }}
! in_use "$1" || $virsh detach-disk "$1" sda --live
for n in $(seq 60); do in_use "$1" || exit 0; sleep 1; done
echo "the stick is still plugged in after 60 s" >&2
exit 1
"""
ATTACH = """
virsh="{virsh}"
cat >"/run/$1.stick.xml"
$virsh domblklist "$1" | grep -q sda || $virsh attach-device "$1" "/run/$1.stick.xml" --live
"""
# A node's other guests, and the migration home, would leave its consul too little of the node's
# cores to be sure that it leads; agents have that priority on all machines (guest/agent).
PREFER = """
for task in "/proc/$(cat "/run/libvirt/qemu/$1.pid")"/task/*; do
    ! grep -q ^CPU "$task/comm" || renice -n -10 -p "${task##*/}"
done
"""
# Without power a node is silent: TCP, and so libvirt, waits a quarter of an hour (tcp(7),
# tcp_retries2). The machine goes on where it was, as what has been sent is a copy.
MIGRATE = """
cat >"/run/$1.xml"
virsh -c "$2" migrate --live --auto-converge --xml "/run/$1.xml" "$1" "$3" --migrateuri "$4" &
migration=$! silent=0
while sleep 5 && kill -0 $migration 2>/dev/null; do
    if timeout 20 virsh -c "$5" uri >/dev/null 2>&1; then silent=0; else silent=$((silent + 1)); fi
    if [ $silent -ge 2 ]; then
        echo "the node's libvirtd doesn't answer any more" >&2
        timeout 20 virsh -c "$2" domjobabort "$1" || true
    fi
done
wait $migration
"""


def founder(settings: Settings) -> str:
    """The boot server that moves.

    Raises:
        ConfigError: this rack has none.
    """
    for name in settings.topology.moves:
        return name
    problem = Problem(
        "machines.laptop", "stays", "a founder with `volume` and `node` moves",
        "give the laptop both in the topology, as config/moving.yaml does",
    )  # fmt: skip
    raise Refused("lab boot-server", [problem])


def move(settings: Settings, to: str) -> None:
    """Have the boot server run on `to`, its node or the lab machine.

    Raises:
        ConfigError: it doesn't move, or not there.
        LabError: it couldn't; with where it goes on.
    """
    name = founder(settings)
    if to not in settings.hosts_of(name):
        rule = f"one of: {', '.join(settings.hosts_of(name))}"
        raise Refused("lab boot-server move", [Problem("NODE", to, rule, "name one of them")])
    here = _running(settings, name)
    if to != LAB_MACHINE:
        _running(settings, to)
    try:
        if to == LAB_MACHINE:
            _come_home(settings, name, here)
        elif here != to:
            _leave(settings, name, to)
    except LabError as error:
        again = f"to try again: lab --stack {settings.stack} boot-server move {to}"
        raise LabError(f"{error}\n{_left_at(settings, name)}; {again}") from error


def _left_at(settings: Settings, name: str) -> str:
    """What became of it: a node without power, or silent, may have had it."""
    try:
        return f"{name} goes on, on {_running(settings, name)}"
    except LabError as seen:
        return str(seen)


def _running(settings: Settings, name: str) -> str:
    """Where it runs; an error if it is off."""
    here = where(settings, name)
    if here is None:
        raise LabError(f"{name} is off; switch it on: {settings.power_on(name)}")
    return here


def _leave(settings: Settings, name: str, to: str) -> None:
    domain = names.domain(settings.stack, name)
    with step(f"{name}: tree and consul's state to the volume and memory"):
        ask(settings, name, ["stick", "leave"], timeout_s=COPY_S)
    with step(f"{name}: off the stick"):
        detach = DETACH.format(virsh=VIRSH)
        ask(settings, LAB_MACHINE, ["sh", "-euc", detach, "detach", domain])
    _migrate(settings, name, LAB_MACHINE, to)


def _come_home(settings: Settings, name: str, here: str) -> None:
    domain = names.domain(settings.stack, name)
    if here != LAB_MACHINE:
        _migrate(settings, name, here, LAB_MACHINE)
    with step(f"{name}: the stick is plugged in"):
        inactive = ["sh", "-c", f"{VIRSH} dumpxml --inactive {domain}"]
        defined = ET.fromstring(ask(settings, LAB_MACHINE, inactive))  # noqa: S314 (libvirt's)
        disk = ET.tostring(_one(defined, "devices/disk"))
        attach = ["sh", "-euc", ATTACH.format(virsh=VIRSH), "attach", domain]
        ask(settings, LAB_MACHINE, attach, stdin=disk)
    with step(f"{name}: tree and consul's state back to the stick"):
        ask(settings, name, ["stick", "take"], timeout_s=COPY_S)


def _migrate(settings: Settings, name: str, here: str, to: str) -> None:
    """Memory that is free costs next to nothing: it holds zeros (lab/publish.py, MOVES)."""
    domain = names.domain(settings.stack, name)
    ask(settings, name, ["sh", "-c", "echo 3 >/proc/sys/vm/drop_caches"])
    described = ask(settings, here, ["sh", "-c", f"{VIRSH} dumpxml --migratable {domain}"])
    there = describe(settings, name, described, to)
    node = to if here == LAB_MACHINE else here
    with step(f"{name}: from {here} to {to}"), _libvirt_of(settings, node) as far:
        near = "qemu:///system"
        from_uri, to_uri = (near, far) if here == LAB_MACHINE else (far, near)
        data = f"tcp://{_address(settings, to)}"
        way = ["sh", "-euc", MIGRATE, "migrate", domain, from_uri, to_uri, data, far]
        ask(settings, LAB_MACHINE, way, stdin=there, timeout_s=MOVE_S)
        if to != LAB_MACHINE:
            ask(settings, to, ["sh", "-euc", PREFER, "prefer", domain])


def describe(settings: Settings, name: str, text: str, to: str) -> bytes:
    """A domain's XML as it must be on the host `to`: its bridges, and the console's log."""
    ET.register_namespace("rack", OWNER)
    domain = ET.fromstring(text)  # noqa: S314 (libvirt's)
    home = to == LAB_MACHINE
    for cgroup in domain.findall("resource"):  # a node has no cgroups
        domain.remove(cgroup)
    nics = addressing.nics(settings.stack, settings.topology, name)
    for interface, nic in zip(domain.findall("devices/interface"), nics, strict=True):
        for old in interface.findall("virtualport"):
            interface.remove(old)
        bridge = nic.network
        if home:
            bridge = addressing.plug(settings.stack, settings.topology, name, nic.network)
        _one(interface, "source").set("bridge", bridge)
        if home:
            ET.SubElement(interface, "virtualport", type="openvswitch")
    for log in domain.iter("log"):
        log.set("file", settings.console_log(name, to))
    return ET.tostring(domain)


def _one(parent: ET.Element, path: str) -> ET.Element:
    found = parent.find(path)
    if found is None:
        raise LabError(f"libvirt's description of the boot server has no {path}")
    return found


def _address(settings: Settings, host: str) -> object:
    """Where qemu on a host takes the migration."""
    if host == LAB_MACHINE:
        return addressing.lab_machine(settings.topology, "lan").ip
    return addressing.management_address(settings.topology, host)


@contextmanager
def _libvirt_of(settings: Settings, node: str) -> Iterator[str]:
    """The URI, on the lab machine, of a node's libvirtd: its socket, led there by ssh."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as forwards:
        socket = f"{folder}/libvirt"
        forwards.enter_context(_forwarding(settings, node, "-L", f"{socket}:{SOCKET}"))
        if settings.lab.host is not None:
            here, socket = socket, f"/run/{names.domain(settings.stack, node)}.libvirt"
            remove = f"rm -f {socket}"
            on_lab_machine(settings, remove)
            forwards.callback(on_lab_machine, settings, remove)
            forwards.enter_context(_forwarding(settings, LAB_MACHINE, "-R", f"{socket}:{here}"))
        uri = f"qemu+unix:///system?socket={socket}"
        # A socket is there before it answers: asked is the libvirtd at its far end.
        answer = f"virsh -c '{uri}' uri"
        patiently(CONNECT_S)(on_lab_machine, settings, answer, timeout_s=CONNECT_S)
        yield uri


@contextmanager
def _forwarding(settings: Settings, machine: str, *forward: str) -> Iterator[None]:
    """An ssh connection of its own that does nothing else."""
    own = ["-o", "ControlPath=none", "-o", "ExitOnForwardFailure=yes", "-N"]
    config = ["-F", str(PROJECT / settings.ssh_config)]
    with subprocess.Popen(["ssh", *config, *own, *forward, machine]) as connection:
        try:
            yield
        finally:
            connection.terminate()
