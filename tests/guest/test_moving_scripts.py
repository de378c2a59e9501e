"""stick and consul-state: what is copied, what is left where it was, which start is chosen."""

import io
import tarfile

import pytest
from sandbox import Sandbox

TREE = {
    "boot/vmlinuz": "kernel",
    "boot.ipxe": "#!ipxe",
    "images/a.squashfs": "layer",
    "machines/aa/boot.env": "image=/images/a.layers",
    "machines/aa/overlay-1.tar.gz": "overlay",
    "dhcp/leases": "",
}
STICK, AWAY, VOLUME = "media/stick", "media/memory/tree", "dev/mapper/leg0"
MIB = 1 << 20

# Without O_DIRECT, which a test's file system may not have.
DD = """
for word in "$@"; do
    case $word in *direct) ;; *) words="$words $word" ;; esac
done
exec /bin/dd $words conv=notrunc
"""


@pytest.fixture
def laptop(sandbox: Sandbox) -> Sandbox:
    """A stick that is mounted, with a tree on it, and mounts that are noted only."""
    for path, text in TREE.items():
        sandbox.file(f"{STICK}/{path}", text)
    sandbox.file(f"{STICK}/consul.ext4", "state")
    sandbox.file("proc/sys/vm/drop_caches")
    (sandbox.root / "run/rack/tree").symlink_to(sandbox.root / STICK)
    script = sandbox.script("roles/founder/root/usr/sbin/stick")
    script.write_text(script.read_text().replace("/proc/sys", f"{sandbox.root}/proc/sys"))
    for name in ("mount", "umount", "mountpoint", "sync", "stick-mount", "consul-state"):
        sandbox.fake(name)
    sandbox.file(VOLUME, "\0" * 4 * MIB)
    sandbox.fake("blockdev", f"echo {4 * MIB}")
    sandbox.fake("dd", DD)
    return sandbox


def tree(laptop: Sandbox, where: str) -> dict[str, str]:
    root = laptop.root / where
    return {
        str(path.relative_to(root)): path.read_text()
        for path in root.rglob("*")
        if path.is_file() and path.name != "consul.ext4"
    }


def led_to(laptop: Sandbox) -> str:
    return str((laptop.root / "run/rack/tree").readlink().relative_to(laptop.root))


def assert_stays(laptop: Sandbox, reason: str) -> None:
    """Leaving fails and tells why; the tree is the stick's."""
    done = laptop.run("stick", "leave")
    assert done.returncode == 1
    assert reason in done.stderr
    assert led_to(laptop) == STICK


def test_leaving_takes_the_tree_into_memory(laptop: Sandbox) -> None:
    done = laptop.run("stick", "leave")
    assert done.returncode == 0, done.stderr
    assert tree(laptop, AWAY) == TREE
    behind = io.BytesIO((laptop.root / VOLUME).read_bytes()[MIB:])
    with tarfile.open(fileobj=behind) as archive:
        assert {each.name[2:] for each in archive if each.isfile()} == set(TREE)
    assert led_to(laptop) == AWAY
    assert "consul-state to-volume" in laptop.calls()
    assert laptop.run("stick", "where").stdout == "volume\n"


def test_leaving_twice_copies_once(laptop: Sandbox) -> None:
    laptop.run("stick", "leave")
    laptop.run("stick", "leave")
    assert laptop.calls().count("consul-state") == 1


def test_a_state_that_can_t_leave_keeps_all_on_the_stick(laptop: Sandbox) -> None:
    laptop.fake("consul-state", '[ "$1" != to-volume ]')
    assert laptop.run("stick", "leave").returncode == 1
    assert led_to(laptop) == STICK
    assert not (laptop.root / AWAY).exists()
    assert "consul-state to-stick" in laptop.calls()


def test_a_copy_that_reads_otherwise_keeps_all_on_the_stick(laptop: Sandbox) -> None:
    laptop.fake("sync", f"echo damaged >{laptop.root}/{AWAY}/images/a.squashfs")
    assert_stays(laptop, "is not like")


def test_taking_brings_back_what_changed_and_drops_what_went(laptop: Sandbox) -> None:
    laptop.run("stick", "leave")
    laptop.file(f"{AWAY}/machines/aa/boot.env", "image=/images/b.layers")
    laptop.file(f"{AWAY}/images/b.squashfs", "another")
    (laptop.root / AWAY / "images/a.squashfs").unlink()
    wanted = tree(laptop, AWAY)
    done = laptop.run("stick", "take")
    assert done.returncode == 0, done.stderr
    assert tree(laptop, STICK) == wanted
    assert (laptop.root / STICK / "consul.ext4").read_text() == "state"
    assert led_to(laptop) == STICK
    assert not (laptop.root / AWAY).exists()


def test_a_volume_without_room_keeps_all_on_the_stick(laptop: Sandbox) -> None:
    laptop.fake("blockdev", f"echo {2 * MIB}")
    assert_stays(laptop, "make it larger")


@pytest.fixture
def state(sandbox: Sandbox) -> Sandbox:
    sandbox.file("etc/rack/volume.conf", "legs=10.0.0.1/laptop mirror=yes mount=''\n")
    sandbox.file(f"{STICK}/consul.ext4")
    sandbox.file("proc/mdstat", "Personalities :\n")
    sandbox.script("roles/founder/root/usr/sbin/consul-state")
    sandbox.fake("losetup", f'[ "$1" != -f ] || echo {sandbox.root}/dev/loop8')
    for name in ("modprobe", "mount"):
        sandbox.fake(name)
    sandbox.fake("mountpoint", "false")
    return sandbox


@pytest.mark.parametrize(
    ("examined", "begins"),
    [
        ("exit 1", "mdadm --create"),
        ("echo \"   Array State : A.. ('A' == active)\"", "mdadm --assemble --run --quiet"),
        ("echo \"   Array State : AAA ('A' == active)\"", None),
        ("echo \"   Array State : .AA ('A' == active)\"", None),
    ],
)
def test_a_stick_that_wasn_t_alone_waits_for_the_volume(
    state: Sandbox, examined: str, begins: str | None
) -> None:
    state.fake("mdadm", f'[ "$1" != --examine ] || {{ {examined}; }}')
    done = state.run("consul-state", "mount")
    assert done.returncode == 0, done.stderr
    made = [line for line in state.calls().splitlines() if "mdadm" in line and "exam" not in line]
    assert bool(made) == bool(begins)
    assert all(line.startswith(str(begins)) for line in made)
    assert ("mount -t ext4" in state.calls()) == bool(begins)


def test_without_a_volume_the_file_is_mounted(state: Sandbox) -> None:
    (state.root / "etc/rack/volume.conf").unlink()
    assert state.run("consul-state", "mount").returncode == 0
    assert "mount -t ext4 -o noatime -o loop" in state.calls()
