#!/bin/bash
# SPDX-License-Identifier: MIT
# Checks the models: every configuration exhaustively, and that each rule left out is missed.
# Usage: run.sh latch | flight | link | coherence [CONFIGURATION...] | coherence long
#
# Prints a line for each search and one total. Ends with 77 where spin or a compiler is missing.
# What must hold is searched to the end. What must break is a protocol without a rule (a mutant, see
# the model's header) or with the rules of wire version 1 ("old"): the search has to find an error.
set -u
here=$(cd "$(dirname "$0")" && pwd -P)
cc=${CC:-cc}
command -v spin >/dev/null || { echo "model: there is no spin here"; exit 77; }
command -v "$cc" >/dev/null || { echo "model: there is no $cc here"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
ends=-E # states in which nothing can move any more are judged by the model itself
failed=0
searches=0
total=0
begin=$(date +%s)

# build MODEL OPTION...: $work/pan. Unoptimised: most of the time goes into compiling.
build() {
    local options="-O${optimise:-0} -w -DSAFETY -DNOBOUNDCHECK -DMEMLIM=8000 $reduce"
    (cd "$work" && spin -a "${@:2}" "$here/$1" >spin.out 2>&1 &&
        "$cc" $options -o pan pan.c) && return
    cat "$work/spin.out"
    echo "model: $* does not compile"
    exit 1
}

# search NAME WANTED: runs $work/pan; WANTED is the number of errors that there are to be.
search() {
    out=$(cd "$work" && ./pan -m1000000 -w20 -n $ends 2>&1)
    states=$(echo "$out" | sed -n 's/^ *\([0-9]*\) states, stored.*/\1/p')
    errors=$(echo "$out" | sed -n 's/.*errors: \([0-9]*\).*/\1/p')
    seconds=$(echo "$out" | sed -n 's/.*elapsed time \([0-9.e+-]*\) sec.*/\1/p')
    verdict=ok
    case $out in
        *"Search not completed"*) [ "$2" = 1 ] || verdict=FAILED ;;
    esac
    case $out in *"max search depth too small"*) verdict=FAILED ;; esac
    [ "${errors:-none}" = "$2" ] || verdict=FAILED
    [ $verdict = ok ] || failed=1
    [ "$2" = 0 ] && says=holds || says=breaks
    printf '%-26s %9s states %6s s  %-6s  %s\n' \
        "$1" "${states:-?}" "${seconds:-?}" $says $verdict
    searches=$((searches + 1))
    total=$((total + ${states:-0}))
}

latch() {
    reduce=
    build latch.pml
    search latch 0
    for mutant in 1 2 3 4; do
        build latch.pml -DMUTANT=$mutant
        search "latch, mutant $mutant" 1
    done
}

flight() {
    reduce=
    for options in "" -DPATIENT -DHERE "-DHERE -DPATIENT"; do
        optimise=1 build flight.pml $options
        search "flight $options" 0
    done
    for mutant in 1 2 3 "4 -DPATIENT" 5 6 "7 -DPATIENT" "5 -DHERE"; do
        build flight.pml -DMUTANT=$mutant
        search "flight, mutant $mutant" 1
    done
}

link() {
    reduce=
    ends=
    for options in "" -DKEPT -DLENT -DHOLDS "-DKEPT -DLENT -DHOLDS"; do
        optimise=1 build link.pml $options
        search "link $options" 0
    done
    for mutant in 1 2 3 4 5 6 7 "8 -DKEPT" "9 -DKEPT" "10 -DKEPT" 11 "12 -DLENT" "13 -DLENT" \
        "14 -DHOLDS"; do
        build link.pml -DMUTANT=$mutant
        search "link, mutant $mutant" 1
    done
}

