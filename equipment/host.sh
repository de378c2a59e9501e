#!/bin/sh
# What a real lab machine has of what racks need, and making it so: Debian 12, 13, Ubuntu 24.04.
#   host.sh look VIRTUALBMC "PACKAGE..." "UNIT..." "FILE..."    changes nothing; a record per line:
#     root|UID
#     system|ID|VERSION              os-release(5)
#     package|NAME|VERSION           each of these that is installed
#     removes|NAME                   what apt would remove for those that aren't
#     unit|NAME|STATE
#     kvm|vmx or svm|yes|Y           what the CPU has, whether /dev/kvm is there, and nesting on
#     pages|NUMBER                   vm.nr_overcommit_hugepages
#     file|PATH|SHA256               each of these that is there
#     virtualbmc|yes                 its file VIRTUALBMC is there
#     scan_lvs|0                     lvm.conf(5)
#     held|VOLUME|DEVICE             a rack's volume, and what the lab machine has made of it
#     rack|STACK                     whose volume group or bridges are there
#   host.sh install PACKAGE...       with apt; notes what that adds and removes
#   host.sh purge [KEY]              takes that back, and lets the key in no more
#   host.sh admit KEY                lets a key in as root: a line of authorized_keys, sshd(8)
#   host.sh start UNIT...            now, and with the machine
#   host.sh lay                      the files in the tar on standard input, and heeds them
#   host.sh take PATH...             removes these
#   host.sh nest                     loads KVM again, with nesting
#   host.sh release DEVICE...        gives rack's volumes back that arrays and volumes stand on
set -eu

notes=/var/lib/rack-lab
keys=/root/.ssh/authorized_keys
pages=/proc/sys/vm/nr_overcommit_hugepages

refuse() {
    echo "$1" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null
}

installed() {
    dpkg-query --show --showformat='${db:Status-Abbrev}|${binary:Package}|${Version}\n' "$@" \
        2>/dev/null | sed -n 's/^[ih]i *|\([^|:]*\)[^|]*|/\1|/p'
}

look() {
    virtualbmc=$1 packages=$2 units=$3 files=$4
    echo "root|$(id -u)"
    (. /etc/os-release && echo "system|$ID|${VERSION_ID:-}")
    if has dpkg-query; then look_at_packages; fi
    for unit in $units; do echo "unit|$unit|$(systemctl is-active "$unit" 2>/dev/null || true)"; done
    flag=$(grep -m 1 -ow -e vmx -e svm /proc/cpuinfo || true)
    there=no nested=''
    [ ! -c /dev/kvm ] || there=yes
    for module in kvm_intel kvm_amd; do
        nested=$nested$(cat "/sys/module/$module/parameters/nested" 2>/dev/null || true)
    done
    echo "kvm|$flag|$there|$nested"
    echo "pages|$(cat $pages)"
    for file in $files; do
        [ ! -f "$file" ] || echo "file|$file|$(sha256sum "$file" | cut -d ' ' -f 1)"
    done
    [ ! -s "$virtualbmc" ] || echo 'virtualbmc|yes'
    ! has lvmconfig || lvmconfig --type full devices/scan_lvs | sed 's/.*=/scan_lvs|/'
    racks | sort -u
    for volume in /sys/block/dm-*; do
        name=$(cat "$volume/dm/name" 2>/dev/null || true)
        case $name in rack-*) ;; *) continue ;; esac
        for holder in "$volume"/holders/*; do
            [ ! -e "$holder" ] || echo "held|$name|${holder##*/}"
        done
    done
}

racks() {
    ! has vgs || vgs --noheadings --options vg_name | sed -n 's/^ *rack-\([^ ]*\)$/rack|\1/p'
    ! has ovs-vsctl || ovs-vsctl --timeout=10 --bare --columns=external_ids list bridge 2>/dev/null |
        sed -n 's/.*rack-lab="*rack-lab[.]\([^" ,]*\).*/rack|\1/p'
}

