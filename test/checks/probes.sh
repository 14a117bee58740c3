#!/bin/sh
# SPDX-License-Identifier: MIT
# The probes for bpftrace and its like: the library has those that README lists, each with three
# arguments; and where gdb is installed and may look on, each is seen once, telling what it should.
# Skipped where the library was built without <sys/sdt.h>.
# Usage: probes.sh SOURCE LIBRARY READELF CC PROGRAM CASE
source=$1 library=$2 readelf=$3 cc=$4 program=$5 case=$6
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM

complain() {
    echo "probes: $*"
    failed=1
}

# ---- the notes ----

"$readelf" -n "$library" |
    awk '/Provider: / { ours = $2 == "nigh" } ours && /Name: / { name = $2 }
         ours && /Arguments: / { print name, NF - 1 }' | sort -u >"$work/notes"
if [ ! -s "$work/notes" ]; then
    echo '#include <sys/sdt.h>' | "$cc" -E - >/dev/null 2>&1 || exit 77
    complain "there is <sys/sdt.h>, and no probe in $library"
    exit 1
fi
# shellcheck disable=SC2016 # the quotes are of Markdown
sed -n '/^| probe |/,/^$/s/^| `\([a-z]*\)` |.*/\1 3/p' "$source/README.md" | sort >"$work/listed"
diff "$work/listed" "$work/notes" || complain "README lists (<) other probes than there are (>)"

# ---- the sight of them ----

command -v gdb >/dev/null || exit "${failed:-0}"
{
    echo 'set pagination off'
    echo 'handle all nostop noprint pass'
    echo 'handle SIGTRAP SIGINT stop nopass'
    while read -r probe _; do
        printf 'tbreak -probe-stap nigh:%s\ncommands\nsilent\nprintf "saw %s "\n' "$probe" "$probe"
        # shellcheck disable=SC2016 # for gdb
        [ "$probe" = doubt ] || echo 'output *(char *)$_probe_arg0@$_probe_arg1'
        # shellcheck disable=SC2016
        printf 'printf " %%lu\\n", $_probe_arg2\ncontinue\nend\n'
    done <"$work/notes"
    echo run
} >"$work/commands"
DEBUGINFOD_URLS='' gdb -nx -batch -x "$work/commands" --args "$program" "$case" \
    >"$work/seen" 2>&1 </dev/null
if grep -qi 'ptrace: operation not permitted\|could not trace the inferior' "$work/seen"; then
    echo 'probes: gdb may not look on here'
    exit "${failed:-0}"
fi

# see PROBE PATTERN
see() {
    count=$(grep -cE "^saw $1 $2\$" "$work/seen")
    [ "$count" -eq 1 ] || complain "$1 was seen $count times as $2"
}
number='[1-9][0-9]*'
see miss '"k" [0-9]+'
see load "\"k\" $number"
see hit '"k" [0-9]+'
see evict "\"k[0-9]*\" $number"
see invalidate "\"k\" $number"
see doubt " $number"
[ -z "$failed" ] || tail -40 "$work/seen"
exit "${failed:-0}"
