#!/bin/sh
# What must be on this machine before anything else: system packages, and the Python
# environment with everything pinned in requirements.lock. Run again, it does nothing.
# Asks once before apt; not with YES=1, CI set, or no terminal.
set -eu
cd "$(dirname "$0")"

packages='bc bison dosfstools e2fsprogs flex gcc git graphviz libc6-dev libelf-dev libssl-dev libvirt-clients libvirt-daemon make mmdebstrap mtools openssh-client openssh-server
    python3-venv qemu-system-x86 qemu-utils shellcheck squashfs-tools syslinux syslinux-common
    uidmap xsltproc xz-utils'

missing=''
for package in $packages; do
    state=$(dpkg-query --show --showformat='${db:Status-Status}' "$package" 2>/dev/null || true)
    [ "$state" = installed ] || missing="$missing $package"
done

if [ -n "$missing" ]; then
    echo "System packages to install:$missing"
    if [ -z "${YES:-}${CI:-}" ] && [ -t 0 ]; then
        printf 'Install them with apt? [y/N] '
        read -r answer
        case $answer in
            y* | Y*) ;;
            *)
                echo "Nothing was installed. By hand: apt-get install$missing" >&2
                exit 1
                ;;
        esac
    fi
    as_root=''
    [ "$(id -u)" -eq 0 ] || as_root=sudo
    $as_root apt-get update -qq
    # shellcheck disable=SC2086 # a list of words
    DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq --no-install-recommends $missing
fi

stamp=.venv/.installed
wanted=$(cat requirements.lock pyproject.toml setup.sh | sha256sum)
[ "$(cat $stamp 2>/dev/null)" != "$wanted" ] || exit 0
echo "Python packages into .venv"
[ -x .venv/bin/python ] || python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
.venv/bin/pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
echo "$wanted" >$stamp
