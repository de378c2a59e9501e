"""The built plugins speak the names that the installed Python SDKs speak."""

import importlib
import inspect
import json
import os
import pkgutil
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import pulumi
import pytest
from pulumi import _types

from artefacts import run

pytestmark = pytest.mark.filterwarnings("ignore:This resource is deprecated:DeprecationWarning")

Names = dict[str, set[str]]
UNSERVED = "pulumi_command.remote"  # nothing here uses it


def _modules(package: str) -> list[ModuleType]:
    root = importlib.import_module(package)
    found = pkgutil.walk_packages(root.__path__, f"{package}.")
    return [root, *(importlib.import_module(module.name) for module in found)]


def _classes(package: str) -> set[type]:
    return {
        value
        for module in _modules(package)
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__.startswith(package)
    }


def _properties(arguments: type) -> set[str]:
    return set(_types.input_type_py_to_pulumi_names(arguments).values())


def _sdk_resources(package: str) -> Names:
    classes = {each for each in _classes(package) if UNSERVED not in each.__module__}
    arguments = {(c.__module__, c.__name__): c for c in classes}
    return {
        _token(c): _properties(arguments[c.__module__, f"{c.__name__}Args"])
        for c in classes
        if issubclass(c, pulumi.CustomResource) and not issubclass(c, pulumi.ProviderResource)
    }


def _token(resource: type) -> str:
    """The token that the class registers itself with; the older SDK says it nowhere else."""
    (token,) = re.findall(r"__self__\).__init__\(\s*'([^']+)'", inspect.getsource(resource))
    return str(token)


def _sdk_types(package: str) -> Names:
    resources = {f"{token.split(':')[-1]}Args" for token in _sdk_resources(package)}
    return {
        c.__name__.removesuffix("Args"): _properties(c)
        for c in _classes(package)
        if UNSERVED not in c.__module__
        and c.__name__.endswith("Args")
        and c.__name__ not in {*resources, "ProviderArgs"}
    }


def _capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _sdk_functions(package: str) -> set[str]:
    sources = [Path(str(module.__file__)).read_text() for module in _modules(package)]
    return {token for text in sources for token in re.findall(r"\binvoke\('([^']+)'", text)}


@pytest.fixture(scope="module", params=["libvirt", "command"])
def pair(request: pytest.FixtureRequest, pulumi: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """An SDK's name and the schema of the built plugin."""
    argv = [f"{pulumi['PATH'].split(':')[1]}/pulumi", "package", "get-schema", request.param]
    return f"pulumi_{request.param}", json.loads(run(argv, env={**os.environ, **pulumi}))


def test_resources_and_their_inputs(pair: tuple[str, dict[str, Any]]) -> None:
    package, schema = pair
    served = {token: set(spec["inputProperties"]) for token, spec in schema["resources"].items()}
    assert served == _sdk_resources(package)


def test_types_and_their_properties(pair: tuple[str, dict[str, Any]]) -> None:
    package, schema = pair
    served = {
        _capital(token.split(":")[-1]): set(spec["properties"])
        for token, spec in schema["types"].items()
        if spec["type"] == "object"
    }
    expected = _sdk_types(package)
    # The plugin is newer than libvirt's SDK and may offer more; the SDK may not.
    assert {name: names - served[name] for name, names in expected.items()} == {
        name: set() for name in expected
    }


def test_functions(pair: tuple[str, dict[str, Any]]) -> None:
    package, schema = pair
    served = {token for token in schema["functions"] if "terraformConfig" not in token}
    assert served == _sdk_functions(package)
