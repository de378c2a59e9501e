"""Which locks of a Pulumi stack go: those of a run on this host that is dead, and no other."""

import json
import socket
from pathlib import Path

import pytest

from lab.locks import clear_dead

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


def test_another_backend_is_left_alone() -> None:
    assert clear_dead("s3://bucket", "rack-lab", "mini") == []
