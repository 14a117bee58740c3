#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs tests against another server than redis-server. Usage: run.sh SERVER|- PROGRAM...
#
# "-" stands for one that this machine has not got: then nothing is run, and it is said.

server=$1
shift
if [ "$server" = - ]; then
    echo 'skipped: no valkey-server here (from Debian 13 on cmake/setup.sh installs it)'
    exit 77
fi
"$server" --version || exit 1
for program; do
    echo "== ${program##*/}"
    NIGH_REDIS_SERVER=$server NIGH_SECONDS=2 "$program" || exit 1
done
