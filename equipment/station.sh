#!/bin/sh
# A small host of its own on one network: a namespace with a port, addresses and one program.
#   station.sh apply BRIDGE NAME TAG GATEWAY|- ADDRESS/PREFIX[,ADDRESS/PREFIX...] PORT PROGRAM [ARG...]
#   station.sh remove BRIDGE NAME TAG
# The program runs as NAME.service in an empty folder, again when it ends; /var/lib/NAME is its own.
# PORT: tcp/NUMBER or udp/NUMBER, at which it must listen then, or - for a program that does not.
set -eu

refuse() {
    echo "station $name: $1" >&2
    exit 1
}

owner() {
    ovs-vsctl --timeout=60 --if-exists get interface "$name" external_ids:rack-lab | tr -d '"'
}

inside() {
    ip netns exec "$name" "$@"
}

apply() {
    gateway=$1 addresses=$2 port=$3
    shift 3
    command -v "$1" >/dev/null || refuse "the lab machine has no $1; install it there"
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
    for address in $(echo "$addresses" | tr ',' ' '); do
        inside ip address replace "$address" dev "$name"
    done
    [ "$gateway" = - ] || inside ip route replace default via "$gateway"
    systemctl --quiet is-active "$unit" || run "$@"
    [ "$port" = - ] || await_listener
}

run() {
    systemctl reset-failed "$unit" 2>/dev/null || true
    systemd-run --quiet --collect --unit="$unit" --property=Restart=always \
        --property="RuntimeDirectory=$name" --property="WorkingDirectory=/run/$name" \
        --property="NetworkNamespacePath=/run/netns/$name" "$@" >&2
}

# systemd starts what ends again and again, and tells nobody.
await_listener() {
    case $port in
        tcp/*) sockets=--tcp ;;
        *) sockets=--udp ;;
    esac
    deadline=$(($(uptime) + deadline_s))
    until inside ss --no-header --listening --numeric "$sockets" "sport = :${port#*/}" | grep -q .; do
        state=$(systemctl is-active "$unit" || true)
        case $state in inactive | failed) silent "it is $state" ;; esac
        [ "$(uptime)" -lt "$deadline" ] || silent "$deadline_s s have passed"
        sleep 1
    done
}

uptime() {
    cut -d. -f1 /proc/uptime
}

silent() {
    said=$(journalctl --unit="$unit" --lines=5 --output=cat --no-pager | tail -n 5)
    refuse "its program doesn't listen at $port, and $1; it last said:
${said:-(nothing)}
to look, on the lab machine: journalctl --unit=$unit"
}

remove() {
    found=$(owner)
    [ -z "$found" ] || [ "$found" = "$tag" ] || refuse "not this stack's, left alone"
    systemctl --quiet stop "$unit" 2>/dev/null || true
    ovs-vsctl --timeout=60 --if-exists del-port "$bridge" "$name"
    [ ! -e "/run/netns/$name" ] || ip netns delete "$name"
    rm -rf "/var/lib/$name"
}

action=$1 bridge=$2 name=$3 tag=$4
unit=$name.service deadline_s=120
shift 4
case $action in
    apply) apply "$@" ;;
    remove) remove ;;
esac
