#!/bin/sh
# What the topology of today doesn't name any more, but carries the stack's tag.
#   clear.sh domains TAG       switches off and forgets the stack's machines
#   clear.sh networks TAG      forgets libvirt's networks, removes bridges
set -eu

virsh() {
    command virsh -c qemu:///system "$@"
}

# By libvirt's own definitions in a folder: the names of those with the tag.
owned() {
    for file in "$1"/*.xml; do
        name=${file##*/}
        ! grep -qsF ">$tag<" "$file" || echo "${name%.xml}"
    done
}

domains() {
    running=$(virsh list --name --state-running)
    for name in $(owned /etc/libvirt/qemu); do
        ! echo "$running" | grep -qxF "$name" || virsh destroy "$name" >&2
        virsh undefine --managed-save --snapshots-metadata "$name" >&2
    done
}

networks() {
    active=$(virsh net-list --name)
    for name in $(owned /etc/libvirt/qemu/networks); do
        ! echo "$active" | grep -qxF "$name" || virsh net-destroy "$name" >&2
        virsh net-undefine "$name" >&2
    done
    bridges=$(ovs-vsctl --timeout=60 list-br)
    for bridge in $bridges; do
        owner=$(ovs-vsctl --timeout=60 --if-exists get bridge "$bridge" external_ids:rack-lab)
        [ "$(echo "$owner" | tr -d '"')" != "$tag" ] || ovs-vsctl --timeout=60 del-br "$bridge"
    done
}

action=$1 tag=$2
"$action"
