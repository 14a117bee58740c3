#!/bin/sh
# SPDX-License-Identifier: MIT
# Calls go down within a module too: no file of lib/ uses one that uses it, directly or through
# others. Usage: circles.sh NM OBJECTS
#
# OBJECTS names the objects of the library, one on a line; CMake writes such a file. To run this
# alone, after a build of the library or of any test:
#
#     ctest --test-dir BUILD -R check_circles --output-on-failure
#     test/checks/circles.sh nm BUILD/test/circles.objects
#
# Two files that use each other are one thing in two places, or parts of both are in the wrong one;
# whoever reads one has to read the other. What the linker sees is what counts: an inline function
# belongs to each file that calls it, and a function that is handed down as a pointer is not used.
#
# A recursion that is meant is listed here by the step that goes up, FROM TO REASON. There must be
# no circle without the steps listed. Each of them must close one, or else it is to be deleted.
nm=$1 objects=$2

steps() {
    cat <<END
END
}

# nm begins each line with "OBJECT:"; a symbol is the last word, its kind the one before.
{
    steps | sed 's/^/step /'
    xargs -d '\n' "$nm" -gA <"$objects" || echo 'missing'
} | awk '
    function offence(text) { print "circles: " text; failed = 1 }
    # Whether files use one another down to `to`. `seen` is the files visited, empty at first.
    function leads(from, to, seen,    todo, top, at, i) {
        todo[top = 1] = from
        while (top) {
            at = todo[top--]
            if (at == to) return 1
            for (i = 1; i <= below[at]; i++)
                if (!(down[at, i] in seen)) { seen[down[at, i]]; todo[++top] = down[at, i] }
        }
        return 0
    }
    $1 == "step" && NF > 1 {
        if (NF < 4) offence("a step without a reason: " $2 " " $3)
        steps[$2 SUBSEP $3]
    }
    $1 == "missing" { offence("not every object could be read") }
    match($0, /\/lib\/([a-z0-9_]+\/)+[a-z0-9_]+\.c\.o(bj)?:/) {
        file = substr($0, RSTART + 5, RLENGTH - 5)
        sub(/\.c\.o(bj)?:$/, "", file)
        if ($(NF - 1) ~ /[Uvw]$/) { user[++uses] = file; used[uses] = $NF }
        else home[$NF] = file
    }
    END {
        for (i = 1; i <= uses; i++) {
            edge = user[i] SUBSEP home[used[i]]
            if (!(used[i] in home) || user[i] == home[used[i]]) continue
            if (!(edge in why)) edges[++count] = edge
            why[edge] = why[edge] " " used[i]
        }
        for (i = 1; i <= count; i++)
            if (!(edges[i] in steps)) {
                split(edges[i], ends, SUBSEP)
                down[ends[1], ++below[ends[1]]] = ends[2]
            }
        for (i = 1; i <= count; i++) {
            split(edges[i], ends, SUBSEP)
            split("", seen)
            if (!leads(ends[2], ends[1], seen)) continue
            closes[edges[i]]
            if (!(edges[i] in steps))
                offence(ends[1] " -> " ends[2] " is on a circle; it uses" why[edges[i]])
        }
        for (edge in steps)
            if (!(edge in closes)) {
                split(edge, ends, SUBSEP)
                offence(ends[1] " -> " ends[2] " closes no circle: delete it here")
            }
        if (!count) offence("no symbols were read")
        exit failed
    }'
