"""Options of the fuzz test."""

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fuzz-cases", type=int, default=500, help="how many topologies are tried")
    parser.addoption("--fuzz-seed", type=int, default=1, help="which ones")
