"""The cold start: from no power at all to full service, without Pulumi.

Owns the order. Leaves what the lab machine needs to `equipment` and `bmcs`, power to `power`; the
guests and containers come back by themselves.
"""

import sys

import equipment
from artefacts import step
from config import addressing, names
from config.settings import Settings
from config.topology import BootServer, ConsulServer, Founder, Node, Server
from lab import bmcs, boot_server, host, survey
from lab.converge import catch_up, wait_led, wait_ready, wait_serving
from lab.power import Action, power
from lab.remote import equip, on_lab_machine
from labmachine import machine

# Open vSwitch 3.1 sometimes starts with bridges in its database and never hears of a packet that
# no flow knows (`ovs-appctl dpctl/show`: missed = lost); started again it does.
SWITCHING = """
heard() {{ ping -q -c 1 -W 3 {0} >/dev/null; }}
heard || heard || heard || systemctl restart ovs-vswitchd
for n in 1 2 3 4 5 6 7 8 9 10; do ! heard || exit 0; done
echo "no answer from {0} on the lab machine's own switch" >&2
exit 1
"""


def start(settings: Settings) -> None:
    """Bring a rack that was raised once back to full service; what runs is left alone.

    The founder may have been off, or away, when its own copy of the boot tree would have changed;
    machines that booted from that are brought up to date.

    Raises:
        LabError: the rack was never raised there, or a machine doesn't come back; with the
            phase or console it last showed.
        MachineError: the virtual lab machine doesn't start.
        ConfigError: a real one lacks something.
    """
    _lab_machine(settings)
    found = survey.require_rack(settings)
    with step("switches, array, volumes"):
        bmcs.publish(settings)
        for each in equipment.everything(settings.stack, settings.topology):
            equip(settings, each)
    topology = settings.topology
    for server in list(topology.of(Server).values())[:1]:
        with step("do the switches switch?"):
            on_lab_machine(settings, SWITCHING.format(addressing.bmc(topology, server).ip))
    domains = {name: names.domain(settings.stack, name) for name in topology.of(Node)}
    if unmade := [name for name, domain in domains.items() if domain not in found.domains]:
        _half_made(settings, found, unmade)
        return
    at_once = settings.profile.boots_at_once or len(topology.machines)
    ready: set[str] = set()
    booting: list[str] = []
    for name in topology.of(BootServer):
        power(settings, name, Action.ON)
        with step(f"waiting for {name} to serve"):
            wait_serving(settings, name)
    first = _nodes_of_state(settings)
    for name in sorted(topology.of(Server), key=lambda each: each not in first):
        while len(booting) >= at_once:
            _await(settings, booting.pop(0), ready)
        power(settings, name, Action.ON)
        booting.append(name)
    for name in [*booting, *topology.machines]:
        _await(settings, name, ready)
    if topology.founder:
        with step("waiting for a leader"):
            wait_led(settings, topology.founder)
        for name in topology.machines:
            with step(f"{name}: what its boot entry says"):
                catch_up(settings, name)
    for node in topology.moves.values():
        boot_server.move(settings, node)


def _lab_machine(settings: Settings) -> None:
    """Start the virtual one; of a real one see that its boot has left all as it should be."""
    if not settings.virtual:
        host.require_prepared(settings)
        return
    if not settings.was_raised:  # no `up` here ever kept an overlay
        raise survey.no_rack(settings)
    machine.up()


def _half_made(settings: Settings, found: survey.Survey, unmade: list[str]) -> None:
    """Switch on what an `up` that was broken off has made; the rest is the next one's."""
    for name in survey.nodes_off(settings, found):
        with step(f"{name}: power on"):
            power(settings, name, Action.ON)
    print(
        f"{', '.join(unmade)} were never made; go on with: pulumi up --stack {settings.stack}",
        file=sys.stderr,
    )


def _nodes_of_state(settings: Settings) -> set[str]:
    """The nodes of the SANs that may have the boot server's consul state.

    They boot before all others: nobody's agent finds a server until that state is there.
    """
    founders = settings.topology.of(Founder).values()
    return {settings.host_of(san) for each in founders for san, _ in each.legs}


def _await(settings: Settings, name: str, ready: set[str]) -> None:
    """The machine, and those of its guests that have what they need; notes who is `ready`.

    A consul server needs enough others for a leader, which may boot after it.
    """
    if name in ready:
        return
    with step(f"waiting for {name}"):
        wait_ready(settings, name)
    ready.add(name)
    for guest, each in settings.topology.guests_on(name).items():
        if ready.issuperset(each.needs) and not isinstance(each, ConsulServer):
            _await(settings, guest, ready)
