"""Which mirror a test or benchmark takes: the one that the command line names, or one served here.

Leaves what is in the latter to `mirror_maker`, whose text is part of what it made.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from loopback import serving
from mirror_maker import full_mirror

from alpine.mirror import LOCK
from config.mirror import Mirror


def named_mirror(config: pytest.Config) -> Mirror | None:
    """The mirror that the command line names (tests/vm/conftest.py); None: one has to be made."""
    place = config.getoption("--mirror", None)
    return Mirror(place.rstrip("/"), config.getoption("--mirror-keys")) if place else None


@contextmanager
def served_mirror() -> Iterator[Mirror]:
    """A mirror of all that the offline tree has, on loopback; the project's own lock is set aside.

    Meanwhile there is no lock, or the one that is made of this mirror.
    """
    made = full_mirror()
    before = LOCK.read_text() if LOCK.exists() else None
    LOCK.unlink(missing_ok=True)
    try:
        with serving(Path(made.place)) as port:
            yield Mirror(f"http://127.0.0.1:{port}", made.keys)
    finally:
        LOCK.unlink(missing_ok=True)
        if before is not None:
            LOCK.write_text(before)
