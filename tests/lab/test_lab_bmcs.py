"""VirtualBMC's settings: one BMC a server, passwords nowhere else."""

from config.access import LabMachine
from config.load import FOLDER, load_topology
from config.profile import KVM
from config.settings import Settings
from config.topology import Server
from lab import bmcs

RACK = load_topology(FOLDER / "rack.yaml", "lab")


def settings(seed: str) -> Settings:
    return Settings("lab", RACK, LabMachine(host=None), KVM, seed)


def test_each_server_has_a_bmc_with_a_password_of_its_own() -> None:
    made = settings("00" * 32)
    files = bmcs.files(made)
    assert len(files) == len(RACK.of(Server)) + 1 == 9
    passwords = {made.bmc_password(name) for name in RACK.of(Server)}
    assert len(passwords) == 8
    assert "domain_name = lab-storage2\n" in files["lab-storage2/config"]
    assert "address = 10.77.6.122\n" in files["lab-storage2/config"]


def test_two_stacks_daemons_share_no_file() -> None:
    """vbmcd ends where the process of its pid file lives."""
    one = bmcs.files(settings("00" * 32))
    other = bmcs.files(Settings("other", RACK, LabMachine(host=None), KVM, "00" * 32))
    lines = [set(each[bmcs.CONFIG_FILE].splitlines()) for each in (one, other)]
    assert lines[0] & lines[1] == {"[default]"}
    assert "pid_file = /run/lab-bmcs/vbmcd.pid" in lines[0]


def test_the_version_changes_with_them_and_tells_nothing() -> None:
    one, other = settings("00" * 32), settings("11" * 32)
    assert bmcs.version(one) != bmcs.version(other)
    assert bmcs.version(one) == bmcs.version(settings("00" * 32))
    assert one.bmc_password("router") not in bmcs.version(one)
