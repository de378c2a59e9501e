"""The environment that this project's programs run in: its own, with little of the user's.

Owns the allow-list (`kept-variables`) and the values that replace the user's, so that no exported
variable changes what is built or breaks a run. Leaves what one program needs on top to its caller.
"""

import os
import sys
from functools import cache
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
KEPT = Path(__file__).with_name("kept-variables")
SYSTEM_FOLDERS = ("/usr/sbin", "/usr/bin", "/sbin", "/bin")
"""An ordinary user of Debian has no sbin on PATH; mkfs.ext4 and others are there."""

OWN = {
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
    "DEBIAN_FRONTEND": "noninteractive",
    # Without these three the kernel holds who compiled it, where and when
    # (Documentation/kbuild/reproducible-builds.rst).
    "KBUILD_BUILD_USER": "rack-lab",
    "KBUILD_BUILD_HOST": "rack-lab",
    "KBUILD_BUILD_TIMESTAMP": "1970-01-01",
}
UMASK = 0o022


def environment() -> dict[str, str]:
    """What a program of this project is started with."""
    kept = {name: os.environ[name] for name in _kept() if name in os.environ}
    return kept | OWN | {"PATH": search_path()}


def users_environment() -> dict[str, str]:
    """What acts for the user is started with: ssh, and a lab machine that is this one.

    His own variables, as his ssh may need any of them; but the language is one that is read here.
    """
    return {**os.environ, "LC_ALL": OWN["LC_ALL"]}


def search_path() -> str:
    """PATH: this Python environment, the system's folders, then what else the user has.

    The system's programs come before the user's, so that his own `cc` or `tar` changes nothing.
    """
    own = [str(Path(sys.prefix) / "bin")] if sys.prefix != sys.base_prefix else []
    users = [each for each in os.environ.get("PATH", "").split(os.pathsep) if each.startswith("/")]
    return os.pathsep.join(dict.fromkeys([*own, *SYSTEM_FOLDERS, *users]))


def users_folder(variable: str, default: str) -> Path | None:
    """The user's folder that an XDG variable names, or `default` in his home.

    None without a home. A relative value counts as unset (XDG Base Directory Specification).
    """
    named = Path(os.environ.get(variable, ""))
    if named.is_absolute():
        return named
    try:
        return Path.home() / default
    except RuntimeError:  # HOME is unset, and the user isn't in /etc/passwd
        return None


@cache
def _kept() -> tuple[str, ...]:
    rows = (line.split("#", 1)[0].strip() for line in KEPT.read_text().splitlines())
    return tuple(row for row in rows if row)
