#!/bin/sh
# On a network's OVS bridge, DHCP servers' replies to clients pass from the given NICs alone.
#   dhcpguard.sh apply BRIDGE TAG MAC...
#   dhcpguard.sh remove BRIDGE TAG
#   dhcpguard.sh rogues BRIDGE         the MACs of others that tried in the last hour, one a line
# Who else replies is learned (ovs-actions(7), learn) as a flow of table 9, which nothing looks at
# but `rogues`.
set -eu

cookie=0xd4c9 # of this script's flows
reply=udp,tp_src=67,tp_dst=68

of() {
    ovs-ofctl "$@"
}

apply() {
    of del-flows "$bridge" "cookie=$cookie/-1"
    for mac in "$@"; do
        of add-flow "$bridge" "cookie=$cookie,priority=600,$reply,dl_src=$mac,actions=NORMAL"
    done
    of add-flow "$bridge" \
        "cookie=$cookie,priority=500,$reply,actions=learn(table=9,hard_timeout=3600,cookie=$cookie,NXM_OF_ETH_SRC[])"
}

action=$1 bridge=$2
case $action in
    apply)
        shift 3
        apply "$@"
        ;;
    remove)
        ! ovs-vsctl --timeout=60 br-exists "$bridge" || of del-flows "$bridge" "cookie=$cookie/-1"
        ;;
    rogues) of dump-flows "$bridge" table=9 | sed -n 's/.*dl_src=\([0-9a-f:]*\).*/\1/p' ;;
esac
