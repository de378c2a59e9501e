"""`local`: an ordinary user's own machine is the lab machine; root is asked for once, by sudo.

`make test-host` runs it after the lab machine that is reached by ssh. The rack is the laptop and a
router.
"""

from pathlib import Path

import pytest
from plainhost import USER, users_host

pytestmark = [pytest.mark.host, pytest.mark.timeout(5400)]

OPTIONS = """config:
  lab:topology: one
  lab:machine: local
  lab:kernel: rack
  lab:timing: patient
"""
ADMITTED = "cat /root/.ssh/authorized_keys 2>/dev/null | grep -c ' rack-lab$' || true"


def test_an_ordinary_user_s_own_machine_raises_a_rack(tmp_path: Path) -> None:
    with users_host(tmp_path, OPTIONS) as host:
        host.run("pulumi stack select one --create", USER)
        refused = host.run("pulumi up --stack one --yes --skip-preview", USER, check=False)
        assert "host prepare" in refused
        assert "nothing was created" in refused
        prepared = host.run("lab --stack one host prepare --yes", USER)
        assert "by sudo" in prepared
        assert host.ssh(ADMITTED).strip() == "1"
        host.run("lab --stack one host check", USER)
        host.run("pulumi up --stack one --yes --skip-preview", USER)
        status = host.run("lab --stack one status --json", USER)
        assert status.count('"phase": "ready"') == 2
        host.run("pulumi destroy --stack one --yes --skip-preview", USER)
        host.run("lab --stack one host prepare --undo --yes", USER)
        assert host.ssh(ADMITTED).strip() == "0"
