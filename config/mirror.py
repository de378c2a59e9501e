"""An Alpine mirror as a stack names it: `lab:alpine`, and whose signatures are trusted.

Owns what these options mean. Leaves what is fetched from there to `alpine.mirror`.
"""

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

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
    named, keys = option("alpine"), option("alpineKeys") or ""
    place = (named or "").rstrip("/")
    problems = []
    if named is not None and not _is_place(place):
        rule = "an http address, or the absolute path of a folder, with main/ and community/ in it"
        if "@" in place or "?" in place:
            named = "(not shown)"
            rule += "; without a password, as all machines and the state would have it"
        remedy = f"pulumi config set lab:alpine {OFFICIAL} --stack {stack}"
        problems.append(Problem("lab:alpine", named, rule, remedy))
    if keys and not (Path(keys).is_absolute() and list(Path(keys).glob("*.rsa.pub"))):
        rule = "the absolute path of a folder on this machine with public keys, NAME.rsa.pub"
        remedy = f"for Alpine's own: pulumi config rm lab:alpineKeys --stack {stack}"
        problems.append(Problem("lab:alpineKeys", keys, rule, remedy))
    if problems:
        raise ConfigError("the stack's settings", problems)
    return Mirror(place, keys) if place else None


def _is_place(text: str) -> bool:
    """Whether it is a plain http address, without a user or a query, or an absolute path."""
    if not text.isprintable() or " " in text:
        return False
    if text.startswith("/"):
        return True
    try:
        parts = urlsplit(text)
        odd = "@" in parts.netloc or parts.query or parts.fragment or not text.isascii()
        return text.startswith(SCHEMES) and bool(parts.hostname) and parts.port != 0 and not odd
    except ValueError:  # no address, as http://[::1, or a port that is none
        return False
