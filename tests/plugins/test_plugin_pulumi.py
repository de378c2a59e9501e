"""The built command line, language host and plugins together, as `pulumi up` runs them."""

from pathlib import Path

import pytest
from libvirtd_harness import Libvirtd
from plugin_harness import Project, Run
from sshd_harness import NodeUri, Sshd

PROGRAM = """
import os
import pulumi
import pulumi_command as command
import pulumi_libvirt as libvirt

provider = libvirt.Provider("node", uri=os.environ["NODE_URI"])
libvirt.Domain(
    "guest", name="guest", type="qemu", memory=int(os.environ["MEMORY"]),
    opts=pulumi.ResourceOptions(provider=provider, ignore_changes=["running"]),
)
made = command.local.Command("made", create="echo hello", delete="true")
pulumi.export("said", made.stdout)
"""


@pytest.fixture
def run(project: Project, tmp_path: Path, node_uri: NodeUri, own_sshd: Sshd) -> Run:
    """Runs Pulumi on the program."""
    # From the project's folder, so that no place on a disk is in the state.
    uri = node_uri(own_sshd).replace(f"={tmp_path}/ssh_config", "=../ssh_config")
    return project(PROGRAM, {"MEMORY": "16", "NODE_URI": uri})


def test_a_stack_outlives_a_node_that_is_off(run: Run, own_sshd: Sshd, libvirtd: Libvirtd) -> None:
    assert "+ 4 to create" in run("preview")  # with nobody there to ask
    own_sshd.start()
    assert 'said: "hello"' in run("up", "--yes", "--skip-preview")
    assert "warning" not in run("preview", "--expect-no-changes")
    moved = run("preview", NODE_URI="qemu+ssh://elsewhere/session?ssh_config=x")
    assert "~ 1 to update" in moved
    assert "replace" not in moved
    run("up", "--yes", "--skip-preview", MEMORY="17")  # a replacement, old before new
    assert libvirtd.names() == {"guest"}

    own_sshd.stop()
    text = run("refresh", "--yes", "--skip-preview", MEMORY="17")
    assert "warning: libvirt on node (qemu+ssh://node/session) can't be reached" in text
    assert "kept as last seen" in text
    run("preview", "--expect-no-changes", MEMORY="17")
    text = run("up", "--yes", "--skip-preview", fails=True, MEMORY="18")
    assert "lab power node on" in text
    assert "lab power node on" in run("destroy", "--yes", "--skip-preview", fails=True)

    own_sshd.start()
    run("destroy", "--yes", "--skip-preview")
    assert libvirtd.names() == set()
