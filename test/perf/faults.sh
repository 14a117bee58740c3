#!/bin/sh
# SPDX-License-Identifier: MIT
# The main job keeps its promises under some faults, with a small catalogue made here; and it says
# so when a fault that is asked for does not fit into the run. All of them: perf/run --fault all.
# Usage: faults.sh PERF_NODES
set -eu
nodes=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

awk 'BEGIN {
    for (i = 1; i <= 600; i++) {
        printf "Package: p%d\nVersion: %d\nDescription: what package %d is for\n", i, i, i
        if (i > 7)
            printf "Depends: p%d, p%d (>= 1) | absent%d\n", int(i / 2), int(i / 3), i
        printf "\n"
    }
}' >"$work/catalogue"

# felt FAULT: it did what it is for. Messages that are lost are found by a beat, a second apart, not
# within milliseconds; the others take Redis away from a node.
felt() {
    awk -F '[:,]' -v fault="$1" '
        fault == "drop-messages" && /"late_fresh_us"/ { felt = $9 > 50000 }
        fault != "drop-messages" && /"away_s"/ { felt = $2 > 0 }
        END { exit !felt }' "$work/json"
}

for fault in cut-writer drop-messages kill-node; do
    "$nodes" --fault $fault --fault-at 1 --seconds 5 --threads 2 --check alone \
        --catalogue "$work/catalogue" --json "$work/json" >"$work/out" 2>"$work/err" ||
        { cat "$work/out" "$work/err"; echo "$fault: broken"; exit 1; }
    grep -q "^kept: every promise" "$work/out" || { cat "$work/out"; exit 1; }
    felt $fault || { cat "$work/out"; echo "$fault: the nodes felt nothing of it"; exit 1; }
    echo "$fault: $(sed -n 's/^kept: every promise //p' "$work/out")"
done

! "$nodes" --fault stop-node --fault-at 3 --seconds 5 >"$work/out" 2>&1 ||
    { echo "a fault that outlasts its run was made"; exit 1; }
grep -q "lasts 5 s" "$work/out" || { cat "$work/out"; exit 1; }
