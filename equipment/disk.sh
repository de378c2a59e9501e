#!/bin/sh
# A physical disk, pulled out of the running lab machine and put in again.
#   disk.sh pull SERIAL
#   disk.sh put SERIAL
set -eu

seen() {
    lsblk --nodeps --noheadings --output NAME,SERIAL | awk -v serial="$serial" '$2 == serial { print $1 }'
}

# Removing a SCSI or PCI device by sysfs is what a pulled disk is to the kernel.
pull() {
    disk=$(seen)
    [ -n "$disk" ] || return 0
    device=$(readlink -f "/sys/block/$disk/device")
    if [ -e "$device/delete" ]; then
        echo 1 >"$device/delete"
    else
        echo 1 >"${device%/*}/remove"
    fi
}

put() {
    echo 1 >/sys/bus/pci/rescan
    for host in /sys/class/scsi_host/*/scan; do
        [ ! -e "$host" ] || echo '- - -' >"$host"
    done
    udevadm settle --timeout=60
    [ -n "$(seen)" ] || {
        echo "disk $serial: not seen after a look at all buses" >&2
        exit 1
    }
}

action=$1 serial=$2
"$action"
