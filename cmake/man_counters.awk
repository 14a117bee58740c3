# SPDX-License-Identifier: MIT
# Makes nigh_counters(7): awk -v version=V -v date=D -f man_counters.awk counters.h gauges.c
#
# A table is what follows "#define ...(X)" up to a line without a backslash. An entry's name is the
# first text in quotes, or the word after "X(" where there is but one; its meaning is the last, and
# a letter behind it no concern of the page. What is neither an entry nor a title ends it with an
# error, for a page that lacks one looks whole.

function prose(s) {
    gsub(/\\/, "\\e", s)
    gsub(quote, "\"", s)
    return s
}
function refuse(s) {
    sub(/^[ \t]+/, "", s)
    if (s == "") return
    print "man_counters.awk: " FILENAME ":" FNR ": no entry of a table: " s >"/dev/stderr"
    exit 1
}
function entries(s,    entry, name, what) {
    gsub(/\\"/, quote, s)
    gsub(/"[ \t]+"/, "", s) # one text in two lines
    while (match(s, /\/\*[^*]*\*\/|X\([^"]*"[^"]*"(,[ \t]*"[^"]*")?(, [A-Z])?\)/)) {
        refuse(substr(s, 1, RSTART - 1))
        entry = substr(s, RSTART, RLENGTH)
        s = substr(s, RSTART + RLENGTH)
        if (entry ~ /^\//) { # a title within the table
            gsub(/^\/\* | \*\/$/, "", entry)
            print ".SS " toupper(substr(entry, 1, 1)) substr(entry, 2)
            continue
        }
        what = entry
        sub(/"(, [A-Z])?\)$/, "", what)
        sub(/.*"/, "", what)
        name = entry
        if (sub(/^X\([A-Z0-9_]+, "/, "", name)) sub(/".*/, "", name)
        else {
            sub(/^X\(/, "", name)
            sub(/,.*/, "", name)
        }
        print ".TP 22\n\\fB" name "\\fP\n" prose(what)
    }
    refuse(s)
}

BEGIN {
    quote = "\001" # stands for one within a text
    print ".\\\" Made from lib/stats/counters.h and lib/cache/report/gauges.c: do not edit."
    print ".TH NIGH_COUNTERS 7 \"" date "\" \"nigh " version "\" \"nigh\""
    print ".nh\n.ad l\n.SH NAME\nnigh_counters \\- what nigh counts and gauges"
    print ".SH DESCRIPTION\n.BR nigh_stats (3)"
    print "writes all of them, nigh_stats_value() gives one by name."
}
# The comment at the top of counters.h, from its third paragraph.
FILENAME ~ /counters\.h$/ && /^ \*$/ && ++paragraph > 1 { print ".PP"; next }
paragraph && /^ \*\// { paragraph = 0 }
paragraph > 1 && /^ \*   / { sub(/^ \* +/, ""); print ".IP \\(bu 2"; print prose($0); next }
paragraph > 1 { sub(/^ \* /, ""); print prose($0) }

/^#define [A-Z_]+\(X\)/ {
    print ".SH " ($0 ~ /SPACE_GAUGES/ ? "GAUGES OF A SPACE" : $0 ~ /GAUGES/ ? "GAUGES" : \
        $0 ~ /LINK_HISTOGRAMS/ ? "HISTOGRAMS OF THE CACHE" : \
        $0 ~ /HISTOGRAMS/ ? "HISTOGRAMS OF A SPACE" : "COUNTERS")
    table = 1
    text = ""
    next
}
table {
    row = $0
    ends = !sub(/\\$/, "", row)
    text = text row
    if (ends) {
        entries(text)
        table = 0
    }
}
