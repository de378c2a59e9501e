"""What a stack makes on the lab machine; after a destroy each command must print nothing."""

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
