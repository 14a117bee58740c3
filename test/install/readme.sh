#!/bin/sh
# SPDX-License-Identifier: MIT
# The program in README.md compiles without a warning, and runs; what tells how to install ends with
# ldconfig, without which the linked program would not find its library.
# Usage: readme.sh SOURCE CC SHARED_LIBRARY
#
# It is the one block of C with a main(), and small enough to be read: under 60 lines.
set -eu
source=$1 cc=$2 library=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

awk '/^```c$/ { block = ""; inside = 1; next }
    /^```$/ { if (inside && block ~ /int main\(/) printf "%s", block; inside = 0 }
    inside { block = block $0 "\n" }' "$source/README.md" >"$work/program.c"
lines=$(wc -l <"$work/program.c")
case $lines in
    [1-9] | [1-5][0-9]) ;;
    *) echo "README.md: program of $lines lines"; exit 1 ;;
esac

awk '/^    cmake --install / { installed = 1 } installed && /^    ldconfig$/ { found = 1 }
    END { exit !found }' "$source/README.md" || { echo "README.md: no ldconfig"; exit 1; }

"$cc" -std=gnu11 -Wall -Wextra -Werror -I"$source/include" "$work/program.c" "$library" \
    -Wl,-rpath,"$(dirname "$library")" -pthread -o "$work/program"
"$work/program"
