"""The seed: what is taken, and that two first commands of a stack find the same one."""

import multiprocessing
from pathlib import Path

import pytest

from config import files
from config.errors import ConfigError

GOOD = "0123456789abcdef" * 4
BAD = {
    "empty": b"",
    "short": b"00",
    "half": GOOD[:32].encode(),
    "long": (GOOD + "0").encode(),
    "upper case": GOOD.upper().encode(),
    "no hex": ("g" + GOOD[1:]).encode(),
    "a word": b"hello",
    "not text": bytes(range(128, 192)),
    "digits of another script": "٠".encode() * 64,
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("keep", [True, False])
def test_only_64_hex_digits_are_a_seed(tmp_path: Path, case: str, keep: bool) -> None:
    path = tmp_path / "seed"
    path.write_bytes(BAD[case])
    with pytest.raises(ConfigError, match="64 hex digits") as caught:
        files.seed(tmp_path, keep=keep)
    assert str(path) in str(caught.value)
    assert path.read_bytes() == BAD[case]


@pytest.mark.parametrize("text", [GOOD, f"{GOOD}\n"])
def test_a_seed_is_read(tmp_path: Path, text: str) -> None:
    (tmp_path / "seed").write_text(text)
    assert files.seed(tmp_path) == GOOD


def test_a_new_one_is_kept_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    first = files.seed(folder)
    assert files.SEED.fullmatch(first)
    assert files.seed(folder) == first
    assert (folder / "seed").stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700


def test_a_look_leaves_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "stack"
    assert files.SEED.fullmatch(files.seed(folder, keep=False))
    assert not folder.exists()


def _first_command(folder: Path, found: "multiprocessing.Queue[str]") -> None:
    found.put(files.seed(folder))


def test_first_commands_side_by_side_find_one_seed(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    for attempt in range(10):
        found: multiprocessing.Queue[str] = context.Queue()
        folder = tmp_path / str(attempt)
        commands = [context.Process(target=_first_command, args=(folder, found)) for _ in range(4)]
        for each in commands:
            each.start()
        seeds = {found.get(timeout=30) for _ in commands}
        for each in commands:
            each.join()
        assert seeds == {(folder / "seed").read_text()}


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    files.write(path, "old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space"):
        files.write(path, "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
