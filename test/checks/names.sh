#!/bin/sh
# SPDX-License-Identifier: MIT
# A function or object that several files of lib/ use says in its name whose it is: its module's
# (l1_ticket), its file's (slab_alloc in base/slab.c, or slabs_; mem_ in base/mem_blocks.c), or a
# struct's that a header of the module defines (service_start: struct service).
# Usage: names.sh NM OBJECTS SOURCE; OBJECTS as for circles.sh
nm=$1 objects=$2
cd "$3" || exit 2

{
    grep -hoE '^struct [a-z0-9_]+ \{' --include='*.h' -r lib -H |
        sed -nE 's,^lib/([a-z0-9]+)/[^:]*:struct ([a-z0-9_]+) \{,struct \1 \2,p'
    xargs -d '\n' "$nm" -gA --defined-only <"$objects" || echo missing
} | awk '
    function offence(text) { print "names: " text; failed = 1 }
    function begins(with) { return index(symbol, with "_") == 1 }
    $1 == "struct" && NF == 3 { structs[$2] = structs[$2] " " $3; next }
    $1 == "missing" { offence("not every object could be read") }
    match($0, /\/lib\/[a-z0-9_]+\/[a-z0-9_]+\.c\.o(bj)?:/) {
        file = substr($0, RSTART + 5, RLENGTH - 5)
        sub(/\.c\.o(bj)?:$/, "", file)
        split(file, part, "/")
        module = part[1]
        stem = part[2]
        split(stem, word, "_")
        symbol = $NF
        if (symbol ~ /^nigh_|^_|[.]/) next
        seen++
        if (begins(module) || begins(stem) || begins(stem "s") || begins(word[1])) next
        n = split(structs[module], of, " ")
        for (i = 1; i <= n; i++)
            if (begins(of[i]) || begins(of[i] "s")) next
        offence("lib/" file ".c: " symbol " does not say whose it is")
    }
    END {
        if (!seen) offence("no symbols were read")
        exit failed
    }'
