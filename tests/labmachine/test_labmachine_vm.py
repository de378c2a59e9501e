"""A real lab machine, of its own and small: its life, and what the racks rely on in it."""

import signal
import socket
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from subprocess import Popen, TimeoutExpired
from subprocess import run as run_plain

import pytest

import equipment
from artefacts import run
from artefacts.environment import PROJECT
from artefacts.namespace import as_root
from config.errors import ConfigError
from config.labmachine import LabMachine
from config.profile import KVM_PROOF
from labmachine import machine, saving, snapshots
from labmachine.emulator import environment
from labmachine.image import machine_image
from labmachine.process import MachineError
from labmachine.qemu import probe_argv
from labmachine.snapshots import Label
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


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
        return port


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LabMachine, State]]:
    settings = LabMachine.model_validate(
        {
            "memory": "2GiB",
            "ssh_port": _free_port(),
            "disks": {"disk1": "256MiB", "disk2": "256MiB"},
        }
    )
    state = State(tmp_path_factory.mktemp("lab") / "machine")
    machine.up(settings, state)
    yield settings, state
    machine.reset(state)
    assert list(state.layer.iterdir()) == []


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
    assert KVM_PROOF in done.stdout.decode()


def test_one_can_go_back_to_a_moment_while_it_runs(lab: tuple[LabMachine, State]) -> None:
    _inside(lab, "echo then >/root/written; echo then >/run/remembered")
    count = "for n in $(seq 100000); do echo $n >/run/counted; sleep 1; done"
    _inside(lab, f"nohup sh -c '{count}' >/dev/null 2>&1 </dev/null &")
    before = _inside(lab, "cat /proc/sys/kernel/random/boot_id")
    saving.save(Label("moment", "", "", (), ""), lambda _: None, *lab)
    assert machine.status(*lab).guest == "running"
    _inside(lab, "echo now >/root/written; echo now >/run/remembered; sync")
    settings, state = lab
    moved = settings.model_copy(update={"ssh_port": _free_port()})
    for there in ((moved, state), (settings, state)):
        saving.restore("moment", lambda _: None, *there)
        assert _inside(there, "cat /root/written /run/remembered").split() == ["then", "then"]
        assert _inside(there, "cat /proc/sys/kernel/random/boot_id") == before
        counted = int(_inside(there, "cat /run/counted; sleep 3"))
        assert int(_inside(there, "cat /run/counted")) > counted
        _inside(there, "echo now >/root/written; sync")
    machine.down(lab[1])
    assert machine.up(*lab).answers  # boots from the layer it was in
    assert _inside(lab, "cat /root/written") == "now\n"
    saving.remove("moment", lab[1])


def test_a_moment_is_of_the_machine_that_runs_whatever_its_settings_say_by_then(
    lab: tuple[LabMachine, State], capsys: pytest.CaptureFixture[str]
) -> None:
    settings, state = lab
    changed = settings.model_copy(update={"memory": 3 << 30})
    machine.up(changed, state)
    assert "runs with memory 2GiB; it will have 3GiB" in capsys.readouterr().err
    saving.save(Label("moment", "", "", (), ""), lambda _: None, changed, state)
    pid = state.pid()
    with pytest.raises(ConfigError, match="set `memory` in"):
        saving.restore("moment", lambda _: None, changed, state)
    assert state.pid() == pid
    saving.restore("moment", lambda _: None, settings, state)
    assert machine.status(settings, state).answers
    saving.remove("moment", state)


# A boot sector that tells of itself after every 16 million rounds:
#   start: mov ecx, 0x1000000; round: dec ecx; jnz round; mov al, '.'; out 0xe9, al; jmp start
BUSY = bytes.fromhex("66b900000001 6649 75fc b02e e6e9 ebf0").ljust(510, b"\0") + b"\x55\xaa"
RUN_BUSY = """
cat >/run/busy
modprobe kvm_amd
systemd-run -q --unit=busy qemu-system-x86_64 -enable-kvm -nodefaults -display none -m 32 \
    -drive file=/run/busy,format=raw -debugcon file:/run/told
"""


def _require_told_more(lab: tuple[LabMachine, State]) -> None:
    told = "$(stat -c %s /run/told || echo 0)"
    grown = f"for n in $(seq 60); do [ {told} -gt $was ] && exit; sleep 1; done; exit 1"
    _inside(lab, f"was={told}; {grown}")


def test_one_can_go_back_to_a_moment_in_which_a_guest_had_the_cpu(
    lab: tuple[LabMachine, State],
) -> None:
    run(ssh_argv(*lab, RUN_BUSY), stdin=BUSY)
    _require_told_more(lab)
    for _ in range(3):
        saving.save(Label("busy", "", "", (), ""), lambda _: None, *lab)
        saving.restore("busy", lambda _: None, *lab)
        _require_told_more(lab)
        saving.remove("busy", lab[1])
    _inside(lab, "systemctl stop busy")


KILLED = """
import json
import os
import signal
import sys
from pathlib import Path
from config.labmachine import LabMachine
from labmachine import layers, saving
from labmachine.snapshots import Label
from labmachine.state import State

def kill_itself(*_):
    os.kill(os.getpid(), signal.SIGKILL)

settings = LabMachine.model_construct(**json.loads(sys.argv[1]))
state = State(Path(sys.argv[2]))
if sys.argv[3] == "save, at the switch":  # of qemu to another layer
    layers.make_current = kill_itself
if sys.argv[3].startswith("save"):
    saving.save(Label("late", "", "", (), ""), lambda _: None, settings, state)
else:
    saving.restore("early", lambda _: None, settings, state)
"""


