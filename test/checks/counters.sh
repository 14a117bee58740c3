#!/bin/sh
# SPDX-License-Identifier: MIT
# No counter that nobody increments. Usage: counters.sh SOURCE
cd "$1" || exit 2

names=$(sed -n 's/^ *X(\([A-Z0-9_]*\),.*/\1/p' lib/stats/counters.h)
[ -n "$names" ] || { echo "lib/stats/counters.h: no X(NAME, ...) lines"; exit 1; }
used=$(find lib -name '*.[ch]' ! -path 'lib/stats/*' -exec cat {} + |
    grep -oE 'STATS_[A-Z0-9_]+' | sort -u)
for name in $names; do
    echo "$used" | grep -qx "STATS_$name" && continue
    echo "lib/stats/counters.h: nothing increments $name"
    failed=1
done
exit "${failed:-0}"
