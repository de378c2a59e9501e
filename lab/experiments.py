"""New experiments: a topology over another one, and its stack's settings.

Owns the two files. Leaves what can be changed in them to `config.topology` (docs/topology.md).
"""

from pathlib import Path

from config import names
from config.errors import ConfigError, Problem
from config.load import FOLDER, load_topology
from config.schema import COMMENT
from config.settings import PROJECT

TOPOLOGY = f"""\
{COMMENT}
# Experiment: what is to be tried, and what should come of it.
extends: {{base}}
# Changed keys only; null removes one. Everything there is: docs/topology.md.
"""
SETTINGS = "config:\n  lab:topology: {name}\n"


def new(name: str, base: str) -> tuple[Path, Path]:
    """Write config/NAME.yaml, which extends `base`, and Pulumi.NAME.yaml; neither may exist.

    Raises:
        ConfigError: the name is taken or no stack's name, or there is no such base.
    """
    files = FOLDER / f"{name}.yaml", PROJECT / f"Pulumi.{name}.yaml"
    if wrong := names.stack_problem(name):
        raise ConfigError("lab new", [wrong])
    for file in files:
        if file.exists():
            problem = Problem("name", name, f"{file.name} is there", "choose another name")
            raise ConfigError("lab new", [problem])
    load_topology(FOLDER / f"{base}.yaml", name)
    files[0].write_text(TOPOLOGY.format(base=base))
    files[1].write_text(SETTINGS.format(name=name))
    return files
