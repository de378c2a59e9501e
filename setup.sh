#!/bin/sh
# What must be on this machine before anything else: system packages, and the Python
# environment with everything pinned in requirements.lock. Run again, it does nothing.
# Asks once before apt; not with YES=1, CI set, or no terminal. `./setup.sh tests` installs what
# only the tests need, too.
set -eu
cd "$(dirname "$0")"
for_tests=${1:-}

# Nothing that the user has exported changes what is installed: the same list as for builds.
if [ -z "${RACK_LAB_CLEAN:-}" ]; then
    set -- RACK_LAB_CLEAN=1 "YES=${YES:-}" "CI=${CI:-}" LC_ALL=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
        PATH=/usr/sbin:/usr/bin:/sbin:/bin
    while read -r name; do
        case $name in '' | '#'*) continue ;; esac
        if eval "[ -n \"\${$name+set}\" ]"; then eval "set -- \"\$@\" \"$name=\$$name\""; fi
    done <artefacts/kept-variables
    exec env -i "$@" /bin/sh ./setup.sh "$for_tests"
fi
umask 022
# --- the environment is clean ---

fail() {
    echo "setup.sh: $1" >&2
    exit 1
}

sysctl() { # its value, or nothing where the kernel has no such setting
    cat "/proc/sys/$1" 2>/dev/null || true
}

case $PWD in
    *:*) fail "the folder $PWD has a colon in its name, which PATH can't hold; rename it" ;;
    *\$* | *\`*) fail "the folder $PWD has a dollar sign or a backquote in its name, which pip's \
programs can't hold; rename it" ;;
esac
if ! command -v apt-get || ! command -v dpkg-query; then
    fail "this system has no apt. Debian 12 and 13 and Ubuntu 24.04 are supported; \
on others use the container: the first lines of ./Containerfile say how"
fi >/dev/null
[ "$(uname -m)" = x86_64 ] || fail "this machine is $(uname -m); x86_64 is needed"

# An ordinary user builds as root of a user namespace (artefacts/namespace.py).
if [ "$(id -u)" -ne 0 ]; then
    way='run this as root, or use the container (./Containerfile)'
    [ "$(sysctl kernel/unprivileged_userns_clone)" != 0 ] ||
        fail "user namespaces are forbidden here; allow them (sysctl kernel.unprivileged_userns_clone=1), $way"
    [ "$(sysctl user/max_user_namespaces)" != 0 ] ||
        fail "user namespaces are forbidden here; allow them (sysctl user.max_user_namespaces=15000), $way"
    [ "$(sysctl kernel/apparmor_restrict_unprivileged_userns)" != 1 ] ||
        fail "AppArmor forbids user namespaces here; allow them (sysctl kernel.apparmor_restrict_unprivileged_userns=0), $way"
fi

packages='bc bison debian-archive-keyring dosfstools e2fsprogs flex gcc git graphviz libc6-dev libelf-dev libssl-dev
    make mmdebstrap mtools openssh-client python3-venv qemu-utils squashfs-tools syslinux syslinux-common uidmap
    xsltproc xz-utils'
# Some of these start servers, which nobody should get who only wants a rack.
[ "$for_tests" != tests ] ||
    packages="$packages libvirt-clients libvirt-daemon openssh-server qemu-system-x86 shellcheck"

missing=''
for package in $packages; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done
install="apt-get install --no-install-recommends$missing"

if [ -n "$missing" ]; then
    echo "System packages to install:$missing"
    as_root=''
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    by_hand="as root, run: $install"
    [ -z "$as_root" ] || command -v sudo >/dev/null || fail "there is no sudo here; $by_hand"
    if [ -z "$YES$CI" ] && [ -t 0 ]; then
        printf 'Install them with apt? [y/N] '
        read -r answer
        case $answer in
            y* | Y*) ;;
            *) fail "nothing was installed; $by_hand" ;;
        esac
    fi
    $as_root apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    $as_root env DEBIAN_FRONTEND=noninteractive $install -y -qq
fi

if [ "$(id -u)" -ne 0 ]; then
    reason=$(unshare --user --map-root-user --map-auto --mount mount -t tmpfs none /mnt 2>&1) ||
        fail "user namespaces don't work here ($reason); give $(id -un) subordinate ids \
(usermod --add-subuids 100000-165535 --add-subgids 100000-165535 $(id -un)), $way"
fi

# One set-up at a time, and the environment knows its folder: scripts in it hold its path.
exec 9>.setup.lock
flock 9
stamp=.venv/.installed
wanted=$({ cat requirements.lock pyproject.toml setup.sh && pwd; } | sha256sum)
[ "$(cat $stamp 2>/dev/null)" != "$wanted" ] || exit 0
echo "Python packages into .venv"
[ "$(cat .venv/.folder 2>/dev/null)" = "$PWD" ] || rm -rf .venv
[ -x .venv/bin/pip ] || python3 -m venv --clear .venv
pwd >.venv/.folder
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
# Modules and settings of the user's own Python are none of theirs (python -E).
sed -i '1,2s:\(/\.venv/bin/python[0-9.]*"\{0,1\}\):\1 -E:' .venv/bin/lab .venv/bin/pulumi
echo "$wanted" >$stamp.new
sync --file-system .venv # a power cut must not leave a stamp over torn files
mv $stamp.new $stamp
