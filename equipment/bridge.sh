#!/bin/sh
# An OVS bridge on the lab machine, owned by one stack.
#   bridge.sh apply BRIDGE TAG [ADDRESS/PREFIX [ROUTED_CIDR,GATEWAY ...]]
#   bridge.sh remove BRIDGE TAG
set -eu

refuse() {
    echo "bridge $bridge: $1" >&2
    exit 1
}

owner() {
    ovs-vsctl --timeout=60 --if-exists get bridge "$bridge" external_ids:rack-lab | tr -d '"'
}

# Open vSwitch remembers ports beyond a power cut, and libvirt gives their names to other machines
# then, whose start fails: "vnet9 is actually attached to bridge ...". A rack's ports that have no
# device are nobody's.
forget_gone() {
    for port in $(ovs-vsctl --timeout=60 --bare --columns=name list interface); do
        case $port in vnet*) ;; *) continue ;; esac
        [ ! -e "/sys/class/net/$port" ] || continue
        at=$(ovs-vsctl --timeout=60 iface-to-br "$port" 2>/dev/null) || continue
        [ -z "$(ovs-vsctl --timeout=60 br-get-external-id "$at" rack-lab)" ] ||
            ovs-vsctl --timeout=60 --if-exists del-port "$at" "$port"
    done
}

apply() {
    forget_gone
    if ovs-vsctl --timeout=60 br-exists "$bridge"; then
        [ "$(owner)" = "$tag" ] || refuse "is there and not this stack's; remove or rename it"
    elif [ -e "/sys/class/net/$bridge" ]; then
        refuse "an interface of that name is there; remove or rename it"
    else
        ovs-vsctl --timeout=60 add-br "$bridge" -- br-set-external-id "$bridge" rack-lab "$tag"
    fi
    ip link set "$bridge" up
    [ $# -gt 0 ] || return 0
    other=$(ip -o -4 addr show to "${1%/*}" | awk -v own="$bridge" '$2 != own { print $2; exit }')
    [ -z "$other" ] || refuse "address $1 is already on $other; give the stack other networks"
    ip addr replace "$1" dev "$bridge"
    # A machine inside others that are emulated may be silent for most of a minute after going back to
    # a snapshot; arp(7) gives up after three questions, a second each, and ssh with it.
    echo 60 >"/proc/sys/net/ipv4/neigh/$bridge/mcast_solicit"
    shift
    for route in "$@"; do
        ip route replace "${route%,*}" via "${route#*,}" dev "$bridge"
    done
}

action=$1 bridge=$2 tag=$3
shift 3
case $action in
    apply) apply "$@" ;;
    remove)
        ovs-vsctl --timeout=60 br-exists "$bridge" || exit 0
        [ "$(owner)" = "$tag" ] || refuse "not this stack's, left alone"
        ovs-vsctl --timeout=60 --if-exists del-br "$bridge"
        ;;
esac
