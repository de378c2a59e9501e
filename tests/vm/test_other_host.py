"""Debian 13 as a real lab machine: checked, prepared and given back; no rack is raised there.

`make test-host` runs it after Debian 12's (tests/vm/test_host.py).
"""

from pathlib import Path

import pytest
from plainhost import ALIAS, PlainHost
from racks import stack

pytestmark = [pytest.mark.host, pytest.mark.timeout(3600)]


def test_another_release_is_prepared_and_given_back(tmp_path: Path) -> None:
    host = PlainHost(tmp_path / "host", "trixie")
    try:
        with host.known_to_the_user():
            host.start()
            with stack("other-host", tmp_path, {}, options={"machine": f"ssh://{ALIAS}"}) as rack:
                assert "debian 13" in rack.lab("host", "check", check=False)
                rack.lab("host", "prepare", "--yes")
                rack.lab("host", "check")
                host.boot_anew()
                rack.lab("host", "check")
                rack.lab("host", "prepare", "--undo", "--yes")
                assert "lacks libvirt-daemon-system" in rack.lab("host", "check", check=False)
    finally:
        host.cut()
