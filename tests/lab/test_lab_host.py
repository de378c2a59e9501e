"""What a real lab machine must have: each requirement, its remedy, and what would meet it."""

import io
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest
from prepared_host import PREPARED

import equipment
from artefacts import CommandFailed
from config import local
from config.access import LabMachine
from config.errors import ConfigError
from config.load import FOLDER, load_topology
from config.profile import KVM
from config.settings import Settings
from equipment import virtualbmc
from lab import host
from lab.host import Host, changes, findings, read

SETTINGS = Settings(
    "mini",
    load_topology(FOLDER / "mini.yaml", "mini"),
    LabMachine("::1", 23, "ada"),
    KVM,
    "00" * 32,
)
# What differs, which finding tells it, in which words, and by which action it is mended.
LACKING = {
    "root|1000": ("root", "ssh://root@[::1]:23 --stack mini", ""),
    "architecture|aarch64": ("architecture", "x86_64", ""),
    "system|fedora|42": ("system", "Debian 12 and 13 and Ubuntu 24.04", ""),
    "system|debian|11": ("system", "Debian 12 and 13 and Ubuntu 24.04", ""),
    "system|ubuntu|22.04": ("system", "Debian 12 and 13 and Ubuntu 24.04", ""),
    "lacks|openvswitch": ("kernel's modules", "linux-image", ""),
    "package|libvirt-daemon-system|8.0.0-1": ("libvirt-daemon-system", "9.0 is the oldest", ""),
    "package|lvm2|2.03.11-2.1": ("lvm2", "2.3.16 is the oldest", ""),
    "unit|libvirtd.socket|inactive": ("services", "start", "start"),
    "kvm|svm|yes|0": ("nesting", "run guests of their own", "nest"),
    "kvm|vmx|yes|N": ("nesting", "run guests of their own", "nest"),
    "kvm|vmx|no|": ("KVM", "in its firmware, then: modprobe kvm_intel", ""),
    "kvm||no|": ("KVM", "a virtual lab machine", ""),
    "pages|0": ("huge pages", "65536", "lay"),
    f"file|{next(iter(host.sums()))}|0": ("files", "for its own", "lay"),
    "virtualbmc|no": ("BMCs", "BMCs", "lay"),
    "heeded|no": ("files", "for its own", "lay"),
    "foreign|rack-backup": ("volume groups", "vgrename rack-backup", ""),
    "scan_lvs|1": ("LVM2", "/etc/lvm/lvm.conf", ""),
    "kvm||yes|": ("KVM", "a virtual lab machine", ""),
    "held|rack-own-storage1--sda|md126": ("racks' volumes", "assembled", "release"),
}


def test_a_prepared_one_needs_nothing() -> None:
    found = read(PREPARED)
    assert [each for each in findings(SETTINGS, found) if not each.fine] == []
    assert changes(SETTINGS, found) == []


@pytest.mark.parametrize("line", LACKING)
def test_what_it_lacks_is_told_and_mended(line: str) -> None:
    about, words, action = LACKING[line]
    found = read([*PREPARED, line])
    (wrong,) = [each for each in findings(SETTINGS, found) if not each.fine]
    assert wrong.about == about
    assert words in wrong.remedy
    assert [each.action for each in changes(SETTINGS, found)] == ([action] if action else [])
    if action:
        host.require_usable(SETTINGS, found)
        return
    with pytest.raises(ConfigError) as refused:
        host.require_usable(SETTINGS, found)
    assert [problem.key for problem in refused.value.problems] == [about]


def test_a_bare_one_gets_packages_and_files_once() -> None:
    bare = ["root|0", "system|debian|12", "removes|systemd-timesyncd", "kvm|svm|yes|0", "pages|0"]
    install, lay, nest = changes(SETTINGS, read(bare))
    assert (install.action, lay.action, nest.action) == ("install", "lay", "nest")
    assert install.words == equipment.HOST_PACKAGES
    assert "apt removes systemd-timesyncd for them" in install.title


def test_what_apt_would_remove_is_known_before_it_is_asked() -> None:
    found = read(["root|0", "system|debian|12", "unlisted|yes", "pages|0"])
    assert [each.action for each in changes(SETTINGS, found)] == ["update"]
    # and where the lists don't help, apt says which package it lacks
    assert [each.action for each in changes(SETTINGS, found, listed=True)] == ["install", "lay"]


