#!/bin/sh
# The folder on the lab machine that holds a stack's boot logs, one file a machine.
#   logs.sh apply FOLDER
#   logs.sh remove FOLDER
set -eu
case $1 in
    apply) mkdir -p "$2" ;;
    remove) rm -rf "$2" ;;
esac
