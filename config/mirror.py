"""An Alpine mirror as a stack names it: `lab:alpine`, and whose signatures are trusted.

Owns what these options mean. Leaves what is fetched from there to `alpine.mirror`.
"""

from dataclasses import dataclass
from pathlib import Path

from config.errors import ConfigError, Problem
from config.stacks import Option

SCHEMES = ("https://", "http://")
OFFICIAL = "https://dl-cdn.alpinelinux.org/alpine/v3.23"


@dataclass(frozen=True)
class Mirror:
    """The folder of one Alpine release, and a folder of public keys.

    `place`: an http(s) address or an absolute path, without a slash at its end. `keys`: whose
    packages are taken; empty for Alpine's own.
    """

    place: str
    keys: str = ""


def of_stack(stack: str, option: Option) -> Mirror | None:
    """The mirror that a stack names, if it names one.

    Raises:
        ConfigError: a value can't be an address or a folder.
    """
    place, keys = (option("alpine") or "").rstrip("/"), option("alpineKeys") or ""
    problems = []
    if place and not place.startswith((*SCHEMES, "/")):
        rule = "an http address, or the absolute path of a folder, with main/ and community/ in it"
        remedy = f"pulumi config set lab:alpine {OFFICIAL} --stack {stack}"
        problems.append(Problem("lab:alpine", place, rule, remedy))
    if keys and not list(Path(keys).glob("*.rsa.pub")):
        rule = "a folder on this machine with public keys, NAME.rsa.pub"
        remedy = f"for Alpine's own: pulumi config rm lab:alpineKeys --stack {stack}"
        problems.append(Problem("lab:alpineKeys", keys, rule, remedy))
    if problems:
        raise ConfigError("the stack's settings", problems)
    return Mirror(place, keys) if place else None
