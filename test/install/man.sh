#!/bin/sh
# SPDX-License-Identifier: MIT
# The manual made from the headers: a page for each function that the library exports, no word of a
# header lost, all counters, and nothing that groff or mandoc, where they are, warns of.
# Usage: man.sh SOURCE MAN_FOLDER SHARED_LIBRARY NM
set -u
source=$1 man=$2 library=$3 nm=$4
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

complain() {
    echo "man: $*"
    failed=1
}

functions=$("$nm" -D --defined-only "$library" | awk '$2 == "T" { sub(/@.*/, "", $3); print $3 }')
[ -n "$functions" ] || complain "$library exports nothing"
for function in $functions; do
    page=$man/man3/$function.3
    [ -s "$page" ] || { complain "there is no page $function"; continue; }
    grep -q "^\.SS $function\$" "$page" || complain "$function is not in its page"
    grep -q "^\.BR $function\b" "$man/man3/nigh.3" || complain "nigh(3) does not list $function"
done

strange=$(find "$man/man3" ! -type d ! -name 'nigh*.3' -exec basename {} \; | tr '\n' ' ')
[ -z "$strange" ] || complain "pages that no function has a name for: $strange"

# words: those of three letters and more, once each.
words() { grep -oE '[A-Za-z_][A-Za-z0-9_]{2,}' | tr '[:upper:]' '[:lower:]' | sort -u; }

for header in "$source"/include/nigh/*.h; do
    name=$(basename "$header" .h)
    page=$man/man3/nigh_$name.3
    [ "$name" != nigh ] || page=$man/man3/nigh.3
    sed 's/@param//; /^#\(if\|endif\|pragma\|include\|undef\|define X(\|define NIGH_[A-Z]*_H$\)/d' \
        "$header" | grep -vE '^#define [A-Z_]+\(X\)|clang-format|SPDX|^extern' |
        words >"$work/header"
    sed 's/\\f[BIP]//g; s/\\e/\\/g; s/\\&//; s/\\-/-/g; s/\\(../ /g' "$page" | words >"$work/page"
    lost=$(comm -23 "$work/header" "$work/page" | tr '\n' ' ')
    [ -z "$lost" ] || complain "$(basename "$page") lacks of its header: $lost"
done

for name in $(sed -n 's/^ *X([A-Z0-9_]*, "\([a-z0-9_]*\)".*/\1/p' "$source/lib/stats/counters.h") \
    $(sed -n 's/^ *X(\([a-z0-9_]*\), .*/\1/p' "$source/lib/cache/report/gauges.c"); do
    grep -qx "\\\\fB$name\\\\fP" "$man/man7/nigh_counters.7" || complain "nigh_counters lacks $name"
done

# counters TABLE: the page of it.
counters() {
    printf '#define A_TABLE(X) \\\n    %s \\\n    X(LAST, "last", "it")\n' "$1" >"$work/counters.h"
    awk -v version=0 -v date=0 -f "$source/cmake/man_counters.awk" "$work/counters.h" 2>&1
}
counters 'X(FIRST, "first", "a \"b\" c", S)' | grep -qx 'a "b" c' ||
    complain "nigh_counters loses what has quotes"
! counters 'X(FIRST, "first", SOME_TEXT)' >"$work/page" || complain "nigh_counters lost a row"
grep -qF 'no entry of a table: X(FIRST, "first", SOME_TEXT)' "$work/page" ||
    complain "nigh_counters does not say which row it cannot read"

# warned TOOL PAGE. (Not of lines that groff could not fill well: that depends on its version.)
warned() {
    case $1 in
        groff) groff -man -Tutf8 -ww -Wbreak -z "$2" ;;
        mandoc) mandoc -T lint -W warning "$2" ;;
    esac 2>&1
}
for page in "$man"/man[137]/*; do
    [ ! -L "$page" ] || continue
    for tool in groff mandoc; do
        command -v $tool >/dev/null || continue
        said=$(warned $tool "$page" | head -3)
        [ -z "$said" ] || complain "$tool of $(basename "$page"): $said"
    done
done
exit "${failed:-0}"
