#!/bin/sh
# SPDX-License-Identifier: MIT
# Every ordered atomic says with whom it pairs. Usage: atomics.sh SOURCE
#
#     atomic_store_explicit(&x, 1, memory_order_release); /* pair(module.name): reason */
#
# The comment stands on the line or in the six above it, each name occurs at least twice (both
# sides exist), and no atomic is ordered by default: seq_cst has to be meant, and explained.
cd "$1" || exit 2

awk '
    function offence(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; failed = 1 }
    FNR == 1 { said = -9 }
    {
        line = $0
        while (match(line, /pair\([a-z0-9_.]+\)/)) {
            name = substr(line, RSTART + 5, RLENGTH - 6)
            count[name]++; where[name] = FILENAME ":" FNR
            line = substr(line, RSTART + RLENGTH)
            said = FNR
        }
    }
    /memory_order_(acquire|release|acq_rel|seq_cst)/ && !/^[ \t]*(\*|\/\/)/ {
        if (FNR - said > 6) offence("ordered atomic without pair(name): reason")
        else said = FNR # a loop of several steps shares one comment
    }
    /atomic_(load|store|exchange|fetch_[a-z]+|compare_exchange_(weak|strong))[ \t]*\(/ {
        offence("implicitly seq_cst: say the order with _explicit")
    }
    END {
        for (name in count)
            if (count[name] < 2) {
                printf "%s: pair(%s) has only one side\n", where[name], name; failed = 1
            }
        exit failed
    }
' $(find lib -name '*.[ch]' | sort)
