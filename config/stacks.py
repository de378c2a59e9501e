"""The stacks of this folder: their names, and the options in their settings files.

Owns Pulumi.<stack>.yaml as it is read without Pulumi, and the error for a
stack that isn't there. Leaves the rule for a name to `names`, what an option means to `settings`,
a stack's state to Pulumi.
"""

import difflib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from config import names
from config.errors import ConfigError, Problem, shown
from config.load import FOLDER, read_yaml, shipped

PROJECT = FOLDER.parent
PROJECTS_OWN = ("", "rack-lab")  # `pulumi config set cpu`: Pulumi adds the project's name
OPTIONS = (
    "topology",
    "machine",
    "start",
    "keep",
    "profile",
    "nodeCpu",
    "guestCpu",
    "hugePages",
    "bootsAtOnce",
    "timing",
    "kernel",
    "alpine",
    "alpineKeys",
)  # of the namespace `lab:`
NEAR = 0.5  # how alike a name must be to be offered (difflib)

Option = Callable[[str], str | None]


def known() -> list[str]:
    """The stacks that have a settings file, sorted."""
    return sorted(
        file.name.removeprefix("Pulumi.").removesuffix(".yaml")
        for file in PROJECT.glob("Pulumi.*.yaml")
    )


def settings_file(stack: str) -> Path:
    """Where Pulumi keeps a stack's settings."""
    return PROJECT / f"Pulumi.{stack}.yaml"


def check_name(stack: str) -> None:
    """Refuse what can't name a stack's array, volumes and domains.

    Raises:
        ConfigError: it can't.
    """
    if wrong := names.stack_problem(stack):
        raise ConfigError("the stack", [wrong])


def is_there(stack: str) -> bool:
    """Whether it has a settings file, or a topology of its name."""
    return settings_file(stack).is_file() or stack in shipped()


def require(stack: str) -> None:
    """Refuse a stack that isn't there, before anything is made or started for it.

    It is there if it has a settings file, or a topology of its name: `pulumi stack init` with a
    backend that keeps secrets by itself writes no file.

    Raises:
        ConfigError: its name is none, or it isn't there; with the nearest that are.
    """
    check_name(stack)
    if is_there(stack):
        return
    near = difflib.get_close_matches(stack, known(), n=3, cutoff=NEAR)
    meant = f"did you mean {' or '.join(near)}? " if near else ""
    problem = Problem(
        "stack", stack, f"one of: {', '.join(known())}",
        f"{meant}A new experiment is made with: lab new {stack}",
    )  # fmt: skip
    raise ConfigError("the stack", [problem])


def options(stack: str) -> Option:
    """The `lab:` options of a stack as its settings file has them; plain values only.

    Raises:
        ConfigError: there is no such stack, or its file can't be used.
    """
    require(stack)
    file = settings_file(stack)
    data = read_yaml(file) if file.is_file() else None
    values = _mapping(file, "(whole file)", data).get("config")
    found = {}
    for key, value in _mapping(file, "config", values).items():
        space, _, name = str(key).rpartition(":")
        if space == "lab":
            found[name] = _plain(file, stack, name, value)
        elif space in PROJECTS_OWN and name in OPTIONS:
            remedy = f"pulumi config set lab:{name} VALUE --stack {stack}, and remove {key}"
            raise ConfigError(
                file.name, [Problem(str(key), "(set)", f"this option is lab:{name}", remedy)]
            )
    return found.get


def _mapping(file: Path, key: str, value: Any) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        rule = "Pulumi's settings file: a mapping of keys to values"
        problem = Problem(key, str(value), rule, "write it as: config: {lab:topology: NAME}")
        raise ConfigError(file.name, [problem])
    return value


def _plain(file: Path, stack: str, name: str, value: Any) -> str:
    """The text that Pulumi gives for it: of true "true", of 5 "5"."""
    remove = f"pulumi config rm lab:{name} --stack {stack}"
    if name not in OPTIONS and name != "seed":  # `settings` refuses that one with its own reason
        near = difflib.get_close_matches(name, OPTIONS, n=1)
        remedy = f"did you mean lab:{near[0]}? {remove}" if near else remove
        known_options = ", ".join(f"lab:{each}" for each in OPTIONS)
        raise ConfigError(
            file.name, [Problem(f"lab:{name}", "(set)", f"one of: {known_options}", remedy)]
        )
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float):
        return str(value)
    if name == "seed":
        return "(a secret)"
    rule = "a plain value: the lab command reads it without Pulumi's passphrase"
    told = "(a secret or a list)" if isinstance(value, dict | list) else shown(value)
    raise ConfigError(file.name, [Problem(f"lab:{name}", told, rule, remove)])
