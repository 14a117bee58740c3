#!/bin/sh
# SPDX-License-Identifier: MIT
# The programs in README.md compile without a warning, and run; what tells how to install ends with
# ldconfig, without which the linked program would not find its library.
# Usage: readme.sh SOURCE CC SHARED_LIBRARY
#
# They are the blocks of C with a main(), each small enough to be read: under 60 lines.
set -eu
source=$1 cc=$2 library=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

awk -v to="$work/program" '/^```c$/ { block = ""; inside = 1; next }
    /^```$/ { if (inside && block ~ /int main\(/) printf "%s", block >(to (++n) ".c"); inside = 0 }
    inside { block = block $0 "\n" }' "$source/README.md"
[ "$(ls "$work" | wc -l)" -eq 2 ] || { echo "README.md: not two programs"; exit 1; }

awk '/^    cmake --install / { installed = 1 } installed && /^    ldconfig$/ { found = 1 }
    END { exit !found }' "$source/README.md" || { echo "README.md: no ldconfig"; exit 1; }

for program in "$work"/program*.c; do
    lines=$(wc -l <"$program")
    [ "$lines" -lt 60 ] || { echo "README.md: program of $lines lines"; exit 1; }
    "$cc" -std=gnu11 -Wall -Wextra -Werror -I"$source/include" "$program" "$library" \
        -Wl,-rpath,"$(dirname "$library")" -pthread -o "$work/run"
    printf 'user:1\nuser:1\n' | env -u NIGH_CONF "$work/run" >"$work/out"
    grep -q 'Ada Byron.* NIGH_FRESH' "$work/out" || { cat "$work/out"; exit 1; }
done
