#!/bin/sh
# What a real lab machine has of what racks need, and making it so: Debian 12, 13, Ubuntu 24.04.
#   host.sh look VIRTUALBMC "PACKAGE..." "UNIT..." "FILE..." "MODULE..."   changes nothing;
#                                    a record per line:
#     root|UID                       another user's is all that is told
#     architecture|x86_64
#     system|ID|VERSION              os-release(5)
#     package|NAME|VERSION           each of these that is installed
#     removes|NAME                   what apt would remove for those that aren't
#     unlisted|yes                   apt's lists don't have them: what it removes can't be told
#     unit|NAME|STATE
#     lacks|MODULE                   of the kernel's
#     synchronised|yes               whether its clock is, timedatectl(1)
#     kvm|vmx or svm|yes|Y           what the CPU has, whether /dev/kvm is there, and nesting on
#     pages|NUMBER                   vm.nr_overcommit_hugepages
#     file|PATH|SHA256               each of these that is there
#     virtualbmc|yes                 its file VIRTUALBMC is there
#     laid|yes                       files were laid, or not yet taken back to the end
#     heeded|yes                     udev and the initramfs have those files
#     scan_lvs|0                     lvm.conf(5)
#     held|VOLUME|DEVICE             a rack's volume, and what the lab machine has made of it
#     foreign|GROUP                  a volume group that has a rack's name, and isn't one's
#     racks|STACK                    whose volume group or bridges are there
#     noted|PACKAGE                  was added for racks, and is there
#     back|PACKAGE                   was removed for them, and isn't
#     purges|PACKAGE                 what apt would remove if these were taken back
#     uses|PACKAGE|THING             what is there that needs one of these, a rack's or not
#   host.sh update                   apt's lists
#   host.sh install PACKAGE...       with apt; notes before it what that adds and removes
#   host.sh purge [KEY]              takes that back, and lets the key in no more
#   host.sh admit KEY                lets a key in as root: a line of authorized_keys, sshd(8)
#   host.sh start UNIT...            now, and with the machine
#   host.sh lay                      the files in the tar on standard input, and heeds them
#   host.sh take PATH...             removes these
#   host.sh nest                     loads KVM again, with nesting
#   host.sh boots LAST SECONDS       boots this machine's own kernel on KVM, until it says LAST
#   host.sh release DEVICE...        gives rack's volumes back that arrays and volumes stand on
set -eu

notes=/var/lib/rack-lab
keys=/root/.ssh/authorized_keys
heeded=$notes/heeded
rules=/etc/udev/rules.d/57-rack-lab.rules
nesting=/etc/modprobe.d/rack-lab.conf
pages=/proc/sys/vm/nr_overcommit_hugepages
sysctl=/etc/sysctl.d/10-rack-lab.conf # before the user's own, which count then, sysctl.d(5)

refuse() {
    echo "$1" >&2
    exit 1
}

has() {
    command -v "$1" >/dev/null
}

