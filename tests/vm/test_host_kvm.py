"""A virtual lab machine on KVM: in an emulated AMD machine that is a user's own.

`make test-host` runs it after the real lab machine's tests. The rack is two first-level machines,
the laptop and a router that boots from it: three levels of machines, two of them KVM's.
"""

from pathlib import Path

import pytest
from plainhost import users_host

pytestmark = [pytest.mark.host, pytest.mark.timeout(5400)]

# its silicon is emulated: 1000 ticks a second leave the second level no time
OPTIONS = "config:\n  lab:topology: one\n  lab:kernel: rack\n"
HARDWARE = "cores: 1\nmemory: 3GiB\ndisks: {disk1: 2GiB, disk2: 2GiB}\n"


def test_a_virtual_lab_machine_runs_on_kvm(tmp_path: Path) -> None:
    with users_host(tmp_path, OPTIONS) as host:
        host.write("labmachine.yaml", HARDWARE)
        assert "on kvm" in host.run("lab --stack one machine up")
        doctor = host.run("lab --stack one doctor --report")
        assert "lab:profile: kvm (what the lab machine is started with)" in doctor
        host.run("pulumi stack select one --create")
        host.run("pulumi up --stack one --yes --skip-preview")
        status = host.run("lab --stack one status --json")
        assert status.count('"phase": "ready"') == 2
        cpu = host.run("lab --stack one ssh router -- cat /proc/cpuinfo")
        assert "Westmere" in cpu
        assert " svm" in cpu  # it can run guests
        host.run("pulumi destroy --stack one --yes --skip-preview")
        host.run("lab machine down")
