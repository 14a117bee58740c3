#!/bin/sh
# SPDX-License-Identifier: MIT
# The checks are checked: each must pass a small clean tree and object to every offence below.
# Usage: self.sh
set -u
here=$(cd "$(dirname "$0")" && pwd)
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
trap 'exit 1' INT TERM

# file PATH TEXT: a file with its SPDX line and the text, in which \n is a newline.
file() {
    mkdir -p "$(dirname "$tree/$1")"
    printf '// SPDX-License-Identifier: MIT\n%b' "$2" >"$tree/$1"
}

clean_tree() {
    rm -rf "${tree:?}"/*
    mkdir -p "$tree/test" "$tree/perf" "$tree/.ci"
    file CMakeLists.txt ''
    file cmake/flags.cmake ''
    file include/nigh/nigh.h ''
    file lib/base/base.h ''
    file lib/base/rcu.h '#define _LGPL_SOURCE\n#include <urcu/urcu-bp.h>\n'
    file lib/stats/counters.h '    X(HIT, "hit", "x")\n'
    file lib/flight/flight.h ''
    file lib/l2/one.c '#include <hiredis/hiredis.h>\n'
    file lib/l2/two.c ''
    file lib/l1/l1.h ''
    file lib/l1/good.c '#include "base/base.h"\nint x = STATS_HIT; /* pair(l1.x): pair(l1.x) */\n'
    file README.md ''
    file lib/coherence/README.md '### Rule 1: a\n### Rule 2: b\n### Rule 3: c\n## Words\n'
    file lib/l2/cites.h '/* rules 1, 2\n * and 3; rules 1 to 3; coherence/README.md "Words" */\n'
    file lib/README.md "$(printf '  %s \\n' base/base.h base/rcu.h stats/counters.h \
        flight/flight.h l2/one.c l2/two.c l2/cites.h l1/l1.h l1/good.c)\n"
}

# offence CHECK PATH TEXT: the check must fail on the clean tree with this file replaced.
offence() {
    clean_tree
    "$here/$1.sh" "$tree" || { echo "self: $1 objects to a clean tree"; failed=1; }
    file "$2" "$3"
    "$here/$1.sh" "$tree" >/dev/null 2>&1 || return 0
    echo "self: $1 accepts $2 with: $3"
    failed=1
}

# repeat N TEXT
repeat() {
    awk -v n="$1" -v text="$2" 'BEGIN { while (n-- > 0) printf "%s", text }'
}

offence layers lib/l1/a.c '#include "flight/flight.h"\n'
offence layers lib/base/a.c '#include "l1/l1.h"\n'
offence layers lib/cache/a.c 'int x = l1_store(l1, key, e);\n'
offence layers lib/cache/a.c 'int x = l1_write_stamped(l1, key, v, 0, 0, 0, s);\n'
offence layers lib/l1/a.c '#include "base/rcu.h"\n'
offence layers lib/cache/load/a.c '#include "cache/read/read.h"\n'
offence layers lib/cache/other/a.c ''
offence layers lib/l1/a.c '#include "l1.h"\n'
offence layers lib/other/a.c ''
offence layers lib/l1/a.c '#include <urcu/urcu-bp.h>\n'
offence layers lib/l1/a.c '#define _LGPL_SOURCE 1\n'
offence layers lib/base/rcu.h '#define _LGPL_SOURCE\n#include <urcu/urcu-mb.h>\n'
offence layers lib/base/rcu.h \
    '#define _LGPL_SOURCE\n#include <urcu/urcu-bp.h>\n#include <urcu/list.h>\n'
