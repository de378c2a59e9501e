"""What was found of a machine, and what to do where it isn't as it should be.

Owns the shape of it. Leaves finding it to `doctor` and `host`.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Change:
    """One action of equipment/host.sh that mends something, and how a person is told of it."""

    title: str
    action: str
    words: tuple[str, ...] = ()


@dataclass(frozen=True)
class Finding:
    """`fine` or not; `remedy` says what to do if not, `change` what would do it.

    `private`: what was found has names, addresses or words of others in it.
    """

    about: str
    fine: bool
    found: str
    remedy: str = ""
    change: Change | None = None
    private: bool = False
