"""The cold start: from no power at all to full service, without Pulumi.

Owns the order. Leaves what the lab machine needs to `equipment` and `bmcs`, power to `power`; the
guests and containers come back by themselves.
"""

import equipment
from artefacts import step
from config.settings import Settings
from config.topology import BootServer, Guest, Server
from lab import bmcs
from lab.converge import wait_ready
from lab.power import Action, power
from lab.remote import equip
from labmachine import machine


def start(settings: Settings) -> None:
    """Bring a rack that was raised once back to full service; what runs is left alone.

    Raises:
        CommandFailed: a machine doesn't come back; with the phase or console it last showed.
        MachineError: the virtual lab machine doesn't start.
    """
    if settings.virtual:
        machine.up()
    with step("switches, array, volumes"):
        bmcs.publish(settings)
        for each in equipment.everything(settings.stack, settings.topology):
            equip(settings, each)
    topology = settings.topology
    at_once = settings.boots_at_once or len(topology.machines)
    booting: list[str] = []
    for name in [*topology.of(BootServer), *topology.of(Server)]:
        while len(booting) >= at_once:
            _await(settings, booting.pop(0))
        power(settings, name, Action.ON)
        booting.append(name)
        if name in topology.of(BootServer):
            _await(settings, booting.pop())
    for name in [*booting, *topology.of(Guest)]:
        _await(settings, name)


def _await(settings: Settings, name: str) -> None:
    with step(f"waiting for {name}"):
        wait_ready(settings, name)