offence layers lib/l1/a.c '#include <hiredis/sds.h>\n'
offence layers lib/l2/two.c '#include <hiredis/hiredis.h>\n'
offence layers include/nigh/a.h '#include "l1/l1.h"\n'
offence layers CMakeLists.txt 'add_definitions(-D_LGPL_SOURCE)\n'
offence atomics lib/l1/a.c 'atomic_load(&x);\n'
offence atomics lib/l1/a.c 'atomic_load_explicit(&x, memory_order_acquire);\n'
offence atomics lib/l1/a.c '/* pair(l1.y): why */\n'
offence counters lib/stats/counters.h '    X(HIT, "hit", "x")\n    X(MISS, "miss", "x")\n'
offence counters lib/stats/counters.h ''
offence docs README.md 'gone()\n'
offence docs README.md 'nigh_gone(space)\n'
offence docs README.md 'l1/gone.c\n'
offence docs README.md '`gone/`\n'
offence docs README.md 'STATS_GONE\n'
offence docs README.md '`struct gone`\n'
offence docs README.md '`nigh-gone`\n'
offence docs README.md '`l1.gone`\n'
offence docs README.md '`call.gone`\n'
offence docs README.md '## Counters\n| `gone` | x |\n'
offence docs README.md '## Troubleshooting\n| `nobody says this` | x | y |\n'
offence docs README.md '## Troubleshooting\n| `it is ...: nobody` | x | y |\n'
offence docs lib/l1/good.c 'int x = STATS_HIT;\nLOG(l, NIGH_LOG_WARN,\n    "it is %u: gone", 1);\n'
offence docs include/nigh/nigh.h '/**\n * @param there\n * @param gone\n */\nint f(int there);\n'
offence docs README.md '# Here\n[there](#there)\n'
offence docs CMakeLists.txt 'cmake_minimum_required(VERSION 3.22)\n'
offence docs cmake/flags.cmake 'nigh_find(NIGH_X hiredis>=0.14 libhiredis-dev)\n'
offence docs lib/README.md ''
offence docs lib/l1/a.c ''
offence docs lib/l2/scripts/a.lua ''
offence docs lib/coherence/README.md '### Rule 1: a\n### Rule 2: b\n## Words\n'
offence docs lib/coherence/README.md '### Rule 1: a\n### Rule 3: c\n## Words\n'
offence docs lib/coherence/README.md '### Rule 1: a\n### Rule 2: b\n### Rule 3: c\n'
offence docs lib/coherence/README.md \
    '### Rule 1: a\n### Rule 2: b\n### Rule 3: c\n## Words\ngone()\n'
offence docs lib/coherence/README.md '### Rule 1: a\n### Rule 2: b\n### Rule 3: c\n## Words\n
## What would notice\n| 1 | - | - | `10stats_gone: no_such_test` |\n'
offence docs lib/l2/cites.h '/* (rule 4) */\n'
offence docs lib/l2/cites.h '/* as rule\n * 4 says */\n'
offence docs lib/l2/cites.h '/* rules 1 and 4 */\n'
offence docs lib/l2/cites.h '/* rules 2 to 4 */\n'
offence docs lib/l2/cites.h '// Rules 1, 4 and 2.\n'
offence docs lib/l2/scripts/a.lua '-- rule 4\n'
offence docs test/unit/a.c '/* rule 4 */\n'
offence docs perf/README.md 'rule 4\n'
offence docs lib/l2/cites.h '/* COHERENCE rule 1 */\n'
offence docs lib/l2/cites.h '/* DESIGN 2 */\n'
offence docs perf/a.h '/* see NOTES.md */\n'
offence docs lib/l2/cites.h '/* coherence/README.md "Letters" */\n'
offence style lib/l1/a.c "$(repeat 101 x)\n"
offence style lib/l1/a.c '\tint x;\n'
offence style lib/l1/a.c 'int x; \n'
offence style lib/l2/scripts/a.lua "-- $(repeat 98 x)\n"
offence style lib/l2/scripts/a.lua '\tlocal x\n'
offence style lib/l1/a.c "{\n$(repeat 81 'x;\n')\n}\n"

