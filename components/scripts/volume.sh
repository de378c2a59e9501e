#!/bin/sh
# One logical volume in the stack's volume group.
#   volume.sh apply GROUP NAME TAG BYTES
#   volume.sh remove GROUP NAME TAG
# Grows, never shrinks: a smaller file system under a running machine is lost data.
set -eu

refuse() {
    echo "volume $group/$name: $1" >&2
    exit 1
}

field() {
    lvs --noheadings --nosuffix --units b --options "$1" "$group/$name" 2>/dev/null | tr -d ' '
}

apply() {
    bytes=$1
    if [ -z "$(field lv_name)" ]; then
        lvcreate --quiet --yes --wipesignatures y --zero y --addtag "$tag" \
            --size "${bytes}b" --name "$name" "$group" >&2
        return
    fi
    field lv_tags | grep -qwF "$tag" || refuse "is there and not this stack's; rename it"
    size=$(field lv_size)
    if [ "$size" -lt "$bytes" ]; then
        lvextend --quiet --size "${bytes}b" "$group/$name" >&2
    elif [ "$((size - bytes))" -ge 4194304 ]; then
        refuse "has $size bytes, $bytes are wanted: it is never shrunk. Rename the machine or destroy it first"
    fi
}

action=$1 group=$2 name=$3 tag=$4
shift 4
case $action in
    apply) apply "$@" ;;
    remove)
        [ -n "$(field lv_name)" ] || exit 0
        field lv_tags | grep -qwF "$tag" || refuse "not this stack's, left alone"
        lvremove --quiet --force --yes "$group/$name" >&2
        ;;
esac
