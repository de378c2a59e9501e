"""Faults on purpose, made where the real one would be: below the machine that has to bear it.

Owns how each is made and mended. Leaves bearing it to the arrays and services above.
"""

import equipment
from config import access, names
from config.errors import Problem, Refused
from config.settings import Settings
from config.topology import StorageNode
from lab.remote import VIRSH, ask, equip

# As the domain has it, beside the source; the persistent definition keeps the disk all the time.
ATTACH = "--live --targetbus scsi --sourcetype block --subdriver raw"
PULL = f"! {VIRSH} domblklist $1 | grep -qw $2 || {VIRSH} detach-disk $1 $2 --live"
PUT = f"{VIRSH} domblklist $1 | grep -qw $2 || {VIRSH} attach-disk $1 $3 $2 {ATTACH}"


def disk(settings: Settings, name: str, device: str, *, repair: bool) -> None:
    """Pull a disk out of a running storage node or the lab machine, or put it in again.

    `device`: sda, sdb, ... of a node; a disk's serial number of the lab machine.

    Raises:
        ConfigError: there is no such disk.
        CommandFailed: it can't be done.
    """
    if name == access.LAB_MACHINE:
        _physical_disk(settings, device, repair=repair)
        return
    machine = settings.machine(name)
    if not isinstance(machine, StorageNode):
        known = ", ".join([*settings.topology.of(StorageNode), access.LAB_MACHINE])
        problem = Problem("machine", name, f"one with disks: {known}", "name one of these")
        raise Refused("lab fault", [problem])
    _check(name, device, list(names.node_disks(machine.disks)))
    domain = names.domain(settings.stack, name)
    source = f"/dev/{names.volume_group(settings.stack)}/{names.node_volume(name, device)}"
    script = PUT if repair else PULL
    words = ["sh", "-euc", script, "fault", domain, device, source]
    ask(settings, access.LAB_MACHINE, words)


def _physical_disk(settings: Settings, serial: str, *, repair: bool) -> None:
    _check(access.LAB_MACHINE, serial, settings.topology.array.disks)
    words = ["sh", "-s", "--", "put" if repair else "pull", serial]
    script = (equipment.FOLDER / "disk.sh").read_bytes()
    ask(settings, access.LAB_MACHINE, words, stdin=script)
    if repair:
        equip(settings, equipment.array(settings.stack, settings.topology))


def _check(machine: str, device: str, there: list[str] | tuple[str, ...]) -> None:
    if device not in there:
        rule = f"a disk of {machine}: {', '.join(there)}"
        problem = Problem("disk", device, rule, "name one of these")
        raise Refused("lab fault", [problem])
