"""A virtual lab machine on KVM: in an emulated AMD machine that is a user's own.

`make test-host` runs it after the real lab machine's tests. The rack is two first-level machines,
the laptop and a router that boots from it: three levels of machines, two of them KVM's.
"""

from pathlib import Path

import pytest
from plainhost import users_host

from config.profile import KVM

pytestmark = [pytest.mark.host, pytest.mark.timeout(5400)]

OPTIONS = "config:\n  lab:topology: one\n"  # so all values are the profile's own
HARDWARE = "cores: 1\nmemory: 3GiB\ndisks: {disk1: 2GiB, disk2: 2GiB}\n"


def test_a_virtual_lab_machine_runs_on_kvm(tmp_path: Path) -> None:
    with users_host(tmp_path, OPTIONS, KVM.kernel) as host:
        host.write("labmachine.yaml", HARDWARE)
        assert "on kvm" in host.run("lab --stack one machine up")
        doctor = host.run("lab --stack one doctor --report")
        assert "lab:profile: kvm (what the lab machine is started with)" in doctor
        assert " (set)" not in doctor
        host.run("pulumi stack select one --create")
        host.run("pulumi up --stack one --yes --skip-preview")
        status = host.run("lab --stack one status --json")
        assert status.count('"phase": "ready"') == 2
        cpu = host.run("lab --stack one ssh router -- cat /proc/cpuinfo")
        assert "Westmere" in cpu
        assert "-virt" in host.run("lab --stack one ssh router -- uname -r")
        assert " svm" in cpu  # it can run guests
        host.run("pulumi destroy --stack one --yes --skip-preview")
        host.run("lab machine down")
