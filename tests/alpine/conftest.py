"""One boot tree a test can change."""

from pathlib import Path

import pytest
from alpine_vm import Tree, make_tree


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return make_tree(tmp_path)
