#!/bin/sh
# The stand-in for what lies beyond the firewall: a host on isp that answers pings and HTTP.
#   provider.sh apply BRIDGE NAME TAG ADDRESS/PREFIX FIREWALL
#   provider.sh remove BRIDGE NAME TAG
# A network namespace NAME on the lab machine. It sends all it knows no way for to the firewall,
# so what gets in from here is the firewall's decision.
set -eu

refuse() {
    echo "provider $name: $1" >&2
    exit 1
}

owner() {
    ovs-vsctl --timeout=60 --if-exists get interface "$name" external_ids:rack-lab | tr -d '"'
}

inside() {
    ip netns exec "$name" "$@"
}

apply() {
    address=$1 firewall=$2
    found=$(owner)
    if [ -z "$found" ]; then
        ovs-vsctl --timeout=60 add-port "$bridge" "$name" -- \
            set interface "$name" type=internal "external_ids:rack-lab=$tag"
    elif [ "$found" != "$tag" ]; then
        refuse "a port of that name is there and not this stack's; remove or rename it"
    fi
    [ -e "/run/netns/$name" ] || ip netns add "$name"
    [ ! -e "/sys/class/net/$name" ] || ip link set "$name" netns "$name"
    inside ip link set lo up
    inside ip link set "$name" up
    inside ip address replace "$address" dev "$name"
    inside ip route replace default via "$firewall"
    systemctl --quiet is-active "$unit" || serve
}

serve() {
    mkdir -p "$folder"
    echo "the world beyond the firewall" >"$folder/index.html"
    systemctl reset-failed "$unit" 2>/dev/null || true
    systemd-run --quiet --collect --unit="$unit" --property=Restart=always \
        --property="NetworkNamespacePath=/run/netns/$name" \
        python3 -m http.server --directory "$folder" 80 >&2
}

remove() {
    found=$(owner)
    [ -z "$found" ] || [ "$found" = "$tag" ] || refuse "not this stack's, left alone"
    systemctl --quiet stop "$unit" 2>/dev/null || true
    ovs-vsctl --timeout=60 --if-exists del-port "$bridge" "$name"
    [ ! -e "/run/netns/$name" ] || ip netns delete "$name"
    rm -rf "$folder"
}

action=$1 bridge=$2 name=$3 tag=$4
unit=rack-lab-$name.service folder=/run/rack-lab/$name
shift 4
case $action in
    apply) apply "$@" ;;
    remove) remove ;;
esac
