#!/bin/sh
# What is on the lab machine, a record per line, fields with "|" between them. Changes nothing.
#   survey.sh SERIAL...
#   memory|KIB
#   domain|NAME|OWNER|KIB         each that libvirt has defined
#   running|NAME
#   bridge|NAME|OWNER
#   group|NAME|TAGS
#   address|DEVICE|ADDRESS/PREFIX
#   route|DESTINATION|DEVICE
#   disk|SERIAL|TYPE|LABEL        what stands on each of the given disks
# OWNER is a tag rack-lab.STACK, or empty.
set -eu

echo "memory|$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
for file in /etc/libvirt/qemu/*.xml; do
    [ -e "$file" ] || continue
    owner=$(sed -n 's/.*>\(rack-lab\.[^<]*\)<.*/\1/p' "$file" | head -n 1)
    memory=$(sed -n "s/.*<memory unit='KiB'>\([0-9]*\)<.*/\1/p" "$file" | head -n 1)
    name=${file##*/}
    echo "domain|${name%.xml}|$owner|${memory:-0}"
done
virsh -c qemu:///system list --name --state-running | sed -n 's/^\(..*\)$/running|\1/p'
for bridge in $(ovs-vsctl --timeout=60 list-br); do
    owner=$(ovs-vsctl --timeout=60 --if-exists get bridge "$bridge" external_ids:rack-lab | tr -d '"')
    echo "bridge|$bridge|$owner"
done
vgs --noheadings --separator '|' --options vg_name,vg_tags 2>/dev/null | sed 's/^ */group|/'
ip -4 -oneline address show scope global | awk '{ print "address|" $2 "|" $4 }'
ip -4 -oneline route show | awk '{ if ($1 ~ /^[0-9]/) for (n = 2; n < NF; n++) if ($n == "dev") print "route|" $1 "|" $(n + 1) }'
disks=$(lsblk --nodeps --noheadings --paths --output NAME,SERIAL)
for serial in "$@"; do
    disk=$(echo "$disks" | awk -v serial="$serial" '$2 == serial { print $1 }')
    [ -b "$disk" ] || continue
    wipefs --noheadings --parsable --output TYPE,LABEL "$disk" |
        sed -n "1s/^\([^,]*\),\(.*\)$/disk|$serial|\1|\2/p"
done
