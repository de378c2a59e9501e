"""Which locks of a Pulumi stack go: those of a run on this host that is dead, and no other."""

import json
import socket
from pathlib import Path
from urllib.parse import quote

import pytest

from lab.locks import clear_dead, folder_of

HERE = socket.gethostname()
DEAD, ALIVE, REUSED = 11, 12, 13


def proc(folder: Path) -> Path:
    for pid, program in ((ALIVE, "pulumi"), (REUSED, "bash")):
        (folder / str(pid)).mkdir(parents=True)
        (folder / str(pid) / "comm").write_text(f"{program}\n")
    return folder


@pytest.mark.parametrize(
    ("stack", "host", "pid", "goes"),
    [
        ("mini", HERE, DEAD, True),
        ("mini", HERE, REUSED, True),
        ("mini", HERE, ALIVE, False),
        ("mini", "elsewhere", DEAD, False),
        ("other", HERE, DEAD, False),
    ],
)
def test_lock(tmp_path: Path, stack: str, host: str, pid: int, goes: bool) -> None:
    lock = tmp_path / ".pulumi" / "locks" / "organization" / "rack-lab" / stack / "some-id.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(json.dumps({"pid": pid, "username": "me", "hostname": host, "timestamp": ""}))
    found = clear_dead(f"file://{tmp_path}", "rack-lab", "mini", proc(tmp_path / "proc"))
    assert found == ([pid] if goes else [])
    assert lock.exists() is not goes


@pytest.mark.parametrize("text", ["", "{}", "{", "[]", "null", '{"pid": "x", "hostname": 1}'])
@pytest.mark.parametrize("written", [True, False])
def test_a_lock_that_a_power_cut_tore_goes_but_one_that_is_being_written_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, written: bool
) -> None:
    lock = tmp_path / ".pulumi" / "locks" / "organization" / "rack-lab" / "mini" / "some-id.json"
    lock.parent.mkdir(parents=True)
    lock.write_text(text)

    def write(_seconds: float) -> None:
        if written:
            lock.write_text(json.dumps({"pid": ALIVE, "hostname": HERE}))

    monkeypatch.setattr("lab.locks.time.sleep", write)
    found = clear_dead(f"file://{tmp_path}", "rack-lab", "mini", proc(tmp_path / "proc"))
    assert found == ([] if written else [0])
    assert lock.exists() is written


@pytest.mark.parametrize("name", ["my state", "50% off", "a#b", "größe"])
@pytest.mark.parametrize("quoted", [True, False])
def test_a_backend_s_folder_is_found_however_its_url_is_written(
    tmp_path: Path, name: str, quoted: bool
) -> None:
    folder = tmp_path / name
    folder.mkdir()
    url = f"file://{quote(str(folder)) if quoted else folder}"
    assert folder_of(url) == folder_of(f"{url}?metadata=skip&no_tmp_dir=true") == folder


def test_another_backend_is_left_alone() -> None:
    assert clear_dead("s3://bucket", "rack-lab", "mini") == []
