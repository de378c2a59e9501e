#!/bin/sh
# One logical volume in the stack's volume group.
#   volume.sh apply GROUP NAME TAG BYTES
#   volume.sh remove GROUP NAME TAG
# New volumes are blank, as new disks are: a machine adopts what it finds on its disks, and
# that must not be what a destroyed rack left there.
# Grows, never shrinks: a smaller file system under a running machine is lost data.
set -eu

refuse() {
    echo "volume $group/$name: $1" >&2
    exit 1
}

field() {
    lvs --noheadings --nosuffix --units b --options "$1" "$group/$name" 2>/dev/null | tr -d ' '
}

tagged() {
    field lv_tags | tr ',' '\n' | grep -qxF "$1"
}

# Punching a hole gives the space back where the disks can; else zeros are written.
blank() {
    fallocate --punch-hole --offset 0 --length "$(field lv_size)" "/dev/$group/$name" 2>/dev/null ||
        blkdiscard --zeroout "/dev/$group/$name"
    lvchange --quiet --deltag "$unblanked" "$group/$name" >&2
}

apply() {
    bytes=$1
    if [ -z "$(field lv_name)" ]; then
        lvcreate --quiet --yes --addtag "$tag" --addtag "$unblanked" \
            --size "${bytes}b" --name "$name" "$group" >&2
    fi
    tagged "$tag" || refuse "is there and not this stack's; rename it"
    ! tagged "$unblanked" || blank
    size=$(field lv_size)
    if [ "$size" -lt "$bytes" ]; then
        lvextend --quiet --size "${bytes}b" "$group/$name" >&2
    elif [ "$((size - bytes))" -ge 4194304 ]; then
        refuse "has $size bytes, $bytes are wanted: it is never shrunk. Rename the machine or destroy it first"
    fi
}

action=$1 group=$2 name=$3 tag=$4
unblanked=rack-lab.not-blank-yet # an interrupted run goes on from here
shift 4
case $action in
    apply) apply "$@" ;;
    remove)
        [ -n "$(field lv_name)" ] || exit 0
        tagged "$tag" || refuse "not this stack's, left alone"
        lvremove --quiet --force --yes --config devices/issue_discards=1 "$group/$name" >&2
        ;;
esac
