#!/bin/sh
# SPDX-License-Identifier: MIT
# What the public headers show as code compiles without a warning, runs, and does what it should:
# each example is put where synopsis.c includes it, under the name of its header and its number.
# Usage: synopsis.sh SOURCE CC SHARED_LIBRARY
set -eu
source=$1 cc=$2 library=$3
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

# An example is a paragraph that is indented by four, a line of which ends with a semicolon.
for header in "$source"/include/nigh/*.h; do
    awk -v to="$work/$(basename "$header" .h)" '
        /^ \*     / && (before == " *" || block != "") {
            block = block substr($0, 8) "\n"
            if (/;( *\/\/.*)?$/) code = 1
            next
        }
        {
            if (code) printf "%s", block >(to "_" ++n ".inc")
            block = ""
            code = 0
            before = $0
        }' "$header"
done
for example in "$work"/*.inc; do
    name=$(basename "$example")
    grep -q "#include \"$name\"" "$here/synopsis.c" ||
        { echo "synopsis.c lacks the example $name:"; cat "$example"; exit 1; }
done

"$cc" -std=gnu11 -Wall -Wextra -Werror -I"$source/include" -I"$work" "$here/synopsis.c" "$library" \
    -Wl,-rpath,"$(dirname "$library")" -pthread -o "$work/synopsis"
env -u NIGH_CONF "$work/synopsis"
