"""bridge.sh: which ports it lets Open vSwitch forget, with a fake one."""

import os
import subprocess
from pathlib import Path

from equipment import FOLDER

# What ovs-vsctl(8) says; no machine has these ports.
FAKE = """#!/bin/sh
echo "$*" >>"$CALLS"
case $* in
    *"list interface") printf 'lo\\nvnet990001\\nvnet990002\\nvnet990003\\nother990004\\n' ;;
    *"iface-to-br vnet990001") echo lab-far ;;
    *"iface-to-br vnet990002") echo somebodys ;;
    *"iface-to-br vnet990003") exit 1 ;;
    *"br-get-external-id lab-far rack-lab") echo rack-lab.lab ;;
    *"get bridge lab-lan"*) echo '"rack-lab.lab"' ;;
esac
"""


def test_ports_that_a_power_cut_left_behind_are_forgotten(tmp_path: Path) -> None:
    for name, text in (("ovs-vsctl", FAKE), ("ip", "#!/bin/sh\n")):
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    calls = tmp_path / "calls"
    subprocess.run(
        ["sh", str(FOLDER / "bridge.sh"), "apply", "lab-lan", "rack-lab.lab"],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}", "CALLS": str(calls)}, check=True,
        timeout=60,
    )  # fmt: skip
    removed = [line for line in calls.read_text().splitlines() if "del-port" in line]
    assert removed == ["--timeout=60 --if-exists del-port lab-far vnet990001"]
