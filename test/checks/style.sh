#!/bin/sh
# SPDX-License-Identifier: MIT
# What of the style a script can judge. Usage: style.sh SOURCE
#
# Lines of at most 100 characters, no tabs nor blanks at their end, functions of at most 80
# lines, the licence first.
cd "$1" || exit 2
LC_ALL=C.UTF-8 # characters, not bytes
export LC_ALL

code=$(find lib include test perf -name '*.[ch]' -o -name '*.hpp' | sort)
lua=$(find lib -name '*.lua' | sort)
scripts=$(find CMakeLists.txt cmake test perf .ci -type f \
    \( -name '*.sh' -o -name '*.cmake' -o -name CMakeLists.txt -o -name run \) | sort)

# must_not PATTERN FILES WHY
must_not() {
    echo "$2" | xargs grep -nE "$1" | sed "s/\$/   <- $3/" | grep . && failed=1
}
must_not '.{101,}' "$code $lua $scripts" 'longer than 100 characters'
must_not '[[:blank:]]$' "$code $lua $scripts" 'blank at the end'
must_not "$(printf '\t')" "$code $lua" 'tab'

for file in $code $lua $scripts; do
    head -n 2 "$file" | grep -q 'SPDX-License-Identifier: MIT' && continue
    echo "$file: does not begin with its SPDX line"
    failed=1
done

# K&R: only a function has its opening brace alone at the start of a line.
echo "$code" | xargs awk '
    /^{/ { start = FNR }
    /^}/ && start {
        if (FNR - start - 1 > 80) {
            printf "%s:%d: function of %d lines\n", FILENAME, start, FNR - start - 1; failed = 1
        }
        start = 0
    }
    END { exit failed }' || failed=1
exit "${failed:-0}"