PARTS = tuple(part / 10 for part in range(3, 10))


def _run_and_kill(
    lab: tuple[LabMachine, State],
    what: str,
    after_s: float = 600,
    code: int = 0,
    by: signal.Signals = signal.SIGKILL,
) -> float:
    """Save or go back in a process of its own; how long it took, if it came to its end."""
    argv = [sys.executable, "-c", KILLED, lab[0].model_dump_json(), str(lab[1].folder), what]
    began = time.monotonic()
    with Popen(argv, cwd=PROJECT) as running:
        try:
            assert running.wait(after_s) == code
        except TimeoutExpired:
            running.send_signal(by)
    return time.monotonic() - began


def test_who_is_killed_while_saving_leaves_a_machine_that_goes_on(
    lab: tuple[LabMachine, State],
) -> None:
    whole = _run_and_kill(lab, "save")
    saving.remove("late", lab[1])
    kills = [partial(_run_and_kill, lab, "save", part * whole) for part in PARTS]
    kills += 2 * [partial(_run_and_kill, lab, "save, at the switch", code=-signal.SIGKILL)]
    written = []
    for number, kill in enumerate(kills):
        _inside(lab, f"echo {number} >>/root/kills; sync")
        written.append(str(number))
        kill()
        machine.up(*lab)
        assert machine.status(*lab).guest == "running"
        assert _inside(lab, "cat /root/kills").split() == written
        if "late" in [each.name for each in snapshots.all_of(lab[1])]:
            saving.remove("late", lab[1])
    machine.down(lab[1])
    machine.up(*lab)
    assert _inside(lab, "cat /root/kills").split() == written


def test_who_is_interrupted_while_saving_can_save_again(lab: tuple[LabMachine, State]) -> None:
    whole = _run_and_kill(lab, "save")
    saving.remove("late", lab[1])
    interrupted = 0
    for part in PARTS:
        _run_and_kill(lab, "save", part * whole, by=signal.SIGINT)
        assert machine.status(*lab).guest == "running"
        if "late" in [each.name for each in snapshots.all_of(lab[1])]:
            saving.remove("late", lab[1])
        else:
            interrupted += 1
        _run_and_kill(lab, "save")
        saving.remove("late", lab[1])
    print(f"{interrupted} of {len(PARTS)} were interrupted")
    assert interrupted


def test_who_is_killed_while_going_back_can_go_back(lab: tuple[LabMachine, State]) -> None:
    _inside(lab, "echo early >/root/written; sync")
    saving.save(Label("early", "", "", (), ""), lambda _: None, *lab)
    whole = _run_and_kill(lab, "restore")
    interrupted = 0
    for part in PARTS:
        _inside(lab, "echo late >/root/written; sync")
        _run_and_kill(lab, "restore", part * whole)
        if lab[1].restoring.exists():
            interrupted += 1
            with pytest.raises(MachineError, match="lab snapshot restore early"):
                machine.up(*lab)
            saving.restore("early", lambda _: None, *lab)
            assert _inside(lab, "cat /root/written") == "early\n"
        assert _inside(lab, "cat /root/written") in {"early\n", "late\n"}
    saving.remove("early", lab[1])
    print(f"{interrupted} of {len(PARTS)} were interrupted on their way")
    assert interrupted


SAVED_ON_A_FULL_DISK = """
import json
import os
import sys
from pathlib import Path
from artefacts import run
from config.labmachine import LabMachine
from labmachine import machine, saving, snapshots
from labmachine.snapshots import Label
from labmachine.ssh import ssh_argv
from labmachine.state import State
settings = LabMachine.model_construct(**json.loads(sys.argv[1]))
folder = Path(sys.argv[2])
mount = ["mount", "-t", "tmpfs"]
run([*mount, "-o", "size=6G,mode=700", "tmpfs", folder])
state = State(folder / "machine")
label = Label("moment", "", "", (), "")

def inside(command):
    return run(ssh_argv(settings, state, command))

def resize(size):
    run([*mount, "-o", f"remount,size={size}", "tmpfs", folder])

try:
    machine.up(settings, state)
    inside("echo kept >/root/written; sync")
    used = os.statvfs(folder)
    resize((used.f_blocks - used.f_bfree) * used.f_frsize + (64 << 20))
    try:
        saving.save(label, lambda _: None, settings, state)
        sys.exit("it was saved")
    except Exception as error:
        print(error)
        assert "is full; free space there" in str(error), error
    assert [each.name for each in state.snapshots.iterdir()] == []
    assert machine.status(settings, state).guest == "running"
    inside("echo more >>/root/written; sync")
    resize("6G")
    saving.save(label, lambda _: None, settings, state)
    inside("echo lost >/root/written; sync")
    saving.restore("moment", lambda _: None, settings, state)
    assert inside("cat /root/written").split() == ["kept", "more"]
finally:
    machine.reset(state)
"""


def test_a_disk_that_is_full_while_saving_costs_nothing(
    lab: tuple[LabMachine, State], tmp_path: Path
) -> None:
    """On a file system of its own, mounted for this alone."""
    machine.down(lab[1])
    told = lab[0].model_dump_json()
    script = (sys.executable, "-c", SAVED_ON_A_FULL_DISK, told, tmp_path)
    run(as_root("unshare", "--mount", *script), cwd=PROJECT, shown=True)
    machine.up(*lab)
