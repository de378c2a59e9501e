#!/bin/sh
# Run a command in a root made of a bare Debian, as a machine of its own would: user namespaces
# work there, which they don't behind chroot(2). Usage: enter.sh ROOT USER COMMAND, as root.
set -eu
if [ "${ENTERED:-}" = '' ]; then
    ENTERED=yes exec unshare --mount --pid --fork --kill-child "$0" "$@"
fi
root=$1 user=$2 command=$3
mount --make-rprivate /
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --rbind /sys sys
mount --rbind /dev dev
mount -t tmpfs -o mode=1777 tmpfs dev/shm
pivot_root . mnt
umount -l /mnt
# what a login gives; an ordinary user of Debian has no sbin
path=/usr/local/bin:/usr/bin:/bin
[ "$user" != root ] || path=/usr/local/sbin:/usr/sbin:/sbin:$path
exec env -i PATH=/usr/bin:/bin /usr/bin/setpriv --reuid "$user" --regid "$user" --init-groups \
    /usr/bin/env -i HOME="$(getent passwd "$user" | cut -d: -f6)" USER="$user" LOGNAME="$user" TERM=dumb \
    PATH="$path" /bin/sh -c "$command"
