#!/bin/sh
# The md array over the lab machine's physical disks, and the volume group on it.
#   array.sh apply NAME TAG LEVEL SERIAL...
#   array.sh remove NAME TAG SERIAL...
# The group's tag rack-lab.blank says that its free space reads as zeros.
# Adopts what carries the stack's names; refuses disks that hold anything else.
set -eu

refuse() {
    echo "array $name: $1" >&2
    exit 1
}

# The disk with a serial number, as the kernel names it.
disk_of() {
    path=$(lsblk --nodeps --noheadings --paths --output NAME,SERIAL |
        awk -v serial="$1" '$2 == serial { print $1 }')
    [ -b "$path" ] || refuse "no disk with serial number $1; lsblk -o NAME,SERIAL lists them"
    echo "$path"
}

# The md name in a disk's superblock without its homehost; empty if there is none.
member_of() {
    mdadm --examine --export "$1" 2>/dev/null | sed -n 's/^MD_NAME=\(.*:\)\{0,1\}//p'
}

# What stands on a disk, or where it is mounted or swapped to: it may have no signature, as dm-crypt's
# plain mode. Nothing for a free one.
used_by() {
    lsblk --noheadings --list --output NAME,MOUNTPOINT "$1" | awk 'NR > 1 || NF > 1 { $1 = $1; print }' | paste -s -d ';' -
}

# Empty disks are equal and need no synchronising: minutes of I/O beside the rack's first boots.
create() {
    clean=--assume-clean
    for disk in "$@"; do
        bytes=$(blockdev --getsize64 "$disk")
        fallocate --punch-hole --offset 0 --length "$bytes" "$disk" 2>/dev/null || clean=''
    done
    [ -z "$clean" ] || blank=rack-lab.blank
    redundancy="$clean --bitmap=internal"
    [ "$level" != 0 ] || redundancy='' # mdadm 4.2 refuses any word of it there
    # shellcheck disable=SC2086 # options
    mdadm --create "$device" --run --quiet --homehost=any --name="$name" --metadata=1.2 $redundancy \
        --level="$level" --raid-devices=$# "$@" >&2
}

# A disk that was away joins again; what it missed is written to it, by the bitmap.
rejoin() {
    md=$(readlink -f "$device")
    for disk in "$@"; do
        state=$(cat "/sys/block/${md##*/}/md/dev-${disk##*/}/state" 2>/dev/null) || state=absent
        case $state in *in_sync* | *spare*) continue ;; esac
        mdadm --quiet "$device" --fail detached --remove detached 2>/dev/null || true
        mdadm --quiet "$device" --remove failed 2>/dev/null || true
        mdadm --quiet "$device" --re-add "$disk" 2>/dev/null || mdadm --quiet "$device" --add "$disk" >&2
    done
}

assemble() {
    members=0
    for disk in "$@"; do
        found=$(member_of "$disk")
        if [ "$found" = "$name" ]; then
            members=$((members + 1))
        elif [ -n "$found" ] || [ -n "$(wipefs --noheadings --output TYPE "$disk")" ]; then
            refuse "$disk holds ${found:-$(wipefs --noheadings --output TYPE "$disk")}; nothing was changed. If that data may go: wipefs --all $disk"
        elif [ -n "$(used_by "$disk")" ]; then
            refuse "$disk is in use: $(used_by "$disk"); nothing was changed"
        fi
    done
    md=$(running)
    if [ -n "$md" ] && mdadm --detail "$md" 2>/dev/null | grep -q 'State :.*FAILED'; then
        refuse "it has failed: more of its disks went than it bears. Switch the lab machine off and on (virtual: lab machine down), then: lab start"
    fi
    if [ -b "$device" ]; then
        rejoin "$@"
        return
    fi
    if [ "$members" -gt 0 ]; then
        mdadm --assemble --run "$device" --name="$name" "$@" >&2
    else
        create "$@"
    fi
}

apply() {
    level=$1 blank=''
    shift
    disks=''
    for serial in "$@"; do disks="$disks $(disk_of "$serial")"; done
    # shellcheck disable=SC2086 # device paths have no blanks
    assemble $disks
    udevadm settle --timeout=60
    if vgs "$name" >/dev/null 2>&1; then
        vgs --noheadings --options vg_tags "$name" | grep -qw "$tag" ||
            refuse "a volume group $name is there and not this stack's; rename it"
        vgchange --quiet --activate y "$name" >/dev/null
    else
        vgcreate --quiet --yes --addtag "$tag" ${blank:+--addtag "$blank"} "$name" "$device" >&2
    fi
    mdadm --detail --export "$device" | grep -E '^MD_(LEVEL|DEVICES|UUID)='
}

# The device of an array of that name, also of one that has failed and lost its link; or nothing.
running() {
    [ ! -e /run/mdadm/map ] || awk -v link="$device" '$4 == link { print "/dev/" $1 }' /run/mdadm/map
}

# Volumes of an array that has failed are no group's any more, and keep it from being stopped.
drop_volumes() {
    dmsetup ls 2>/dev/null | awk -v prefix="$(echo "$name" | sed 's/-/--/g')-" \
        'index($1, prefix) == 1 && substr($1, length(prefix) + 1, 1) != "-" { print $1 }' |
        while read -r volume; do dmsetup remove --force --retry "$volume" >&2 || true; done
}

remove() {
    if vgs --noheadings --options vg_tags "$name" 2>/dev/null | grep -qw "$tag"; then
        vgremove --quiet --force --yes "$name" >&2
        pvremove --quiet --force --yes "$device" >&2
        lvmdevices --deldev "$device" >/dev/null 2>&1 || true # only where a devices file is used
    fi
    drop_volumes
    md=$(running)
    [ -z "$md" ] || mdadm --stop --quiet "$md" >&2
    for serial in "$@"; do
        disk=$(disk_of "$serial") || continue # pulled out: it keeps what it has
        [ "$(member_of "$disk")" != "$name" ] || mdadm --zero-superblock --force "$disk"
    done
}

action=$1 name=$2 tag=$3
device=/dev/md/$name
shift 3
case $action in
    apply) apply "$@" ;;
    remove) remove "$@" ;;
esac
