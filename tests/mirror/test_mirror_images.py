"""Images of a mirror's packages and of the offline tree's, which are the same packages here."""

from pathlib import Path

import pytest
from mirror_maker import full_mirror

from alpine import image, mirror
from alpine.release import OFFLINE, chosen
from config.load import FOLDER, load_topology
from guest import consul
from lab.mirror import wanted

pytestmark = [pytest.mark.mirror, pytest.mark.vm, pytest.mark.timeout(1200)]


def test_they_are_equal_byte_for_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "LOCK", tmp_path / "mirror.lock")
    made = full_mirror()
    mirror.lock_anew(made, wanted())
    topology = load_topology(FOLDER / "mini.yaml", "mini")
    extra = consul.image_folders(topology)
    roles = {machine.role for machine in topology.machines.values()}
    assert roles
    for role in roles:
        ours = image.role_image(role, extra, chosen(made)).layers
        offline = image.role_image(role, extra, OFFLINE).layers
        assert not {each.name for each in ours} & {each.name for each in offline}
        assert [each.read_bytes() for each in ours] == [each.read_bytes() for each in offline]