def test_it_isn_t_given_back_under_a_rack() -> None:
    with pytest.raises(ConfigError, match=r"mini[^!]*destroy them first"):
        host.undoing(SETTINGS, read([*PREPARED, "racks|mini"]))
    users = ["noted|lvm2", "uses|lvm2|volume group home", "uses|mdadm|array md0"]
    with pytest.raises(ConfigError, match="packages: volume group home\n"):
        host.undoing(SETTINGS, read([*PREPARED, *users]))


def test_what_is_given_back_is_told_by_name() -> None:
    noted = ["noted|lvm2", "noted|chrony", "back|systemd-timesyncd", "purges|lvm2", "purges|users"]
    take, purge = host.undoing(SETTINGS, read([*PREPARED, *noted]))
    assert (take.action, purge.action) == ("take", "purge")
    assert {*host.sums(), virtualbmc.FOLDER} == set(take.words)
    for words in ("added: lvm2, chrony", "need these: users", "for them: systemd-timesyncd"):
        assert words in purge.title
    assert host.undoing(SETTINGS, read(["root|0", "system|debian|12"])) == []
    (take,) = host.undoing(SETTINGS, read(["root|0", "laid|yes"]))  # it was cut in the middle
    assert take.action == "take"
    for silent in ([], ["root|1000"]):
        with pytest.raises(ConfigError, match="root does it"):
            host.undoing(SETTINGS, read(silent))


def test_to_who_isn_t_root_only_that_is_told() -> None:
    found = read(["root|1000", "system|debian|12"])
    assert [each.about for each in findings(SETTINGS, found)] == ["root"]
    assert changes(SETTINGS, found) == []


def test_up_is_refused_with_all_that_is_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = replace(read(PREPARED), pages=0, scan_lvs=True)
    monkeypatch.setattr(host, "look", lambda _settings: lacking)
    with pytest.raises(ConfigError) as refused:
        host.require_prepared(SETTINGS)
    pages, lvm = refused.value.problems
    assert pages.remedy == "prepare it: lab --stack mini host prepare"
    assert "lvm.conf" in lvm.remedy
    monkeypatch.setattr(host, "look", lambda _settings: read(PREPARED))
    host.require_prepared(SETTINGS)


def test_virtualbmc_s_last_file_is_laid_last(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A lay that was interrupted isn't taken for a whole one."""
    last = Path(virtualbmc.LAST_FILE)
    for name in ("virtualbmc/vbmc.py", f"{last.parent.name}/METADATA", f"{last.parent.name}/x"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / last.parent.name / last.name).write_text("virtualbmc\n")
    (tmp_path / last.parent.name / "x").unlink()
    monkeypatch.setattr(virtualbmc, "modules", lambda: tmp_path)
    with tarfile.open(fileobj=io.BytesIO(host.tree())) as tar:
        names = tar.getnames()
        owners = {(each.uid, each.gid) for each in tar.getmembers()}
    assert names[-1] == str(last).lstrip("/")
    assert owners == {(0, 0)}
    assert set(host.sums()) < {f"/{name}" for name in names}


@pytest.mark.parametrize("answers", [True, False])
def test_who_isn_t_root_of_this_machine_is_let_in_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, answers: bool
) -> None:
    def ask(*_words: object, **_options: object) -> str:
        if not answers:
            raise CommandFailed(["ssh"], "exit code 255", code=255)
        return ""

    monkeypatch.setattr(host, "ask", ask)
    monkeypatch.setattr(local, "FOLDER", tmp_path)
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert host.letting_in(SETTINGS) is None  # it is another machine
    here = replace(SETTINGS, lab=local.lab_machine())
    admission = host.letting_in(here)
    assert (admission is None) == answers
    if admission:
        assert admission.words == (local.authorized_line(),)
        assert "sudo" in admission.title
    *_, purge = host.undoing(here, read(PREPARED))
    assert purge.words == (local.authorized_line(),)


def test_host_knows_nothing_at_first() -> None:
    assert read([]) == Host()
