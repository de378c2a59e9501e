"""docs/topology.md and the JSON schema are those of config/topology.py."""

import pytest
import yaml
from schemas import named, refusals

from config import reference, schema
from config.document import read_document
from config.load import FOLDER, shipped

SCHEMA = schema.schema()


@pytest.mark.parametrize("module", [reference, schema])
def test_the_committed_file_is_current(module: object) -> None:
    file, text = module.FILE, module.text()  # type: ignore[attr-defined]
    assert file.read_text() == text, "make topology-docs"


def test_no_line_of_the_page_is_too_long() -> None:
    assert max(map(len, reference.text().splitlines())) <= reference.WIDTH


@pytest.mark.parametrize("name", shipped())
def test_each_shipped_topology_names_its_schema(name: str) -> None:
    first = (FOLDER / f"{name}.yaml").read_text().splitlines()[0]
    assert first == schema.COMMENT
    assert (FOLDER / first.partition("$schema=")[2]) == schema.FILE


@pytest.mark.parametrize("name", shipped())
def test_the_schema_takes_each_shipped_topology(name: str) -> None:
    assert refusals(SCHEMA, named(read_document(FOLDER / f"{name}.yaml").data), SCHEMA) == []


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("{extends: mini, machines: {router: {memori: 1GiB}}}", "machines"),
        ("{extends: mini, machines: {Router: {memory: 1GiB}}}", "machines"),
        ("{extends: mini, machines: {x: {role: foo}}}", "machines"),
        ("{extends: mini, machines: {x: {host: true}}}", "machines"),
        ("{extends: mini, machines: {x: {volume: san1}}}", "machines"),
        ("{extends: mini, networks: {foo: {cidr: 10.0.0.0/24}}}", "networks"),
        ("{extends: mini, networks: {lan: {netem: {delay: 40}}}}", "networks"),
        ("{extends: mini, array: {level: 2}}", "array"),
        ("{networks: {}, machines: {}}", "required"),
    ],
)
def test_the_schema_refuses(text: str, key: str) -> None:
    found = refusals(SCHEMA, yaml.safe_load(text), SCHEMA)
    assert found
    assert key in found[0]
