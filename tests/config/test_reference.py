"""docs/topology.md and the JSON schema are those of config/topology.py."""

import pytest

from config import reference, schema
from config.load import FOLDER, shipped


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
