#!/bin/sh
# A bad line between one machine's NIC and a network's bridge: a bridge of the machine's own, which
# outlives its power cuts, and a pair of ports to the network's, with tc-netem(8) on both.
#   line.sh apply BRIDGE FAR TAG WORD...     e.g. delay 40ms loss 1%
#   line.sh remove BRIDGE FAR TAG
set -eu

owner() {
    ovs-vsctl --timeout=60 --if-exists get bridge "$far" external_ids:rack-lab | tr -d '"'
}

# Changed in place, a qdisc keeps the rate, corruption and reordering that are no longer named.
spoil() {
    ! tc qdisc show dev "$1" root | grep -q netem || tc qdisc del dev "$1" root
    port=$1
    shift
    tc qdisc add dev "$port" root netem "$@"
}

apply() {
    if ovs-vsctl --timeout=60 br-exists "$far" && [ "$(owner)" != "$tag" ]; then
        echo "bridge $far: is there and not this stack's; remove or rename it" >&2
        exit 1
    fi
    ovs-vsctl --timeout=60 --may-exist add-br "$far" -- br-set-external-id "$far" rack-lab "$tag"
    [ -e "/sys/class/net/$far.n" ] || ip link add "$far.n" type veth peer name "$far.f"
    ovs-vsctl --timeout=60 --may-exist add-port "$bridge" "$far.n" -- \
        --may-exist add-port "$far" "$far.f"
    for each in "$far.n" "$far.f"; do
        ip link set "$each" up
        spoil "$each" "$@"
    done
}

remove() {
    ovs-vsctl --timeout=60 --if-exists del-port "$bridge" "$far.n"
    [ "$(owner)" != "$tag" ] || ovs-vsctl --timeout=60 --if-exists del-br "$far"
    [ ! -e "/sys/class/net/$far.n" ] || ip link delete "$far.n"
}

action=$1 bridge=$2 far=$3 tag=$4
shift 4
case $action in
    apply) apply "$@" ;;
    remove) remove ;;
esac
