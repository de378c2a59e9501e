#!/bin/sh
# What is on the lab machine, a record per line, fields with "|" between them. Changes nothing.
#   survey.sh SERIAL...
#   memory|KIB
#   kvm|no                        there is no /dev/kvm
#   virtualisation|vmx or svm     by which its CPU runs guests
#   domain|NAME|OWNER|KIB         each that libvirt has defined
#   running|NAME
#   bridge|NAME|OWNER
#   group|NAME|TAGS
#   address|DEVICE|ADDRESS/PREFIX
#   route|DESTINATION|DEVICE
#   disk|SERIAL|TYPE|LABEL        what stands on each of the given disks that is there, or nothing
# OWNER is a tag rack-lab.STACK, or empty.
set -eu

echo "memory|$(awk '$1 == "MemTotal:" { print $2 }' /proc/meminfo)"
[ -c /dev/kvm ] || echo 'kvm|no'
echo "virtualisation|$(grep -m 1 -ow -e vmx -e svm /proc/cpuinfo || true)"
for file in /etc/libvirt/qemu/*.xml; do
    [ -e "$file" ] || continue
    owner=$(sed -n 's/.*>\(rack-lab\.[^<]*\)<.*/\1/p' "$file" | head -n 1)
    memory=$(sed -n "s/.*<memory unit='KiB'>\([0-9]*\)<.*/\1/p" "$file" | head -n 1)
    name=${file##*/}
    echo "domain|${name%.xml}|$owner|${memory:-0}"
done
# In variables, as a pipe and a `for` would hide that a program isn't there.
running=$(virsh -c qemu:///system list --name --state-running)
bridges=$(ovs-vsctl --timeout=60 list-br)
groups=$(vgs --noheadings --separator '|' --options vg_name,vg_tags)
addresses=$(ip -4 -oneline address show scope global)
routes=$(ip -4 -oneline route show)
for name in $running; do echo "running|$name"; done
for bridge in $bridges; do
    owner=$(ovs-vsctl --timeout=60 --if-exists get bridge "$bridge" external_ids:rack-lab)
    echo "bridge|$bridge|$(echo "$owner" | tr -d '"')"
done
echo "$groups" | sed -n 's/^ *\(..*\)$/group|\1/p'
echo "$addresses" | awk 'NF { print "address|" $2 "|" $4 }'
echo "$routes" | awk '$1 ~ /^[0-9]/ { for (n = 2; n < NF; n++) if ($n == "dev") print "route|" $1 "|" $(n + 1) }'
disks=$(lsblk --nodeps --noheadings --paths --output NAME,SERIAL)
for serial in "$@"; do
    disk=$(echo "$disks" | awk -v serial="$serial" '$2 == serial { print $1 }')
    [ -b "$disk" ] || continue
    held=$(wipefs --noheadings --parsable --output TYPE,LABEL "$disk")
    used=$(lsblk --noheadings --list --output NAME,MOUNTPOINT "$disk" |
        awk 'NR > 1 || NF > 1 { $1 = $1; print }' | paste -s -d ';' -)
    [ -n "$held" ] || [ -z "$used" ] || held="something in use,$used" # without a signature
    printf '%s\n' "${held:-,}" | sed -n "1s/^\([^,]*\),\(.*\)$/disk|$serial|\1|\2/p"
done