look_at_packages() {
    # shellcheck disable=SC2086 # a list of words
    found=$(installed $packages)
    echo "$found" | sed -n 's/^./package|&/p'
    missing=''
    for package in $packages; do
        echo "$found" | grep -q "^$package|" || missing="$missing $package"
    done
    # shellcheck disable=SC2086
    [ -z "$missing" ] || apt-get --simulate --no-install-recommends install $missing 2>/dev/null |
        sed -n 's/^Remv \([^ ]*\).*/removes|\1/p'
}

# What was there before is kept until what has changed is noted: an interrupted run loses nothing.
install() {
    mkdir -p $notes
    [ -s $notes/before ] || write $notes/before names
    export DEBIAN_FRONTEND=noninteractive
    apt-get --quiet --quiet update
    apt-get --quiet --quiet --yes --no-install-recommends install "$@" >&2
    note
}

names() {
    installed | cut -d '|' -f 1 | LC_ALL=C sort -u
}

write() { # FILE COMMAND: what it says, whole or not at all
    "$2" >"$1.new"
    sync "$1.new"
    mv "$1.new" "$1"
}

note() {
    [ -s $notes/before ] || return 0
    write $notes/packages changed
    rm $notes/before
}

# A line per package: + added, - removed since the first time, as far as it is so now.
changed() {
    names >$notes/now
    {
        cat $notes/packages 2>/dev/null || true
        LC_ALL=C comm -13 $notes/before $notes/now | sed 's/^/+/'
        LC_ALL=C comm -23 $notes/before $notes/now | sed 's/^/-/'
    } | LC_ALL=C sort -u
    rm $notes/now
}

admit() {
    has sshd || install openssh-server
    mkdir -p "${keys%/*}"
    touch $keys
    chmod 700 "${keys%/*}"
    chmod 600 $keys
    grep -qxF "$1" $keys || echo "$1" >>$keys
}

purge() {
    if [ $# -gt 0 ] && grep -qxF "$1" $keys; then
        others=$(grep -vxF "$1" $keys || true)
        echo "$others" >$keys
    fi
    note
    [ -s $notes/packages ] || return 0
    back=$(sed -n 's/^-\(.*\)/\1+/p' $notes/packages)
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2046,SC2086 # words; a trailing + installs, apt-get(8)
    apt-get --quiet --quiet --yes --no-install-recommends purge \
        $(installed $(sed -n 's/^+//p' $notes/packages) | cut -d '|' -f 1) $back >&2
    rm $notes/packages
    rmdir --ignore-fail-on-non-empty $notes
}

start() {
    systemctl --quiet enable --now "$@"
}

lay() {
    mkdir -p $notes
    [ -e $notes/pages ] || cp $pages $notes/pages
    tar --extract --no-same-owner --no-overwrite-dir --directory /
    sync
    heed
}

heed() {
    [ ! -e /etc/sysctl.d/60-rack-lab.conf ] || sysctl --quiet --load /etc/sysctl.d/60-rack-lab.conf
    udevadm control --reload
    udevadm trigger --settle --subsystem-match=block --property-match='DM_VG_NAME=rack-*'
    if has update-initramfs; then update-initramfs -u -k all >&2; fi
}

take() {
    rm -rf "$@"
    rmdir --ignore-fail-on-non-empty /usr/local/lib/rack-lab 2>/dev/null || true
    [ ! -e $notes/pages ] || cat $notes/pages >$pages
    heed
    rm -f $notes/pages
    rmdir --ignore-fail-on-non-empty $notes
}

nest() {
    for module in kvm_intel kvm_amd; do
        [ -e "/sys/module/$module" ] || continue
        modprobe --remove "$module" ||
            refuse "$module is in use; switch its machines off and do this again, or reboot"
        modprobe "$module"
    done
}

release() {
    for device in "$@"; do
        [ -e "/sys/block/$device" ] || continue
        for holder in "/sys/block/$device"/holders/*; do
            [ ! -e "$holder" ] || (release "${holder##*/}") # in a shell of its own: its variables
        done
        case $device in
            md*) mdadm --quiet --stop "/dev/$device" >&2 ;;
            *) dmsetup remove --retry "$(cat "/sys/block/$device/dm/name")" >&2 ;;
        esac
    done
}

action=$1
shift
case $action in
    look | install | admit | purge | start | lay | take | nest | release) "$action" "$@" ;;
    *) refuse "host.sh: no action $action" ;;
esac
