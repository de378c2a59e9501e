"""A real lab machine, of its own and small: its life, and what the racks rely on in it."""

import socket
from collections.abc import Iterator
from pathlib import Path
from subprocess import run as run_plain

import pytest

import equipment
from artefacts import run
from config.labmachine import LabMachine
from labmachine import machine
from labmachine.accelerator import PROOF
from labmachine.emulator import environment
from labmachine.image import machine_image
from labmachine.qemu import probe_argv
from labmachine.ssh import ssh_argv
from labmachine.state import State

pytestmark = [pytest.mark.vm, pytest.mark.timeout(900)]

MAKE_INNER_ARRAY = """
set -e
for volume in a b; do lvcreate -q -L 64M -n $volume rack-t; done
# a node's own array, inside its volumes
mdadm --create /dev/md/inner --name=rack-inner --level=1 --raid-devices=2 --assume-clean --run \
    /dev/rack-t/a /dev/rack-t/b
mdadm --stop /dev/md/inner
"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LabMachine, State]]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = LabMachine.model_validate(
        {"memory": "2GiB", "ssh_port": port, "disks": {"disk1": "256MiB", "disk2": "256MiB"}}
    )
    state = State(tmp_path_factory.mktemp("lab") / "machine")
    machine.up(settings, state)
    yield settings, state
    machine.reset(state)
    assert not list(state.folder.glob("disk-*"))


def _inside(lab: tuple[LabMachine, State], command: str) -> str:
    return run(ssh_argv(*lab, command))


def _make_array(lab: tuple[LabMachine, State]) -> None:
    command = "sh -s -- apply rack-t tag 1 disk1 disk2"
    run(ssh_argv(*lab, command), stdin=(equipment.FOLDER / "array.sh").read_bytes())


def test_up_again_changes_nothing(lab: tuple[LabMachine, State]) -> None:
    pid = machine.status(*lab).pid
    assert machine.up(*lab).pid == pid


def test_only_the_owner_reads_the_folder(lab: tuple[LabMachine, State]) -> None:
    assert lab[1].folder.stat().st_mode & 0o777 == 0o700
    assert lab[1].private_key.stat().st_mode & 0o777 == 0o600


def test_switches_modules_and_libvirt(lab: tuple[LabMachine, State]) -> None:
    modules = "openvswitch raid1 raid456 dm_mod nbd tun vhost_net"
    _inside(lab, f"for each in {modules}; do modprobe $each || exit 1; done")
    _inside(lab, "ovs-vsctl add-br x && ovs-vsctl del-br x")
    assert "domstats" not in _inside(lab, "virsh -c qemu:///system list --all")
    assert _inside(lab, "test -c /dev/kvm && cat /sys/module/kvm_amd/parameters/nested") == "1\n"


def test_the_machine_cannot_reach_out(lab: tuple[LabMachine, State]) -> None:
    assert _inside(lab, "ip route show default") == ""


def test_a_racks_array_comes_back_and_a_nodes_array_is_left_alone(
    lab: tuple[LabMachine, State],
) -> None:
    _make_array(lab)
    _inside(lab, MAKE_INNER_ARRAY)
    machine.down(lab[1])
    assert machine.status(*lab).state == "stopped"
    machine.up(*lab)
    assert _inside(lab, "lsblk -rno TYPE | sort -u").split() == ["disk"]
    _make_array(lab)
    assert _inside(lab, "ls /dev/md").split() == ["rack-t"]
    assert sorted(_inside(lab, "ls /dev/rack-t").split()) == ["a", "b"]
    assert _inside(lab, "lsblk -rno TYPE /dev/rack-t/a") == "lvm\n"


def test_a_second_machine_on_the_same_port_is_refused(
    lab: tuple[LabMachine, State], tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match="ssh_port"):
        machine.up(lab[0], State(tmp_path / "other"))
    assert not (tmp_path / "other").exists()


def test_a_stranger_is_not_let_in(lab: tuple[LabMachine, State], tmp_path: Path) -> None:
    key = tmp_path / "key"
    run_plain(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    argv = [part.replace(str(lab[1].private_key), str(key)) for part in ssh_argv(*lab, "true")]
    assert run_plain(argv, check=False, capture_output=True).returncode == 255


def test_the_probes_proof_is_what_a_booted_kernel_says() -> None:
    done = run_plain(
        probe_argv(machine_image(), "tcg"),
        capture_output=True,
        check=False,
        timeout=120,
        env=environment(),
    )
    assert PROOF in done.stdout.decode()
