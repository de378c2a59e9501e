"""What `make locks` runs: the locks of Debian's packages are written anew."""

from pathlib import Path
from types import ModuleType

import pytest

from alpine import debian
from artefacts.debian import Lock
from labmachine import emulator, image

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(600)]


@pytest.mark.parametrize(
    ("module", "wanted"),
    [
        (debian, set(debian.requests())),
        (emulator, set(emulator.PACKAGES)),
        (image, set(image.PACKAGES)),
    ],
    ids=["alpine.debian", "labmachine.emulator", "labmachine.image"],
)
def test_a_lock_is_written_anew(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, module: ModuleType, wanted: set[str]
) -> None:
    monkeypatch.setattr(module, "LOCK", tmp_path / "lock")
    module.main()
    new = Lock.read(tmp_path / "lock").packages
    assert wanted <= {each.name for each in new}
    assert all(len(each.sha256) == 64 for each in new)
    assert all(each.path.startswith("pool/") for each in new)
