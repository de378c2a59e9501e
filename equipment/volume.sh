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

# The volume's size and tags, and its group's tags; nothing if there is none. LVM takes its time
# to start where all is emulated, so it is asked once.
look() {
    IFS='|' read -r size tags group_tags <<END
$(lvs --noheadings --nosuffix --units b --separator '|' --options lv_size,lv_tags,vg_tags \
        "$group/$name" 2>/dev/null | tr -d ' ')
END
}

tagged() {
    case ",$tags," in *",$1,"*) ;; *) return 1 ;; esac
}

blank() {
    case ",$group_tags," in
        *,"$blank",*) ;;
        *) blkdiscard --zeroout "/dev/$group/$name" ;;
    esac
    lvchange --quiet --deltag "$unblanked" "$group/$name" >&2
}

apply() {
    bytes=$1
    look
    if [ -z "$size" ]; then
        lvcreate --quiet --yes --addtag "$tag" --addtag "$unblanked" --size "${bytes}b" \
            --name "$name" "$group" >&2
        look
    fi
    tagged "$tag" || refuse "is there and not this stack's; rename it"
    ! tagged "$unblanked" || blank
    if [ "$size" -lt "$bytes" ]; then
        lvextend --quiet --size "${bytes}b" "$group/$name" >&2
    elif [ "$((size - bytes))" -ge 4194304 ]; then
        refuse "has $size bytes, $bytes are wanted: it is never shrunk. Rename the machine or destroy it first"
    fi
}

action=$1 group=$2 name=$3 tag=$4
blank=rack-lab.blank # the group's free space reads as zeros, until a volume was removed
unblanked=rack-lab.not-blank-yet # an interrupted run goes on from here
shift 4
case $action in
    apply) apply "$@" ;;
    remove)
        look
        [ -n "$size" ] || exit 0
        tagged "$tag" || refuse "not this stack's, left alone"
        vgchange --quiet --deltag "$blank" "$group" >&2
        lvremove --quiet --force --yes --config devices/issue_discards=1 "$group/$name" >&2
        ;;
esac