# A library whose objects are lists of symbols, which nm would print with their paths.
# object NAME SYMBOLS
object() {
    printf '%b' "$2" >"$tree/lib/l1/$1.c.o"
    echo "$tree/lib/l1/$1.c.o" >>"$tree/objects"
}

# circles STEPS WHAT STATUS: the check, with these steps in its list, over the objects made so far.
circles() {
    printf '#!/bin/sh\nshift\ngrep -H "" "$@"\n' >"$tree/nm"
    chmod +x "$tree/nm"
    awk -v steps="$1" '/^END$/ { skipped = 0 } !skipped { print }
        /<<END$/ { skipped = 1; print steps }' "$here/circles.sh" >"$tree/circles.sh"
    sh "$tree/circles.sh" "$tree/nm" "$tree/objects" >/dev/null 2>&1
    [ $? -eq "$3" ] && return
    echo "self: circles, $2"
    failed=1
}

# promises WHAT STATUS TEXT: the check by clang, over a file with the text that has our lock words.
promises() {
    clean_tree
    cp "$here/../../lib/base/check.h" "$tree/lib/base/check.h"
    file lib/l1/a.c "#include \"base/check.h\"\n#include <stdatomic.h>\n
struct a { pthread_mutex_t lock; _Atomic int x; };
static void one_locked(struct a *a) REQUIRES(a->lock) { (void)a; }
void f(struct a *a);\nvoid f(struct a *a) { $3 }\n"
    file lib/l2/one.c ''
    file lib/l1/good.c ''
    "$here/clang.sh" "$tree" clang -Ilib >/dev/null 2>&1
    [ $? -eq "$2" ] && return
    echo "self: clang, $1"
    failed=1
}
if command -v clang >/dev/null; then
    promises 'a clean file' 0 \
        'pthread_mutex_lock(&a->lock); one_locked(a); pthread_mutex_unlock(&a->lock);'
    promises 'a lock that is not held' 123 'one_locked(a);'
    promises 'a lock that is left' 123 'pthread_mutex_lock(&a->lock); one_locked(a);'
    promises 'a plain write of an atomic' 123 'a->x = 1;'
fi

clean_tree
circles '' 'no objects' 1
object a '0 T a_top\n  U b_one\n  U memcpy\n'
object b '0 T b_one\n  U c_one\n'
object c '0 D c_one\n0 R c_two\n'
circles '' 'a clean library' 0
circles 'l1/b l1/a a reason' 'a step that is not there' 1
circles 'l1/a l1/b a reason' 'a step that closes no circle' 1
echo "$tree/lib/l1/gone.c.o" >>"$tree/objects"
circles '' 'an object that is missing' 1
clean_tree
rm -f "$tree/objects"
object a '0 T a_top\n  U b_one\n'
object b '0 T b_one\n  U c_one\n'
object c '0 D c_one\n  U a_top\n'
circles '' 'a circle of three' 1
circles 'l1/c l1/a a reason' 'a circle that is meant' 0
circles 'l1/c l1/a' 'a step without a reason' 1
object d '0 T d_one\n  U a_top\n'
object b '0 T b_one\n  U c_one\n  U d_one\n'
circles 'l1/c l1/a a reason' 'a second circle' 1

# names WHAT STATUS: the check, over the objects made so far.
names() {
    "$here/names.sh" "$tree/nm" "$tree/objects" "$tree" >/dev/null 2>&1
    [ $? -eq "$2" ] && return
    echo "self: names, $1"
    failed=1
}
printf '#!/bin/sh\nshift 2\ngrep -H "" "$@"\n' >"$tree/nm"
rm -f "$tree/objects"
names 'no objects' 1
object a '0 T a_top\n0 T l1_one\n0 T nigh_open\n'
names 'a clean library' 0
object b '0 T service_start\n'
names 'a name that is nobody'"'"'s' 1
file lib/l1/b.h 'struct service {\n    int x;\n};\n'
names 'the name of a struct of the module' 0
exit "${failed:-0}"
