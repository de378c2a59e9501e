"""New experiments: a topology over another one, and its stack's settings.

Owns the two files. Leaves what can be changed in them to `config.topology` (docs/topology.md).
"""

from pathlib import Path

from config import stacks
from config.errors import ConfigError, Problem
from config.load import FOLDER, load_topology, shipped
from config.schema import COMMENT
from config.stacks import PROJECT

TOPOLOGY = f"""\
{COMMENT}
# Experiment: what is to be tried, and what should come of it.
extends: {{base}}
# Changed keys only; null removes one. Everything there is: docs/topology.md.
"""
SETTINGS = "config:\n  lab:topology: {name}\n"


def new(name: str, base: str) -> tuple[Path, Path]:
    """Write config/NAME.yaml, which extends `base`, and Pulumi.NAME.yaml.

    The topology may not exist. Settings may, if `pulumi stack init` has made them: a stack's
    topology has its name where they name no other.

    Raises:
        ConfigError: the name is taken or no stack's name, or there is no such base.
    """
    stacks.check_name(name)
    topology, settings = FOLDER / f"{name}.yaml", PROJECT / f"Pulumi.{name}.yaml"
    if topology.exists():
        raise _taken(name, topology)
    if settings.exists() and (stacks.options(name)("topology") or name) != name:
        raise _taken(name, settings)
    if base not in shipped():
        rule, remedy = "the name of a topology in config/", f"choose one of: {', '.join(shipped())}"
        raise ConfigError("lab new", [Problem("--from", base, rule, remedy)])
    load_topology(FOLDER / f"{base}.yaml", name)
    made = [] if settings.exists() else [settings]
    try:
        topology.write_text(TOPOLOGY.format(base=base))
        for file in made:
            file.write_text(SETTINGS.format(name=name))
    except OSError:  # a full disk: no half an experiment, so that the name isn't taken
        for file in (topology, *made):
            file.unlink(missing_ok=True)
        raise
    return topology, settings


def _taken(name: str, file: Path) -> ConfigError:
    problem = Problem("name", name, f"{file.name} is there", "choose another name")
    return ConfigError("lab new", [problem])
