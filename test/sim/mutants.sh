#!/bin/bash
# SPDX-License-Identifier: MIT
# Breaks one rule after the other and asks the simulation to notice. See mutants.txt, README.md.
# Usage: mutants.sh SOURCE CONF [NAME...]; CONF has the flags, as CMake knows them.
set -u
source=$1
. "$2"
shift 2
wanted=" $* "
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
failed=0

fail() {
    echo "mutants: rule $rule $name: $*"
    failed=1
}

# The file with the text replaced, on standard output; it must occur exactly once.
mutate() {
    from=$from to=$to awk '
        { at = index($0, ENVIRON["from"]) }
        at {
            count++
            $0 = substr($0, 1, at - 1) ENVIRON["to"] substr($0, at + length(ENVIRON["from"]))
        }
        { print }
        END { exit count != 1 }' "$source/$file"
}

# The simulation with this mutant in it: $work/sim.
build() {
    mutate >"$work/${file##*/}" || { fail "'$from' is not in $file exactly once"; return 1; }
    case $file in *.lua) ln -sf "$SIM" "$work/sim"; return ;; esac
    # shellcheck disable=SC2086 # lists of words on purpose
    $CC $CFLAGS -I"$source/${file%/*}" -w -c "$work/${file##*/}" -o "$work/mutant.o" &&
        $CC -o "$work/sim" $OBJECTS "$work/mutant.o" $LIBRARIES && return
    fail 'does not compile'
    return 1
}

run_row() {
    case $wanted in *" $name "* | '  ') ;; *) return ;; esac
    rm -f "$work"/*
    build || return
    unset NIGH_SIM_LUA_FROM NIGH_SIM_LUA_TO
    case $file in *.lua) export NIGH_SIM_LUA_FROM=$from NIGH_SIM_LUA_TO=$to ;; esac
    if "$work/sim" --quiet --scenario "$scenario" --count "$count" --seed "${seed:-1}" \
        >"$work/out" 2>&1; then
        fail "survives $count schedules of $scenario"
    else
        printf 'rule %-2s %-34s %s\n' "$rule" "$name" "$(head -n 1 "$work/out" | cut -c 6-)"
    fi
}

while IFS= read -r line; do
    word=${line%% *} rest=${line:5}
    case $word in
        rule) rule=${rest%% *} name=${rest#* } ;;
        file) file=$rest ;;
        from) from=$rest ;;
        to) to=$rest ;;
        run) read -r scenario count seed <<<"$rest"; run_row ;;
    esac
done <"$source/test/sim/mutants.txt"
exit $failed
