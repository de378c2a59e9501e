"""Golden files: what a pure function made once, looked through and kept.

`UPDATE_GOLDEN=1 pytest tests/...` writes anew those that the tests which it runs compare with; git
shows what that changed.
"""

import difflib
import os
from pathlib import Path

UPDATE = "UPDATE_GOLDEN"


def assert_golden(text: str, file: Path) -> None:
    """Assert that `text` is what `file` has; with the variable set, it has that from now on."""
    if os.environ.get(UPDATE):
        file.write_text(text)
    kept = file.read_text()
    changed = difflib.unified_diff(
        kept.splitlines(), text.splitlines(), "golden", "now", n=1, lineterm=""
    )
    remedy = f"if that is as it should be: {UPDATE}=1 pytest tests/..."
    assert text == kept, "\n".join([file.name, *changed, remedy])
