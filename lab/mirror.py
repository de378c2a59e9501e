"""When Alpine's packages are locked to a mirror, and what is told of where they are from.

Owns which packages a lock has: the kernel, and those of every folder in `guest/`, so that it serves
every rack.
Leaves locking and fetching to `alpine.mirror`.
"""

import sys

from alpine import image, mirror
from alpine.release import LBU, chosen
from artefacts import LabError
from artefacts.download import Unreachable
from config.errors import ConfigError
from config.mirror import OFFICIAL, Mirror
from config.profile import Kernel
from config.settings import PROJECT, Settings

LOCK = mirror.LOCK.relative_to(PROJECT)
"""The lock, as a user of the project names it."""


def wanted() -> set[str]:
    """The kernel, and the packages of every folder in `guest/`, by Alpine's names.

    Without LBU's, which has a stand-in.
    """
    files = [*image.GUEST.glob("*/packages"), *image.GUEST.glob("roles/*/packages")]
    return (image.wanted_packages(path.parent for path in files) | {Kernel.ALPINE}) - {LBU}


def lock(place: Mirror) -> int:
    """Lock the versions that a mirror has now; how many packages.

    Raises:
        LabError: the mirror doesn't answer, lacks a package, or a signature is wrong.
    """
    return mirror.lock_anew(place, wanted(), {LBU})


def lock_at_first(settings: Settings) -> None:
    """Lock them if a stack names a mirror and nothing is locked yet; or say that it is silent.

    Raises:
        LabError: it answers, and lacks a package, or a signature is wrong.
    """
    if not settings.mirror or mirror.LOCK.exists():
        return
    place = settings.mirror.place
    try:
        count = lock(settings.mirror)
    except Unreachable as error:
        print(f"{error}\nAlpine is built offline, without {place}", file=sys.stderr)
    else:
        print(f"✓ {count} packages of {place} locked in {LOCK}: commit it", file=sys.stderr)


def origin(settings: Settings) -> str:
    """Where the stack's Alpine is from."""
    if not settings.mirror:
        return "built offline of packages from PyPI and Debian; lab:alpine names a mirror"
    place = settings.mirror.place
    if not mirror.LOCK.exists():
        return (
            f"built offline, as no versions of {place} are locked yet: "
            f"lab --stack {settings.stack} alpine lock"
        )
    return f"{place}, in the versions of {LOCK} ({mirror.locked_of() or 'of unknown origin'})"


def notice(settings: Settings) -> str | None:
    """What an `up` says of it beforehand: that a mirror is named and isn't used.

    Raises:
        ConfigError: the mirror is of another release than what is locked.
    """
    if settings.mirror and not chosen(settings.mirror).mirror:
        return f"Alpine is {origin(settings)}"
    return None


def kind(settings: Settings) -> str:
    """Which kind of mirror a stack has, without its address."""
    if not settings.mirror:
        return "none"
    if settings.mirror.place.startswith("/"):
        return "a folder"
    return "the official mirror" if settings.mirror.place == OFFICIAL else "another mirror"


def trouble(settings: Settings) -> tuple[str, str]:
    """Why the locked packages can't be had now, and what to do.

    Nothing where they can, or the cache has them.
    """
    if settings.mirror and mirror.LOCK.exists():
        try:
            mirror.require_packages(settings.mirror)
        except ConfigError as error:
            (problem,) = error.problems
            return problem.rule, problem.remedy
        except LabError as error:
            return str(error), _wait(settings)
    return "", ""


def _wait(settings: Settings) -> str:
    return (
        "wait until it answers, or name another mirror of the same release: "
        f"pulumi config set lab:alpine {OFFICIAL} --stack {settings.stack}"
    )
