# shellcheck shell=sh
# What the roles' scripts share; they read it with `.`.

# Full programs in /sbin before busybox's small ones in /usr/sbin (nbd-client).
PATH=/sbin:/bin:$PATH

# Seconds a check may wait for what it looks at: libvirtd answers no one while it starts its guests,
# a minute for two where all is emulated.
check_seconds=180

# fail REASON...: ends the script with the reason, after its name.
fail() {
    echo "${0##*/}: $*" >&2
    exit 1
}

# now: sets $now to the seconds since the kernel's start.
now() {
    read -r now _ </proc/uptime
    now=${now%.*}
}

# wait_for SECONDS WHAT COMMAND...: runs COMMAND until it succeeds. Late: fails with what was
# waited for and the last line the command said. A process takes a tenth of a second or more in an
# emulated guest, so waiting starts as few as it can; COMMAND should do the same.
wait_for() {
    wait_seconds=$1 wait_what=$2
    shift 2
    now
    wait_start=$now
    until wait_seen=$("$@" 2>&1); do
        now
        [ $((now - wait_start)) -lt "$wait_seconds" ] ||
            fail "no $wait_what in $wait_seconds s; last seen: ${wait_seen##*
}"
        sleep 1
    done
}

# put FILE: standard input becomes the file, whole or not at all. It is on the disk before it gets
# its name, which a power cut would otherwise leave without a content, and so is the name at the end.
put() {
    cat >"$1.new" && sync "$1.new" && mv -f "$1.new" "$1" && sync "${1%/*}"
}

# sum_of FILE: its sha256.
sum_of() {
    sha256sum "$1" | cut -d' ' -f1
}

# is_word TEXT: a plain file name, no path.
is_word() {
    case $1 in
        '' | .* | *[!A-Za-z0-9._-]*) return 1 ;;
    esac
}

# is_mac TEXT: six pairs of lower-case hex digits with dashes between.
is_mac() {
    echo "$1" | grep -Eqx '([0-9a-f]{2}-){5}[0-9a-f]{2}'
}

# is_sum TEXT: a sha256.
is_sum() {
    echo "$1" | grep -Eqx '[0-9a-f]{64}'
}

# is_number TEXT: decimal digits.
is_number() {
    case $1 in
        '' | *[!0-9]*) return 1 ;;
    esac
}

# signature_of DEVICE: what a disk's first sectors say it holds; nothing for a blank one. One that
# can't be read isn't blank: it fails.
signature_of() {
    head -c 4096 "$1" >/dev/null || fail "$1 can't be read; nothing was changed"
    signature=$(blkid "$1" 2>/dev/null | sed 's/^[^:]*: *//') || true
    if [ -z "$signature" ] && head -c 2048 "$1" | grep -q LABELONE; then
        signature="an LVM2 physical volume"
    elif [ -z "$signature" ] && [ "$(dd if="$1" bs=1 skip=510 count=2 2>/dev/null | od -An -tx1)" = " 55 aa" ]; then
        signature="a partition table"
    fi
    echo "$signature"
}

# array_runs: /dev/md0 is there and active.
array_runs() {
    grep -qs '^md0 : active' /proc/mdstat
}

# dhcp_listens: somebody does on UDP port 67, server or relay.
dhcp_listens() {
    grep -q ':0043 ' /proc/net/udp
}

# logged FILE COMMAND...: runs it with its errors shown and kept, for the checks to tell.
logged() {
    log=$1
    shift
    mkdir -p "${log%/*}"
    if "$@" 2>"$log"; then
        rm -f "$log"
    else
        cat "$log" >&2
        return 1
    fi
}
