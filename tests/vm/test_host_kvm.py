"""A virtual lab machine on KVM: in an emulated AMD machine that is a user's own.

`make test-host` runs it after the real lab machine's tests. The rack is two first-level machines,
the laptop and a router that boots from it: three levels of machines, two of them KVM's.
"""

from pathlib import Path

import pytest
from plainhost import USERS, PlainHost

from artefacts.environment import PROJECT

pytestmark = [pytest.mark.host, pytest.mark.timeout(5400)]

ONE = """extends: rack
array: {level: 1, disks: [disk1, disk2]}
reach: null
machines:
"""
GONE = (
    "firewall", "storage1", "storage2", "storage3", "compute1", "compute2", "compute3", "san1",
    "san2", "san3", "nfs1", "lxc1", "lxc2", "lxc3",
)  # fmt: skip
# its silicon is emulated: 1000 ticks a second leave the second level no time
OPTIONS = "config:\n  lab:topology: one\n  lab:kernel: rack\n"
HARDWARE = "cores: 1\nmemory: 3GiB\ndisks: {disk1: 2GiB, disk2: 2GiB}\n"
INSTALL = (
    "apt-get -qq update && DEBIAN_FRONTEND=noninteractive "
    f"apt-get -qq -y --no-install-recommends install {' '.join(USERS)} >/dev/null"
)
MOUNT = (
    f"mkdir -p /mnt/users {PROJECT} && mount /dev/disk/by-id/virtio-users /mnt/users && "
    f"mount --bind /mnt/users/project {PROJECT}"
)


def test_a_virtual_lab_machine_runs_on_kvm(tmp_path: Path) -> None:
    host = PlainHost(tmp_path, "bookworm")
    host.bring_users()
    try:
        host.start()
        host.ssh(INSTALL)
        host.ssh(MOUNT)
        one = ONE + "".join(f"  {name}: null\n" for name in GONE)
        _write(host, "labmachine.yaml", HARDWARE)
        _write(host, "config/one.yaml", one)
        _write(host, "Pulumi.one.yaml", OPTIONS)
        assert "on kvm" in _run(host, "lab --stack one machine up")
        doctor = _run(host, "lab --stack one doctor --report")
        assert "lab:profile: kvm (what the lab machine is started with)" in doctor
        _run(host, "pulumi stack select one --create")
        _run(host, "pulumi up --stack one --yes --skip-preview")
        status = _run(host, "lab --stack one status --json")
        assert status.count('"phase": "ready"') == 2
        cpu = _run(host, "lab --stack one ssh router -- cat /proc/cpuinfo")
        assert "Westmere" in cpu
        assert " svm" in cpu  # it can run guests
        _run(host, "pulumi destroy --stack one --yes --skip-preview")
        _run(host, "lab machine down")
    finally:
        host.cut()


def _write(host: PlainHost, name: str, text: str) -> None:
    host.ssh(f"cat >{PROJECT}/{name} <<'END'\n{text}END\n")


def _run(host: PlainHost, command: str) -> str:
    """What a command of the project's says, on both streams."""
    said = host.ssh(
        f"cd {PROJECT} && export LAB_CACHE=/mnt/users/cache PATH={PROJECT}/.venv/bin:$PATH && "
        f"{command} 2>&1"
    )
    print(f"$ {command}\n{said}", flush=True)
    return said
