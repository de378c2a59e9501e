"""Sizes and the lab machine's hardware file."""

from pathlib import Path

import pytest

from config.errors import ConfigError
from config.labmachine import OWN, LabMachine, load_labmachine
from config.units import format_size, parse_size


@pytest.fixture(autouse=True)
def no_own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever runs the tests may have a labmachine.yaml."""
    monkeypatch.setattr("config.labmachine.OWN", tmp_path / "none.yaml")


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 << 30), ("512MiB", 512 << 20), ("1 KiB", 1024), ("2TiB", 2 << 40)]
)
def test_a_size_is_read_and_written_back(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == size


@pytest.mark.parametrize("text", ["4GB", "4", 4, "0GiB", "-1GiB", "1.5GiB", "", None])
def test_other_notations_are_refused_with_a_remedy(text: object) -> None:
    with pytest.raises(ValueError, match=r"KiB.*; write it like"):
        parse_size(text)


@pytest.mark.parametrize("size", [0, -1024, 1000])
def test_bytes_that_have_no_notation_are_refused(size: int) -> None:
    with pytest.raises(ValueError, match="multiple of 1KiB"):
        format_size(size)


def test_the_shipped_file_is_valid_and_has_six_disks(tmp_path: Path) -> None:
    machine = load_labmachine(own=tmp_path / "none.yaml")
    assert machine.memory == 10 << 30
    assert list(machine.disks) == [f"disk{number}" for number in range(1, 7)]


@pytest.mark.parametrize(
    ("text", "key", "rule"),
    [
        ("memory: 1GiB\ndisks: {disk1: 1GiB}", "memory", "2GiB or more"),
        ("cores: true\ndisks: {disk1: 1GiB}", "cores", "a whole number"),
        ("ssh_port: '2222'\ndisks: {disk1: 1GiB}", "ssh_port", "a whole number"),
        ("disks: {disk1: 1MiB}", "disks.disk1", "64MiB or more"),
        ("disks: {Disk_1: 1GiB}", "disks.Disk_1", "1 to 20 of a-z"),
        ("disks: {}", "disks", "one or more disks"),
        ("ssh_port: 22\ndisks: {disk1: 1GiB}", "ssh_port", "1024"),
        ("coers: 2\ndisks: {disk1: 1GiB}", "coers", "did you mean 'cores'"),
    ],
)
def test_a_wrong_value_is_named_with_its_rule(
    tmp_path: Path, text: str, key: str, rule: str
) -> None:
    file = tmp_path / "labmachine.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_labmachine(file, own=tmp_path / "none.yaml")
    assert key in str(error.value)
    assert rule in str(error.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        LabMachine(disks={"disk1": "1GiB"}).cores = 3  # type: ignore[dict-item]


def test_the_users_own_file_replaces_keys(tmp_path: Path) -> None:
    own = tmp_path / "labmachine.yaml"
    shipped = load_labmachine(own=own)
    own.write_text("cores: 4\ndisks: {disk1: 8GiB}\n")
    assert load_labmachine(own=own) == shipped.model_copy(
        update={"cores": 4, "disks": {"disk1": 8 << 30}}
    )
    own.write_text("# nothing yet\n")
    assert load_labmachine(own=own) == shipped


@pytest.mark.parametrize("text", ["- cores", "coers: 4", "cores: none"])
def test_a_wrong_own_file_is_named(tmp_path: Path, text: str) -> None:
    own = tmp_path / "labmachine.yaml"
    own.write_text(text)
    with pytest.raises(ConfigError, match=r"^labmachine\.yaml can't be used"):
        load_labmachine(own=own)


def test_the_file_and_line_of_a_wrong_value_are_told(tmp_path: Path) -> None:
    own = tmp_path / "labmachine.yaml"
    own.write_text("# mine\ndisks:\n  disk1: 1MiB\n")
    with pytest.raises(ConfigError, match=r"disks\.disk1: 1MiB \(line 3\)"):
        load_labmachine(own=own)


def test_git_ignores_the_users_own_file() -> None:
    assert "/labmachine.yaml" in (OWN.parent / ".gitignore").read_text().splitlines()
