#!/bin/sh
# SPDX-License-Identifier: MIT
# Makes the manual from the headers: a page of section 3 for each, one that leads there for each of
# its functions, nigh(3) to begin with, and nigh_counters(7).
# Usage: man.sh SOURCE DESTINATION VERSION DATE
set -eu
source=$1 to=$2 version=$3 date=$4
here=$(cd "$(dirname "$0")" && pwd)
rm -rf "$to/man3" "$to/man7"
mkdir -p "$to/man3" "$to/man7"

# page HEADER: the name of its page.
page() {
    name=${1##*/}
    name=${name%.h}
    [ "$name" = nigh ] && echo nigh || echo "nigh_$name"
}

# see_also PAGE: all others.
see_also() {
    echo .SH SEE ALSO
    for other in $pages; do
        [ "$other" = "$1" ] || printf '.BR %s (3),\n' "$other"
    done
    [ "$1" = nigh_counters ] || echo '.BR nigh_counters (7)'
}

pages=nigh
for header in "$source"/include/nigh/*.h; do
    [ "$(page "$header")" = nigh ] || pages="$pages $(page "$header")"
done
for header in "$source"/include/nigh/*.h; do
    name=$(page "$header")
    awk -v version="$version" -v date="$date" -f "$here/man.awk" "$header" >"$to/man3/$name.3"
done

# A page that leads there for each function; and what there is, for nigh(3).
contents() {
    echo .SH PAGES
    for name in $pages; do
        [ "$name" != nigh ] || continue
        printf '.TP\n.BR %s (3)\n' "$name"
        sed -n '/^\.SH NAME/{n;s/.* \\- //;s/$/:/;p;}' "$to/man3/$name.3"
        for function in $(sed -n 's/^\.SS //p' "$to/man3/$name.3"); do
            [ -e "$to/man3/$function.3" ] || ln -s "$name.3" "$to/man3/$function.3"
            printf '.BR %s ,\n' "$function"
        done | sed '$s/ ,$//'
    done
}
contents >"$to/contents"
cat "$to/contents" >>"$to/man3/nigh.3"
rm "$to/contents"
for name in $pages; do
    see_also "$name" | sed '$!b; s/,$//' >>"$to/man3/$name.3"
done

# The tables X(NAME, "name", "what") of counters and X(name, ..., "what") of gauges.
awk -v version="$version" -v date="$date" -f "$here/man_counters.awk" \
    "$source/lib/stats/counters.h" "$source/lib/cache/report/gauges.c" >"$to/man7/nigh_counters.7"
see_also nigh_counters | sed '$s/,$//' >>"$to/man7/nigh_counters.7"
