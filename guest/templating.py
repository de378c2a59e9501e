"""Text from the templates beside this module.

Owns how they are rendered: an unknown name is an error. Leaves what goes in to the callers.
"""

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=StrictUndefined,
        keep_trailing_newline=True,
        autoescape=False,  # noqa: S701 (configuration files, no HTML)
    )


def render(template: str, **values: object) -> str:
    """The template `<template>.j2` with these values."""
    return _environment().get_template(f"{template}.j2").render(**values)
