"""Progress on the terminal: which step, how long it took, what is to be known of it.

Owns the look of those lines. Leaves what the steps are to the callers.
"""

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

STEPS = "rack-lab.steps"

_depth = 0
_logger = logging.getLogger(STEPS)


@contextmanager
def step(title: str) -> Iterator[None]:
    """Announce a step on standard error, and its duration in seconds when it ends.

    Steps nest; an inner one is indented. A step that raises says so and lets it pass.
    """
    global _depth
    say(f"→ {title} …")
    _logger.info("%s …", title)
    began = time.monotonic()
    _depth += 1
    outcome = "✗"
    try:
        yield
        outcome = "✓"
    finally:
        _depth -= 1
        took = time.monotonic() - began
        say(f"{outcome} {title} ({took:.1f} s)")
        _logger.info("%s %s (%.1f s)", outcome, title, took)


def say(text: str) -> None:
    """A line on standard error, indented as far as the step that is under way."""
    print("  " * _depth + text, file=sys.stderr, flush=True)
