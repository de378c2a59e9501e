"""Progress on the terminal: which step, how long it took.

Owns the look of those lines. Leaves what the steps are to the callers.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

_depth = 0


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step on standard error, and its duration in seconds when it ends.

    Steps nest; an inner one is indented. A step that raises says so and lets it pass.
    """
    global _depth
    indent = "  " * _depth
    print(f"{indent}→ {title} …", file=sys.stderr, flush=True)
    began = time.monotonic()
    _depth += 1
    outcome = "✗"
    try:
        yield
        outcome = "✓"
    finally:
        _depth -= 1
        took = time.monotonic() - began
        print(f"{indent}{outcome} {title} ({took:.1f} s)", file=sys.stderr, flush=True)
