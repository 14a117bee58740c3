#!/bin/sh
# SPDX-License-Identifier: MIT
# Modules depend downwards only, and on a module's own header only. Usage: layers.sh SOURCE
#
# base < stats < {l1, flight, l2, control} < coherence < cache; the siblings never see each other.
# Within cache, {value, queue, report} < load < {read, write} < inspect < commands; what lies in
# cache itself belongs to all.
# Also here: who may see the libraries we link.
cd "$1" || exit 2

files=$(find lib -name '*.[ch]' | sort)
# shellcheck disable=SC2086 # no name in lib has a blank
awk '
    BEGIN {
        level["base"] = 0; level["stats"] = 1
        level["l1"] = level["flight"] = level["l2"] = level["control"] = 2
        level["coherence"] = 3; level["cache"] = 4; level["tool"] = 5
        floor_of["value"] = floor_of["queue"] = floor_of["report"] = 1; floor_of["load"] = 2
        floor_of["read"] = floor_of["write"] = 3; floor_of["inspect"] = 4; floor_of["commands"] = 5
    }
    function offence(text) { printf "%s:%d: %s\n", FILENAME, FNR, text; failed = 1 }
    FNR == 1 {
        parts = split(FILENAME, part, "/"); here = part[2]; folder = parts > 3 ? part[3] : ""
        if (!(here in level)) offence("module " here " has no level")
        if (parts > 4 || folder && (here != "cache" || !(folder in floor_of)))
            offence("folder " folder " of " here " has no floor")
    }
    /^[ \t]*#[ \t]*include[ \t]+"/ {
        split($0, quoted, "\""); count = split(quoted[2], path, "/"); there = path[1]
        if (here == "tool" && there != "tool")
            offence("the tool sees only <nigh/...> and libc")
        if (count < 2 || count > 3 || !(there in level))
            offence("\"" quoted[2] "\": write it as \"module/file.h\"")
        else if (there != here && level[there] >= level[here])
            offence(here " must not see " there)
        else if (there != here && (count > 2 || path[2] != there ".h"))
            offence("\"" quoted[2] "\" is private to " there "; include \"" there "/" there ".h\"")
        else if (there == here && count > 2 && folder && path[2] != folder &&
                 floor_of[path[2]] >= floor_of[folder])
            offence(here "/" folder " must not see " here "/" path[2])
    }
    END { exit failed }
' $files || failed=1

awk '/^[ \t]*#[ \t]*include[ \t]+("|<(urcu|hiredis|jemalloc|xxhash))/ {
        printf "%s:%d: a public header shows only <nigh/...> and libc\n", FILENAME, FNR; failed = 1
    }
    END { exit failed }' include/nigh/*.h || failed=1

# A value is stored under a ticket that was taken before anything was looked at: few may store.
# All functions of l1/l1.h that store are named here.
store='(^|[^a-z0-9_])l1_(store|write|write_stamped|put|entry_create_stored)\('
# shellcheck disable=SC2086
grep -lE "$store" $files | grep -vE '^lib/(l1/|cache/(space_l1\.[ch]|value/draft\.c)$)' |
    sed 's/$/: stores in L1; only cache\/space_l1.h and cache\/value\/draft.c may/' |
    grep . && failed=1

# only PATTERN COUNT WHY: exactly COUNT files of lib/ match.
only() {
    # shellcheck disable=SC2086
    found=$(grep -lE "$1" $files)
    [ "$(echo "$found" | grep -c .)" -eq "$2" ] && return
    printf '%s:\n%s\n' "$3" "${found:-none}"
    failed=1
}
# _LGPL_SOURCE pulls code into ours, which the LGPL allows only for what is meant for it.
only '^[ \t]*#[ \t]*include[ \t]+[<"]urcu' 1 'liburcu is included in exactly one file'
only '^[ \t]*#[ \t]*define[ \t]+_LGPL_SOURCE' 1 '_LGPL_SOURCE is defined in exactly one file'
only '^[ \t]*#[ \t]*include[ \t]+<urcu/urcu-bp.h>' 1 'of liburcu only <urcu/urcu-bp.h> is used'
only '^[ \t]*#[ \t]*include[ \t]+[<"]hiredis' 1 'hiredis is included in exactly one file'
urcu='^[ \t]*#[ \t]*include[ \t]+[<"]urcu'
if [ "$(find lib -name '*.[ch]' -exec cat {} + | grep -cE "$urcu")" -ne 1 ]; then
    echo 'lib: there is one #include of liburcu, in the file that defines _LGPL_SOURCE'
    failed=1
fi
grep -rn '_LGPL_SOURCE' CMakeLists.txt cmake/*.cmake && failed=1
exit "${failed:-0}"
