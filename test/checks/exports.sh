#!/bin/sh
# SPDX-License-Identifier: MIT
# Only nigh_* leaves the library, shared or static, and all that the headers declare does.
# Usage: exports.sh SOURCE SHARED STATIC NM CC
shared=$2 static=$3 nm=$4

# foreign WHAT: symbols on stdin that are not ours (A: the version node itself; _.stapsdt.base is
# what all objects with probes share).
foreign() {
    awk -v what="$1" '
        NF >= 3 && $2 != "A" && $3 != "_.stapsdt.base" { name = $3; sub(/@.*/, "", name); seen++
            if (name !~ /^nigh_/) { print what " exports " name; failed = 1 } }
        END { if (!seen) { print what " exports nothing"; failed = 1 } exit failed }'
}
"$nm" -D --defined-only "$shared" | foreign libnigh.so || failed=1
"$nm" -g --defined-only "$static" | foreign libnigh.a || failed=1

echo '#include <nigh/nigh.h>' | "$5" -E -P -I"$1/include" -x c - |
    grep -oE '\bnigh_[a-z0-9_]+\(' | tr -d '(' | sort -u |
    grep -vE '_fn$' >"${TMPDIR:-/tmp}/nigh-declared.$$"
"$nm" -D --defined-only "$shared" | awk '{sub(/@.*/, "", $3); print $3}' | sort -u |
    comm -23 "${TMPDIR:-/tmp}/nigh-declared.$$" - | sed 's/^/declared but not exported: /' |
    grep . && failed=1
rm -f "${TMPDIR:-/tmp}/nigh-declared.$$"
exit "${failed:-0}"
