"""Removing a stack's rack from the lab machine without Pulumi, where its state is lost.

Owns the order: machines, then what they stand on. Leaves each piece's removal to `equipment`; what
doesn't carry the stack's tag is left alone.
"""

import equipment
from artefacts import step
from config import access, names
from config.settings import Settings
from lab import survey
from lab.remote import VIRSH, ask

# By libvirt's own definitions: what a machine of a former topology was is gone from this one.
FORGET = f"""
if {VIRSH} list --name --state-running | grep -qx "$1"; then {VIRSH} destroy "$1"; fi
{VIRSH} undefine "$1"
"""


def clear(settings: Settings) -> None:
    """Switch off and remove what carries the stack's tag.

    Raises:
        ConfigError: the lab machine doesn't answer.
        CommandFailed: a piece can't be removed.
    """
    found = survey.survey(settings)
    tag = names.owner_tag(settings.stack)
    for name, domain in found.domains.items():
        if domain.owner == tag:
            with step(f"domain {name}"):
                ask(settings, access.LAB_MACHINE, ["sh", "-euc", FORGET, "forget", name])
    for piece in reversed(list(equipment.everything(settings.stack, settings.topology))):
        with step(piece.name):
            ask(settings, access.LAB_MACHINE, piece.removing, stdin=piece.text.encode())