# NAME|VERSION of each of these packages that is installed; without the state "i", also of one
# that is so by half.
installed() {
    state=$1
    shift
    [ $# -gt 0 ] || return 0 # else dpkg-query tells of all
    dpkg-query --show --showformat='${db:Status-Abbrev}|${binary:Package}|${Version}\n' "$@" \
        2>/dev/null | sed -n "s/^[a-z]$state *|\\([^|:]*\\)[^|]*|/\\1|/p"
}

# Waits for another apt that is at work. What one left that was cut is finished before.
quiet_apt() {
    export DEBIAN_FRONTEND=noninteractive
    dpkg --configure -a >&2
    apt-get --quiet --quiet --option DPkg::Lock::Timeout=300 "$@"
}

look() {
    virtualbmc=$1 packages=$2 units=$3 files=$4 modules=$5
    echo "root|$(id -u)"
    [ "$(id -u)" = 0 ] || return 0 # the rest may be kept from others
    echo "architecture|$(uname -m)"
    # shellcheck source=/dev/null
    (. /etc/os-release && echo "system|$ID|${VERSION_ID:-}")
    groups=''
    if has vgs; then # NAME|UUID|TAGS of each; one that fails isn't one that has none
        groups=$(vgs --noheadings --separator '|' --options vg_name,vg_uuid,vg_tags)
        groups=$(echo "$groups" | sed 's/^ *//')
    fi
    if has dpkg-query; then look_at_packages; fi
    for unit in $units; do echo "unit|$unit|$(systemctl is-active "$unit" 2>/dev/null || true)"; done
    for module in $modules; do
        modprobe --dry-run --quiet "$module" || echo "lacks|$module"
    done
    echo "synchronised|$(timedatectl show --property=NTPSynchronized --value 2>/dev/null || true)"
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
    [ ! -e $notes/pages ] || echo 'laid|yes'
    [ ! -e $heeded ] || [ "$(cat $heeded)" != "$(sums)" ] || echo 'heeded|yes'
    ! has lvmconfig || lvmconfig --type full devices/scan_lvs | sed 's/.*=/scan_lvs|/'
    racks | sort -u
    echo "$groups" | awk -F '|' '$1 ~ /^rack-/ && $3 !~ /(^|,)rack-lab[.]/ { print "foreign|" $1 }'
    echo "$groups" | sed -n 's/|\([^|]*\)|.*rack-lab[.].*/|\1/p' | while IFS='|' read -r _ uuid; do
        held "LVM-$(echo "$uuid" | tr -d -)"
    done
}

held() { # the volumes whose device mapper's UUID begins so, lvm(8)
    for volume in /sys/block/dm-*; do
        case $(cat "$volume/dm/uuid" 2>/dev/null || true) in "$1"*) ;; *) continue ;; esac
        for holder in "$volume"/holders/*; do
            [ ! -e "$holder" ] || echo "held|$(cat "$volume/dm/name")|${holder##*/}"
        done
    done
}

racks() {
    echo "$groups" | tr '|,' '\n' | sed -n '/^rack-lab[.]blank$/d; s/^rack-lab[.]/racks|/p'
    ! has ovs-vsctl || ovs-vsctl --timeout=10 --bare --columns=external_ids list bridge 2>/dev/null |
        sed -n 's/.*rack-lab="*rack-lab[.]\([^" ,]*\).*/racks|\1/p'
}

look_at_packages() {
    # shellcheck disable=SC2086 # a list of words
    found=$(installed i $packages)
    echo "$found" | sed -n 's/^./package|&/p'
    missing=''
    for package in $packages; do
        echo "$found" | grep -q "^$package|" || missing="$missing $package"
    done
    if [ -n "$missing" ]; then
        # shellcheck disable=SC2086
        plan=$(apt-get --simulate --no-install-recommends install $missing 2>/dev/null) ||
            echo 'unlisted|yes'
        echo "$plan" | sed -n 's/^Remv \([^ ]*\).*/removes|\1/p'
    fi
    # shellcheck disable=SC2046 # words
    set -- $(added)
    gone | sed 's/^/back|/'
    [ $# -gt 0 ] || return 0
    printf 'noted|%s\n' "$@"
    # shellcheck disable=SC2046
    apt-get --simulate purge "$@" $(gone | sed 's/$/+/') 2>/dev/null |
        sed -n 's/^\(Purg\|Remv\) \([^ :]*\).*/purges|\2/p'
    for file in /etc/libvirt/qemu/*.xml; do
        [ ! -e "$file" ] || echo "uses|libvirt-daemon-system|domain $(basename "$file" .xml)"
    done
    for file in /etc/libvirt/qemu/networks/*.xml /etc/libvirt/storage/*.xml; do
        case $file in *'*.xml' | */default.xml) continue ;; esac # libvirt's own
        echo "uses|libvirt-daemon-system|network or pool $(basename "$file" .xml)"
    done
    if has ovs-vsctl; then
        bridges=$(ovs-vsctl --timeout=10 list-br 2>/dev/null) ||
            echo 'uses|openvswitch-switch|bridges, maybe: ovs-vsctl fails'
        echo "$bridges" | sed '/./!d; s/^/uses|openvswitch-switch|bridge /'
    fi
    echo "$groups" | sed '/./!d; s/|.*//; s/^/uses|lvm2|volume group /'
    for array in /sys/block/md*; do
        [ ! -e "$array" ] || echo "uses|mdadm|array ${array##*/}"
    done
}

update() {
    quiet_apt update
}

# What apt is about to do is noted before it: a run that was cut loses nothing, and what the user
# installs meanwhile isn't in it. What it didn't come to is taken off the note after it.
install() {
    mkdir -p $notes
    plan=$(apt-get --simulate --no-install-recommends install "$@")
    write $notes/packages planned "$plan"
    code=0
    quiet_apt --yes --no-install-recommends install "$@" >&2 || code=$?
    note
    return $code
}

