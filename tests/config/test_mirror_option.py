"""A stack's Alpine mirror: what can be one."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from config.errors import ConfigError
from config.mirror import OFFICIAL, Mirror, of_stack


@pytest.fixture
def keys(tmp_path: Path) -> str:
    (tmp_path / "own.rsa.pub").touch()
    return str(tmp_path)


@pytest.mark.parametrize("place", [OFFICIAL, "http://10.0.0.1:8080/alpine", "/srv/alpine/v3.23"])
def test_an_address_or_a_folder_is_one(place: str, keys: str) -> None:
    assert _of({"alpine": place}) == Mirror(place)
    assert _of({"alpine": f"{place}/", "alpineKeys": keys}) == Mirror(place, keys)


def test_without_one_there_is_none(keys: str) -> None:
    assert _of({}) is None
    assert _of({"alpineKeys": keys}) is None


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"alpine": "dl-cdn.alpinelinux.org/alpine"}, "lab:alpine"),
        ({"alpine": "alpine/v3.23"}, "lab:alpine"),
        ({"alpine": "file:///srv"}, "lab:alpine"),
        ({"alpine": "/"}, "lab:alpine"),
        ({"alpine": "http://"}, "lab:alpine"),
        ({"alpine": "http://[::1/alpine"}, "lab:alpine"),
        ({"alpine": "http://a b/alpine"}, "lab:alpine"),
        ({"alpine": "http://a/ü"}, "lab:alpine"),
        ({"alpine": "http://a:x/alpine"}, "lab:alpine"),
        ({"alpine": "http://a:99999/alpine"}, "lab:alpine"),
        ({"alpine": "http://a/alpine?token=pass"}, "lab:alpine"),
        ({"alpine": "http://a/alpine#main"}, "lab:alpine"),
        ({"alpine": "https://user:pass@mirror/alpine"}, "lab:alpine"),
        ({"alpine": OFFICIAL, "alpineKeys": "keys"}, "lab:alpineKeys"),
        ({"alpine": OFFICIAL, "alpineKeys": "/nowhere"}, "lab:alpineKeys"),
    ],
)
def test_anything_else_is_refused_with_the_command_that_helps(
    options: dict[str, str], key: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        _of(options)
    (problem,) = refused.value.problems
    assert "pass" not in str(problem.value)
    assert problem.key == key
    assert f"{key}" in problem.remedy
    assert problem.remedy.endswith("--stack s")


def _of(options: Mapping[str, str]) -> Mirror | None:
    def option(name: str) -> str | None:
        return options.get(name)

    return of_stack("s", option)
