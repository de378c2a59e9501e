"""Fixtures of the tests of what runs inside the machines."""

from pathlib import Path

import pytest
from sandbox import GUEST, Sandbox


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    """An empty sandbox with the scripts' shared functions."""
    for folder in ("bin", "dev", "run/rack", "media/stick", "etc/rack"):
        (tmp_path / folder).mkdir(parents=True)
    shared = (GUEST / "common/root/usr/lib/rack/roles.sh").read_text()
    box = Sandbox(tmp_path)
    box.file("usr/lib/rack/roles.sh", box.inside(shared.replace("PATH=/sbin:/bin:$PATH", "")))
    return box