planned() { # a line per package: + is added, - removed, by what apt says and by the note before
    {
        echo "$1" | sed -n 's/^Inst \([^ :]*\)[^ ]* (.*/+\1/p; s/^Remv \([^ :]*\).*/-\1/p'
        [ ! -e $notes/packages ] || cat $notes/packages
    } | LC_ALL=C sort -u
}

added() { # the packages noted as added that are there
    # shellcheck disable=SC2046 # words
    installed '[^nc]' $(sed -n 's/^+//p' $notes/packages 2>/dev/null) | cut -d '|' -f 1
}

gone() { # those noted as removed that aren't
    sed -n 's/^-//p' $notes/packages 2>/dev/null | while read -r package; do
        [ -n "$(installed '[^nc]' "$package")" ] || echo "$package"
    done
}

note() {
    write $notes/packages changed
}

changed() {
    added | sed 's/^/+/'
    gone | sed 's/^/-/'
}

write() { # FILE COMMAND...: what that says, whole or not at all; it keeps its owner and mode
    file=$(readlink -f "$1")
    shift
    [ ! -e "$file" ] || cp -p "$file" "$file.new"
    "$@" >"$file.new"
    sync "$file.new"
    mv "$file.new" "$file"
}

admit() {
    has sshd || { update && install openssh-server; }
    mkdir -p "${keys%/*}"
    touch $keys
    chmod 700 "${keys%/*}"
    chmod 600 $keys
    grep -qxF -e "$1" $keys || write $keys with_key "$1"
}

with_key() {
    awk 1 $keys # it ends the last line too, should the user's have no newline
    printf '%s\n' "$1"
}

without_key() {
    grep -vxF -e "$1" $keys || [ $? -eq 1 ] # there is no other
}

purge() {
    if [ $# -gt 0 ] && grep -qsxF -e "$1" $keys; then
        write $keys without_key "$1"
    fi
    [ -e $notes/packages ] || return 0
    # shellcheck disable=SC2046 # words; a trailing + installs, apt-get(8)
    set -- $(added) $(gone | sed 's/$/+/')
    [ $# -eq 0 ] || quiet_apt --yes --no-install-recommends purge "$@" >&2
    rm $notes/packages
    rmdir --ignore-fail-on-non-empty $notes
}

start() {
    systemctl --quiet enable --now "$@"
}

lay() {
    mkdir -p $notes
    [ -e $notes/pages ] || cp $pages $notes/pages
    rm -f $heeded
    tar --extract --no-same-owner --no-overwrite-dir --directory /
    sync
    heed
    write $heeded sums
}

sums() { # of the files that are in the initramfs, too
    sha256sum $rules $nesting 2>/dev/null
}

heed() {
    limit=$(sed -n 's/^vm.nr_overcommit_hugepages = //p' $sysctl 2>/dev/null || true)
    [ "${limit:-0}" -le "$(cat $pages)" ] || echo "$limit" >$pages # one of the user's may be higher
    udevadm control --reload
    udevadm trigger --settle --subsystem-match=block --property-match='DM_VG_NAME=rack-*'
    if has update-initramfs; then update-initramfs -u -k all >&2; fi
}

take() {
    rm -rf "$@" $heeded
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
            refuse "$module is in use, or part of the kernel. Switch its machines off and do this again; or reboot, with $module.nested=1 on the kernel's command line"
        modprobe "$module"
        return
    done
    refuse 'neither kvm_intel nor kvm_amd is loaded'
}

boots() {
    said=$(timeout "$2" qemu-system-x86_64 -nodefaults -no-user-config -display none -no-reboot \
        -accel kvm -cpu host -m 512M -serial stdio -kernel "/boot/vmlinuz-$(uname -r)" \
        -append 'console=ttyS0 panic=-1' 2>&1 </dev/null | tr -d '\000\r' || true)
    case $said in *"$1"*) return ;; esac
    refuse "no guest boots on KVM within $2 s; it last said: $(echo "$said" | tail -n 1)"
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
    look | update | install | admit | purge | start | lay | take | nest | boots | release) "$action" "$@" ;;
    *) refuse "host.sh: no action $action" ;;
esac
