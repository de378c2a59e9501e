"""array-assemble and san-volume: each decision, with fake mdadm and LVM2."""

import pytest
from sandbox import Sandbox

OWN = "echo MD_NAME=rack-lab:storage1"
BLANK = "exit 1"
CONF = (
    "homehost=rack-lab\nname=storage1\nlevel=1\ndisks='{root}/dev/sda {root}/dev/sdb'\npatience=0\n"
)


@pytest.fixture
def node(sandbox: Sandbox) -> Sandbox:
    sandbox.file("etc/rack/array.conf", CONF.format(root=sandbox.root))
    sandbox.file("proc/mdstat", "Personalities :\n")
    sandbox.script("array/root/usr/sbin/array-assemble")
    for name in ("modprobe", "blkid", "array-join"):
        sandbox.fake(name)
    return sandbox


def disks(node: Sandbox, **contents: str) -> None:
    """Disks by name, each with what mdadm --examine does for it."""
    for name in contents:
        node.file(f"dev/{name}", "\0" * 4096)
    cases = "".join(f"*{name}) {body} ;;\n" for name, body in contents.items())
    node.fake("mdadm", f'[ "$1" = --examine ] || exit 0\ncase $3 in\n{cases}esac')


def mdadm(node: Sandbox) -> list[str]:
    lines = node.calls().replace(str(node.root), "").splitlines()
    return [line for line in lines if line.startswith("mdadm") and "--examine" not in line]


def test_blank_disks_become_the_array(node: Sandbox) -> None:
    disks(node, sda=BLANK, sdb=BLANK)
    assert node.run("array-assemble").returncode == 0
    [create] = mdadm(node)
    assert "--create /dev/md0" in create
    assert (
        "--homehost=rack-lab --name=storage1 --bitmap=internal --bitmap-chunk=8M --level=1"
        in create
    )
    assert create.endswith("/dev/sda /dev/sdb")


def test_own_disks_are_assembled(node: Sandbox) -> None:
    disks(node, sda=OWN, sdb=OWN)
    assert node.run("array-assemble").returncode == 0
    assert mdadm(node) == ["mdadm --assemble --run --quiet /dev/md0 /dev/sda /dev/sdb"]


def test_a_degraded_array_is_assembled(node: Sandbox) -> None:
    disks(node, sda=OWN)
    assert node.run("array-assemble").returncode == 0
    assert mdadm(node) == ["mdadm --assemble --run --quiet /dev/md0 /dev/sda"]


def test_a_replaced_disk_joins(node: Sandbox) -> None:
    disks(node, sda=OWN, sdb=BLANK)
    assert node.run("array-assemble").returncode == 0
    assert "array-join /dev/sdb" in node.calls().replace(str(node.root), "")


@pytest.mark.parametrize("foreign", ["echo MD_NAME=other:thing", BLANK])
def test_foreign_data_is_refused(node: Sandbox, foreign: str) -> None:
    disks(node, sda=OWN, sdb=foreign)
    if foreign == BLANK:
        node.fake("blkid", 'case $1 in *sdb) echo "$1: TYPE=\\"ext4\\"" ;; esac')
    done = node.run("array-assemble")
    assert done.returncode == 1
    assert "holds something else" in done.stderr
    assert mdadm(node) == []


def test_too_few_blank_disks_are_refused(node: Sandbox) -> None:
    disks(node, sda=BLANK)
    done = node.run("array-assemble")
    assert done.returncode == 1
    assert "1 blank disks of the 2" in done.stderr


def test_an_active_array_is_left_alone(node: Sandbox) -> None:
    disks(node, sda=OWN, sdb=OWN)
    node.file("proc/mdstat", "md0 : active raid1 sda[0] sdb[1]\n")
    assert node.run("array-assemble").returncode == 0
    assert mdadm(node) == []


@pytest.fixture
def san(sandbox: Sandbox) -> Sandbox:
    disk = sandbox.file("dev/vda", "\0" * 4096)
    conf = f"vg=san1\ndisk={disk}\nowner=rack-lab.lab\naddress=10.0.0.41\n"
    sandbox.file("etc/rack/san.conf", conf)
    sandbox.script("roles/san/root/usr/sbin/san-volume")
    for name in ("blkid", "lvcreate", "lvextend", "lvremove", "vgcreate", "vgchange", "rc-service"):
        sandbox.fake(name)
    sandbox.fake("pvs")
    sandbox.fake("vgs", 'case $* in *vg_tags*) echo " rack-lab.lab" ;; *) echo " 4194304" ;; esac')
    sandbox.fake(
        "lvs", f'case $* in *lv_size*san1/web) echo " {8 << 20}" ;; *lv_size*) exit 5 ;; esac'
    )
    return sandbox


def test_a_new_volume_is_made_in_whole_extents(san: Sandbox) -> None:
    assert san.run("san-volume", "apply", "new", "5000000").returncode == 0
    assert f"--name new --size {8 << 20}b san1" in san.calls()
    assert "nbd-server reload" in san.calls()


def test_a_volume_grows(san: Sandbox) -> None:
    assert san.run("san-volume", "apply", "web", str(12 << 20)).returncode == 0
    assert f"lvextend --quiet --size {12 << 20}b san1/web" in san.calls()


def test_a_volume_of_that_size_stays(san: Sandbox) -> None:
    assert san.run("san-volume", "apply", "web", str(8 << 20)).returncode == 0
    assert "lvextend" not in san.calls()
    assert "lvcreate" not in san.calls()


def test_shrinking_is_refused(san: Sandbox) -> None:
    done = san.run("san-volume", "apply", "web", str(4 << 20))
    assert done.returncode == 1
    assert "Shrinking is refused" in done.stderr


@pytest.mark.parametrize("words", [("apply", "web"), ("apply", "../x", "1"), ("apply", "x", "1G")])
def test_wrong_arguments_are_refused(san: Sandbox, words: tuple[str, ...]) -> None:
    assert san.run("san-volume", *words).returncode == 1


def test_a_blank_disk_becomes_the_volume_group(san: Sandbox) -> None:
    assert san.run("san-volume", "start").returncode == 0
    assert "vgcreate --quiet --yes --addtag rack-lab.lab san1" in san.calls()


def test_its_own_group_is_only_activated(san: Sandbox) -> None:
    san.fake("pvs", "echo ' san1'")
    assert san.run("san-volume", "start").returncode == 0
    assert "vgcreate" not in san.calls()
    assert "vgchange --quiet --activate y san1" in san.calls()


def test_a_foreign_group_is_refused(san: Sandbox) -> None:
    san.fake("pvs", "echo ' other'")
    done = san.run("san-volume", "start")
    assert done.returncode == 1
    assert "holds something else (other)" in done.stderr


def test_what_a_san_has_answered_is_on_its_disks(san: Sandbox) -> None:
    """A client goes on where the SAN loses its power, and doesn't write again what was answered."""
    san.fake("lvs", "echo web; echo share")
    exports = san.run("san-volume", "exports").stdout.split("[")[2:]
    assert [each.split("]")[0] for each in exports] == ["web", "share"]
    assert all("sync = true\n" in each for each in exports)
