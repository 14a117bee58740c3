#!/bin/sh
# SPDX-License-Identifier: MIT
# The program in README.md compiles without a warning, and runs.
# Usage: readme.sh SOURCE CC SHARED_LIBRARY
#
# It is the one block of C with a main(), and small enough to be read: at most 60 lines.
set -eu
source=$1 cc=$2 library=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

awk '/^```c$/ { block = ""; inside = 1; next }
    /^```$/ { if (inside && block ~ /int main\(/) printf "%s", block; inside = 0 }
    inside { block = block $0 "\n" }' "$source/README.md" >"$work/program.c"
lines=$(wc -l <"$work/program.c")
[ "$lines" -gt 0 ] && [ "$lines" -le 60 ] || { echo "README.md: program of $lines lines"; exit 1; }

"$cc" -std=gnu11 -Wall -Wextra -Werror -I"$source/include" "$work/program.c" "$library" \
    -Wl,-rpath,"$(dirname "$library")" -pthread -o "$work/program"
"$work/program"
