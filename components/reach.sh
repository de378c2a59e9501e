#!/bin/sh
# reach.sh REMEDY SHELL...: runs SHELL and passes on its exit code; when it's ssh itself that
# failed (255, ssh(1), EXIT STATUS), the machine can't be reached, and the remedy is told.
set -eu
remedy=$1
shift
"$@" || {
    code=$?
    [ "$code" -ne 255 ] || echo "$remedy" >&2
    exit "$code"
}
