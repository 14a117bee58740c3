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
export PERF_LOG=1

awk 'BEGIN {
    for (i = 1; i <= 600; i++) {
        printf "Package: p%d\nVersion: %d\nDescription: what package %d is for\n", i, i, i
        if (i > 7)
            printf "Depends: p%d, p%d (>= 1) | absent%d\n", int(i / 2), int(i / 3), i
        printf "\n"
    }
}' >"$work/catalogue"

# felt FAULT: it did what it is for, by what the run says: messages that are lost are found by a
# beat, a second apart; Redis has ended a listener, in its own words; a node was killed inside a
# load; the others take Redis away from a node. A certificate that has expired is named, too.
felt() {
    case $1 in
    drop-messages) sign='"late ' ;;
    slow-subscriber) sign='listeners* cut off"' ;;
    kill-node) sign='loads* cut off"' ;;
    *) sign='"away ' ;;
    esac
    grep -q "\"felt\": .*$sign" "$work/$1.json" || return 1
    [ "$1" != expire-certificate ] || grep -q "certificate has expired" "$work/$1.err"
}

# judged FAULT AT SECONDS: a run with it is made and judged.
judged() {
    status=0
    "$nodes" --fault "$1" --fault-at "$2" --seconds "$3" --threads 2 --check alone \
        --catalogue "$work/catalogue" --json "$work/$1.json" \
        >"$work/$1.out" 2>"$work/$1.err" || status=$?
    if [ $status = 2 ] && grep "^$1: skipped: " "$work/$1.out"; then
        return 0
    fi
    if [ $status != 0 ] || ! grep -q "^kept: every promise" "$work/$1.out"; then
        cat "$work/$1.out" "$work/$1.err"
        echo "$1: broken"
        return 1
    fi
    if ! felt "$1"; then
        cat "$work/$1.out" "$work/$1.err"
        echo "$1: the nodes felt nothing of it"
        return 1
    fi
    echo "$1: $(sed -n 's/^kept: every promise //p' "$work/$1.out")"
}

# Two at a time: most of a fault is waiting.
(judged cut-writer 1 4 && judged slow-subscriber 0.5 3 && judged failover 1 5) &
lane=$!
judged drop-messages 1 5
judged rotate-password 0.5 4
judged expire-certificate 2 6
judged kill-node 1 3
wait $lane

! "$nodes" --fault stop-node --fault-at 3 --seconds 5 >"$work/out" 2>&1 ||
    { echo "a fault that outlasts its run was made"; exit 1; }
grep -q "lasts 5 s" "$work/out" || { cat "$work/out"; exit 1; }
