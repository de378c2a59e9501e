"""Removing a stack's rack from the lab machine without Pulumi, where its state is lost.

Owns the order: machines, then what they stand on, then what only a former topology named. Leaves
each piece's removal to `equipment`; what doesn't carry the stack's tag is left alone.
"""

import equipment
from artefacts import step
from config import access, names
from config.settings import Settings
from lab.remote import ask


def clear(settings: Settings) -> None:
    """Switch off and remove what carries the stack's tag; again, it does nothing.

    Raises:
        LabError: the lab machine doesn't answer, or a piece can't be removed.
    """
    with step("machines"):
        _remove_tagged(settings, "domains")
    for piece in reversed(list(equipment.everything(settings.stack, settings.topology))):
        with step(piece.name):
            ask(settings, access.LAB_MACHINE, piece.removing, stdin=piece.text.encode())
    with step("networks"):
        _remove_tagged(settings, "networks")


def _remove_tagged(settings: Settings, kind: str) -> None:
    script = (equipment.FOLDER / "clear.sh").read_bytes()
    words = ["sh", "-s", "--", kind, names.owner_tag(settings.stack)]
    ask(settings, access.LAB_MACHINE, words, stdin=script)
