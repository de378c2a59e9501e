"""Images of a mirror's packages, and the offline tree's: the same packages here."""

from pathlib import Path

import pytest
from mirror_maker import full_mirror

from alpine import image, mirror
from alpine.release import OFFLINE, chosen
from artefacts import run
from config.load import FOLDER, load_topology
from config.profile import Kernel
from guest import consul
from lab.mirror import lock

pytestmark = [pytest.mark.mirror, pytest.mark.vm, pytest.mark.timeout(1200)]


# lists of packages and services, and what is busybox's as long as no package has it
DIFFERENT = {"/usr/share/rack/packages", "/var/cache/rc/deptree", "/usr/bin/ssl_client"}


def test_they_are_equal_file_for_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "LOCK", tmp_path / "mirror.lock")
    made = full_mirror()
    lock(made)
    topology = load_topology(FOLDER / "mini.yaml", "mini")
    extra = consul.image_folders(topology)
    roles = {machine.role for machine in topology.machines.values()}
    assert roles
    for role in roles:
        ours = _manifest(image.role_image(role, extra, chosen(made)))
        offline = _manifest(image.role_image(role, extra, OFFLINE))
        # the same but for what a machine with apk has more, and what lists it
        assert {_path(line) for line in offline - ours} <= DIFFERENT
        assert "/sbin/apk" in {_path(line) for line in ours - offline}


def test_its_kernel_is_the_offline_tree_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "LOCK", tmp_path / "mirror.lock")
    made = full_mirror()
    lock(made)
    ours, offline = (chosen(each, Kernel.ALPINE).kernel_root for each in (made, None))
    assert list(offline.rglob("*.ko"))
    assert run(["diff", "-r", ours, offline]) == ""


def _manifest(built: image.RoleImage) -> set[str]:
    return set((built.list.parent / "manifest").read_text().splitlines())


def _path(line: str) -> str:
    return line.split("  ", 2)[2]
