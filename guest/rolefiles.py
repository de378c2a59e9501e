"""The folders a role is made of.

Owns reading `guest/roles/<role>/includes` (folders under `guest/`, laid under the role) and
`services` (what the role starts, one OpenRC service a line). Leaves packages and files to
`alpine/`.
"""

from functools import cache
from pathlib import Path

GUEST = Path(__file__).parent


def listed(path: Path) -> tuple[str, ...]:
    """The lines of a list file without comments and empty lines; nothing if there is no file."""
    if not path.exists():
        return ()
    lines = (line.split("#", 1)[0].strip() for line in path.read_text().splitlines())
    return tuple(line for line in lines if line)


@cache
def folders(role: str) -> tuple[Path, ...]:
    """The folders of a role, lowest first: what it includes, then its own."""
    own = GUEST / "roles" / role
    return (*(GUEST / name for name in listed(own / "includes")), own)


@cache
def services(role: str, extra: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The OpenRC services of a role's default runlevel, sorted.

    `extra` are the folders under `guest/` that its image has beside the role's.
    """
    all_folders = (*(GUEST / name for name in extra), *folders(role))
    return tuple(sorted({name for each in all_folders for name in listed(each / "services")}))
