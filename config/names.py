"""Names that carry the stack, so that two stacks on one lab machine can't collide.

Owns names, MAC addresses and owner tags as pure functions of the stack and the topology's names.
Leaves addresses to `addressing`.
"""

import hashlib
import re
from collections.abc import Sequence

from config.errors import Problem

STACK_LETTERS = 6  # what is left of IFNAMSIZ for a stack beside "-internet" and "-provider"
STACK_MOST = 27  # letters: mdadm(8) takes 32 for a name, "rack-" among them
NO_STACKS = ("blank", "not-blank-yet")  # whose tags have another meaning
IFNAMSIZ = 15  # the kernel's limit for an interface's name, linux/if.h (16 with the NUL)


def stack_problem(stack: str) -> Problem | None:
    """What is wrong with a stack's name; None if nothing is."""
    if stack in NO_STACKS:
        rule = f"{owner_tag(stack)} marks what isn't written yet (equipment/volume.sh)"
        return Problem("stack", stack, rule, "choose another name")
    if re.fullmatch(rf"[A-Za-z0-9]([A-Za-z0-9-]{{0,{STACK_MOST - 2}}}[A-Za-z0-9])?", stack):
        return None
    rule = f"a stack's name has 1 to {STACK_MOST} ASCII letters, digits and inner dashes"
    return Problem("stack", stack, rule, "choose such a name")


def prefix(stack: str) -> str:
    """The stack's name cut to what fits an interface name; a cut one ends in a digest."""
    if len(stack) <= STACK_LETTERS:
        return stack
    return stack[:3] + hashlib.sha256(stack.encode()).hexdigest()[:3]


def bridge(stack: str, network: str) -> str:
    """The OVS bridge of a network on the lab machine, at most 15 bytes."""
    return f"{prefix(stack)}-{network}"


def line_bridge(stack: str, machine: str, network: str) -> str:
    """A machine's own bridge at the far end of its bad line to a network.

    13 bytes, as the line's two ports have two more.
    """
    digest = hashlib.sha256(f"{machine}/{network}".encode()).hexdigest()
    return f"{prefix(stack)}-{digest[:6]}"


def provider(stack: str) -> str:
    """The stand-in host on isp: its namespace and its port, at most 15 bytes."""
    return f"{prefix(stack)}-provider"


def bmcs(stack: str) -> str:
    """Where the servers' BMCs run: their namespace and its port, at most 15 bytes."""
    return f"{prefix(stack)}-bmcs"


def ntp(stack: str) -> str:
    """Where the NTP server runs: its namespace and its port, at most 15 bytes."""
    return f"{prefix(stack)}-ntp"


def domain(stack: str, machine: str) -> str:
    """The libvirt domain of a machine that runs on the lab machine."""
    return f"{stack}-{machine}"


def volume_group(stack: str) -> str:
    """The LVM2 volume group on the lab machine, and the md array under it (/dev/md/<name>)."""
    return f"rack-{stack}"


def node_volume(machine: str, disk: str) -> str:
    """The logical volume that is a node's disk, e.g. storage1-sda."""
    return f"{machine}-{disk}"


def volume_resource(san: str, volume: str) -> str:
    """A SAN volume's name among Pulumi's resources."""
    return f"{san}-{volume}"


def file_system_resource(machine: str) -> str:
    """The name of a volume user's file system among Pulumi's resources."""
    return f"{machine}-file-system"


def page_resource(container: str, page: str) -> str:
    """The name of a container's page among Pulumi's resources."""
    return f"{container}-{page}"


def disk_letter(index: int, *, level: int) -> str:
    """The kernel's name of a machine's disk: sda first at level 1, vda first at level 2 (seed)."""
    return ("sd" if level == 1 else "vd") + chr(ord("a") + index)


def node_disks(sizes: Sequence[int]) -> dict[str, int]:
    """A storage node's disks: sizes in bytes by name, sda first."""
    return {disk_letter(index, level=1): size for index, size in enumerate(sizes)}


def owner_tag(stack: str) -> str:
    """What marks an object as this stack's: OVS external_ids, LVM tags, libvirt metadata."""
    return f"rack-lab.{stack}"


def mac(stack: str, machine: str, network: str) -> str:
    """A NIC's address, locally administered as qemu's own: 52:54 and four bytes of a digest.

    With three, as qemu has, two of a rack's thousand NICs would be equal in one case of thirty.
    """
    tail = hashlib.sha256(f"{stack}/{machine}/{network}".encode()).digest()[:4]
    return ":".join(["52", "54", *(f"{byte:02x}" for byte in tail)])


def log_folder(stack: str) -> str:
    """The folder on the lab machine with the boot logs of its first-level machines."""
    return f"/var/log/rack/{stack}"


NODE_LOG_FOLDER = "/var/log/rack"  # the same inside a node, for its guests
