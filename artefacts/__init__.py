"""What set-up builds once and keeps: tools, packages, images.

Owns the cache folder, running programs and their environment, Debian's and Python's packages,
compiling Go, and showing progress. Leaves what is built to
`plugins/`, `alpine/` and `labmachine/`, and never touches a machine of the rack.
"""

from artefacts.cache import cache_root, cached, digest
from artefacts.environment import environment
from artefacts.errors import CommandFailed, LabError
from artefacts.process import run
from artefacts.progress import step
from artefacts.tree import pack_tree
from artefacts.wheels import fetch_wheel

__all__ = [
    "CommandFailed",
    "LabError",
    "cache_root",
    "cached",
    "digest",
    "environment",
    "fetch_wheel",
    "pack_tree",
    "run",
    "step",
]
