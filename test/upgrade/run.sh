#!/bin/sh
# SPDX-License-Identifier: MIT
# Nodes of the last build with wire version 1 beside nodes of this one, on one prefix.
# Usage: run.sh SOURCE BUILD CMAKE CC NEW_NODE DRIVER [CASE...]
#
# The old build comes from the history and is kept in BUILD/upgrade, so that it is made once. Where
# the history does not reach back so far (a tarball, a shallow clone) the test is skipped: 77.
set -eu
source=$1 build=$2 cmake=$3 cc=$4 new_node=$5 driver=$6
shift 6
here=$(cd "$(dirname "$0")" && pwd)
commit=42c27fee8fb971a96630b79a33af825458724413
old=$build/upgrade/$(echo $commit | cut -c 1-12)

if [ ! -d "$old" ]; then
    why=$(git -C "$source" cat-file -e "$commit^{commit}" 2>&1) || {
        echo "skipped: the history has no commit $commit, the last one with wire version 1"
        echo "         ($why)"
        exit 77
    }
    mkdir -p "$build/upgrade"
    new=$(mktemp -d "$build/upgrade/making-XXXXXX")
    trap 'rm -rf "$new"' EXIT
    trap 'exit 1' INT TERM
    git -C "$source" archive "$commit" CMakeLists.txt cmake include lib | tar -x -C "$new"
    generator=$(sed -n 's/^CMAKE_GENERATOR:INTERNAL=//p' "$build/CMakeCache.txt")
    {
        "$cmake" -G "$generator" -S "$new" -B "$new/build" -DCMAKE_C_COMPILER="$cc" \
            -DCMAKE_BUILD_TYPE=Debug -DNIGH_TESTS=OFF -DNIGH_PERF=OFF
        "$cmake" --build "$new/build" --target nigh
    } >"$new/log" 2>&1 || { cat "$new/log"; exit 1; }
    mkdir "$new/kept"
    cp -R "$new/include" "$new/build/libnigh.so"* "$new/kept"
    mv -T "$new/kept" "$old" 2>/dev/null || [ -d "$old" ] # another run was faster
fi

work=$(mktemp -d)
trap 'rm -rf "$work" "${new:-$work}"' EXIT
trap 'exit 1' INT TERM
"$cc" -std=gnu11 -I"$old/include" "$here/node.c" "$old/libnigh.so" -Wl,-rpath,"$old" \
    -pthread -o "$work/old_node"

# What is measured must be what it is called.
ldd "$work/old_node" | grep -q "$old/libnigh.so" || { echo "old_node: another library"; exit 1; }
if ldd "$new_node" | grep -q "$old/libnigh.so"; then echo "new node: the old library"; exit 1; fi
export UPGRADE_OLD_NODE="$work/old_node" UPGRADE_NEW_NODE="$new_node"
[ $# -eq 0 ] || { "$driver" "$@"; exit; }

# The cases wait more than they work, each for a server of its own: several lanes of them.
lanes=4
"$driver" --list >"$work/cases"
pids=
trap '[ -z "$pids" ] || kill $pids 2>/dev/null || :; rm -rf "$work" "${new:-$work}"' EXIT
for lane in $(seq $lanes); do
    # shellcheck disable=SC2046 # names of cases
    "$driver" $(awk -v lane="$lane" -v lanes=$lanes 'NR % lanes == lane % lanes' "$work/cases") \
        >"$work/out$lane" 2>&1 &
    pids="$pids $!"
done
failed=0 lane=1
for pid in $pids; do
    wait "$pid" || failed=1
    cat "$work/out$lane"
    lane=$((lane + 1))
done
pids=
exit $failed
