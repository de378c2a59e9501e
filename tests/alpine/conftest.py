"""One boot tree a test can change."""

from pathlib import Path

import pytest
from alpine_vm import Tree, make_tree

from alpine.release import Release
from config.profile import Kernel


@pytest.fixture
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> Tree:
    """One whose machine has a test's kernel, the rack's where it names none."""
    return make_tree(tmp_path, Release(kernel=getattr(request, "param", Kernel.RACK)))
