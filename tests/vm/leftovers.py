"""What a stack makes on the lab machine; after a destroy each command must print nothing."""

from racks import Rack

LEFTOVERS = {
    "bridges": "ovs-vsctl list-br",
    "namespaces": "ip netns list",
    "arrays": "mdadm --detail --scan",
    "groups": "vgs --noheadings",
    "domains": "virsh list --all --name | grep . || true",
    "networks": "virsh net-list --all --name | grep . || true",
    "pools": "virsh pool-list --all --name | grep . || true",
    "superblocks": "mdadm --examine --scan",
    "logs": "ls /var/log/rack 2>/dev/null || true",
    "addresses": "ip -brief -4 address | grep -E '10[.]7[78][.]' || true",
}


def left(rack: Rack) -> dict[str, str]:
    """What each of these commands prints now."""
    return {name: rack.lab_machine(script).strip() for name, script in LEFTOVERS.items()}