# Lines of "name: options: mutants".
configurations() {
    cat <<'END'
key: READS0=1 READS1=1 KEYS1=1 EXPIRE=1 HALVES=1 OWN_FRAMES=1 INSTANT=2: 10 20 30 50 52 90
tag: READS0=1 READS1=1 TAGS1=1 HALVES=1 DOUBT=1 OWN_FRAMES=1: 11 21 31 40 53 54 110
gap: READS0=1 KEYS1=1 OTHERS1=1 LOGS=1 OWN_FRAMES=1 INSTANT=2: 70 80 91
join: READS0=1 KEYS1=1 TAGS1=1 JOIN=1: 100
write: READS0=1 READS1=1 WRITES0=1 WRITES1=1 INSTANT=3: 60 61
unknown: READS0=1 READS1=1 KEYS1=1 UNKNOWN=1 LOST_REPLIES=1 RECORDS=2 INSTANT=2: 62 64 65
unknown2: READS1=2 TAGS1=1 UNKNOWN=1 RECORDS=2 INSTANT=2: 63
pair: READS0=1 READS1=1 PAIRS1=1 RECORDS=2 OWN_FRAMES=1 INSTANT=2: 66 67 68 69
pair2: READS0=1 READS1=1 PAIRS1=1 PAIRED=TAG RECORDS=2 OWN_FRAMES=1 INSTANT=3:
pair3: READS1=1 PAIRS1=1 UNKNOWN=1 RECORDS=3 INSTANT=3:
clk: READS0=1 READS1=1 TAGS1=1 CLKS=1 INSTANT=2: 1 41 82 92
failover: READS0=1 READS1=1 TAGS0=1 FAILOVERS=1 INSTANT=2: 81 93
failclk: READS0=1 KEYS1=1 CLKS=1 FAILOVERS=1 INSTANT=3: 43
flap: READS0=1 KEYS1=1 MOVES0=2 TOGETHER=1 RECORDS=1 INSTANT=2: old 163 165 166
start: READS0=1 KEYS1=1 MOVES1=2 REISSUE=1 STARTING=1 RECORDS=3 INSTANT=3: 130 131
rollback: KEYS0=1 OTHERS1=2 ROLLBACKS=1 RECORDS=3 INSTANT=3: old 160 161 162 167 168
rollback2: READS0=1 KEYS1=1 ROLLBACKS=1 RECORDS=1: old 164
schemas: READS0=1 READS1=1 KEYS0=1 KEYS1=1 SCHEMAS=2 INSTANT=3: old 170 171 175
schemas2: READS1=2 KEYS0=1 SCHEMAS=2 EXPIRE=1 LAPSES=1 INSTANT=3: 172 174
schemas3: READS1=2 KEYS0=1 SCHEMAS=2 CLKS=1 INSTANT=3: 173
schemas4: READS1=2 KEYS0=1 SCHEMAS=2 ROLLBACKS=1 INSTANT=3: old 176
END
}

# Larger budgets of the same: 50 million states in all, 4 minutes and 4 GB.
long_configurations() {
    cat <<'END'
both: READS0=1 READS1=1 KEYS1=1 TAGS1=1:
writes: READS0=1 READS1=1 WRITES0=1 WRITES1=1 EXPIRE=1:
lost: READS0=1 READS1=1 KEYS1=1 UNKNOWN=1 LOST_REPLIES=1 RECORDS=2:
failtags: READS0=1 TAGS0=1 TAGS1=1 FAILOVERS=1 INSTANT=1:
failkeys: READS0=1 READS1=1 KEYS1=1 FAILOVERS=1:
backtags: READS0=1 TAGS0=1 TAGS1=1 ROLLBACKS=1 INSTANT=2:
backset: WRITES1=1 KEYS0=1 OTHERS1=1 ROLLBACKS=1 RECORDS=3 INSTANT=3:
flapping: READS0=1 READS1=1 KEYS1=1 MOVES0=2 TOGETHER=1 RECORDS=1 INSTANT=3:
split: READS0=1 KEYS1=1 MOVES0=1 MOVES1=2 REISSUE=1 RECORDS=2 INSTANT=3:
END
}

coherence() {
    reduce=-DNOREDUCE
    while IFS=: read -r name options mutants; do
        [ $# -eq 0 ] || case " $* " in *" $name "*) ;; *) continue ;; esac
        # shellcheck disable=SC2046 # a list of words on purpose
        build coherence.pml $(printf ' -D%s' $options)
        search "$name" 0
        for mutant in $mutants; do
            if [ "$mutant" = old ]; then
                OLD=1 search "$name, old rules" 1
            else
                MUTANT=$mutant search "$name, mutant $mutant" 1
            fi
        done
    done
}

case ${1:-} in
    latch) latch ;;
    flight) flight ;;
    link) link ;;
    coherence)
        shift
        case ${1:-} in
            long) coherence < <(long_configurations) ;;
            *) coherence "$@" < <(configurations) ;;
        esac ;;
    *) sed -n '4s/^# //p' "$0"; exit 2 ;;
esac
[ $searches -gt 0 ] || { echo "model: nothing of that name"; exit 2; }
echo "total: $searches searches, $total states, $(($(date +%s) - begin)) s"
exit $failed
