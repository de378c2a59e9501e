"""Faults on purpose, made where the real one would be: below the machine that has to bear it.

Owns how each is made and mended. Leaves bearing it to the arrays and services above, and power to
`power`.
"""

import equipment
from config import access, addressing, names
from config.errors import Problem, Refused
from config.settings import Settings
from config.topology import StorageNode
from lab.power import host_or_home
from lab.remote import VIRSH, ask, equip

# As the domain has it, beside the source; the persistent definition keeps the disk all the time.
ATTACH = "--live --targetbus scsi --sourcetype block --subdriver raw"
PULL = f"! {VIRSH} domblklist $1 | grep -qw $2 || {VIRSH} detach-disk $1 $2 --live"
PUT = f"{VIRSH} domblklist $1 | grep -qw $2 || {VIRSH} attach-disk $1 $3 $2 {ATTACH}"
PAUSED = f"{VIRSH} domstate $1 | grep -qx paused"
STAND_STILL = f"{PAUSED} || {VIRSH} suspend $1"
GO_ON = f"! {PAUSED} || {VIRSH} resume $1"


def disk(settings: Settings, name: str, device: str, *, repair: bool) -> None:
    """Pull a disk out of a running storage node or the lab machine, or put it in again.

    `device`: sda, sdb, ... of a node; a disk's serial number of the lab machine.

    Raises:
        ConfigError: there is no such disk.
        LabError: it can't be done.
    """
    if name == access.LAB_MACHINE:
        _physical_disk(settings, device, repair=repair)
        return
    machine = settings.machine(name)
    if not isinstance(machine, StorageNode):
        known = ", ".join([*settings.topology.of(StorageNode), access.LAB_MACHINE])
        raise _refused("machine", name, f"one with disks: {known}")
    _check(name, device, list(names.node_disks(machine.disks)))
    domain = names.domain(settings.stack, name)
    source = f"/dev/{names.volume_group(settings.stack)}/{names.node_volume(name, device)}"
    script = PUT if repair else PULL
    words = ["sh", "-euc", script, "fault", domain, device, source]
    ask(settings, access.LAB_MACHINE, words)


def link(settings: Settings, name: str, network: str, *, repair: bool) -> None:
    """Pull a running machine's cable out of a network's switch, or put it in again.

    Its kernel sees a link that is down. It is in again at the machine's next start.

    Raises:
        ConfigError: there is no such machine, or it isn't on that network.
        LabError: it can't be done.
    """
    machine = settings.machine(name)
    if network not in machine.networks:
        raise _refused("network", network, f"one of {name}: {', '.join(machine.networks)}")
    nics = addressing.nics(settings.stack, settings.topology, name)
    mac = next(nic.mac for nic in nics if nic.network == network)
    domain = names.domain(settings.stack, name)
    words = [*VIRSH.split(), "domif-setlink", domain, mac, "up" if repair else "down"]
    ask(settings, host_or_home(settings, name), words)


def freeze(settings: Settings, name: str, *, repair: bool) -> None:
    """Let a machine stand still, as one whose host has no time for it, or go on again.

    Raises:
        ConfigError: there is no such machine.
        LabError: it can't be done.
    """
    settings.machine(name)
    domain = names.domain(settings.stack, name)
    script = GO_ON if repair else STAND_STILL
    hosts = settings.hosts_of(name) if repair else (host_or_home(settings, name),)
    for host in hosts:
        ask(settings, host, ["sh", "-euc", script, "fault", domain])


def _physical_disk(settings: Settings, serial: str, *, repair: bool) -> None:
    _check(access.LAB_MACHINE, serial, settings.topology.array.disks)
    words = ["sh", "-s", "--", "put" if repair else "pull", serial]
    script = (equipment.FOLDER / "disk.sh").read_bytes()
    ask(settings, access.LAB_MACHINE, words, stdin=script)
    if repair:
        equip(settings, equipment.array(settings.stack, settings.topology))


def _check(machine: str, device: str, there: list[str] | tuple[str, ...]) -> None:
    if device not in there:
        raise _refused("disk", device, f"a disk of {machine}: {', '.join(there)}")


def _refused(what: str, given: str, rule: str) -> Refused:
    return Refused("lab fault", [Problem(what, given, rule, "name one of these")])
