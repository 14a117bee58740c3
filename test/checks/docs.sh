#!/bin/sh
# SPDX-License-Identifier: MIT
# What the READMEs name exists. README has the options of the library, and all log lines by which it
# warns. What comments cite of the protocol exists: rules, sections, documents.
# Usage: docs.sh SOURCE [CC SHARED_LIBRARY]; without a library the options are not compared.
#
# Names are known by their form: name(), folder/file.c, `folder/`, IN_CAPITALS, `struct name`,
# `nigh-thread`, `option.name`, `call.field`; and by their place: the table of counters.
set -u
cd "$1" || exit 2
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
find include lib test/support -name '*.[ch]' -o -name '*.lua' -o -name '*.map' 2>/dev/null |
    xargs cat >"$work/code"

# each DOCUMENT PATTERN TEST: every match of the pattern (quotes and parentheses off) must pass.
each() {
    for name in $(sed 's/-D/ /g' "$1" | grep -oE "$2" | tr -d '`()' | sed 's/^struct //' | sort -u)
    do
        $3 "$name" && continue
        echo "$1: there is no $name"
        failed=1
    done
}

# Definitions and declarations begin at the margin, unlike calls and comments.
is_function() { grep -qE "^[a-z].*\<$1\(" "$work/code"; }
is_public() { cat include/nigh/*.h | grep -qE "^[a-z].*\<$1\("; }
is_file() { [ -f "$1" ] || [ -f "lib/$1" ] || [ -f "include/$1" ]; }
is_folder() { [ -d "$1" ] || [ -d "lib/$1" ]; }
is_constant() { grep -qE "\<$1\>" "$work/code" cmake/*.cmake; }
is_struct() { grep -qE "^struct $1 \{|^struct $1;" "$work/code"; }
is_thread() { grep -qF "\"$1\"" "$work/code"; }
is_option() { grep -qF "{\"$1\"," lib/cache/options.c; }
is_field() { sed -n '/^struct nigh_call {/,/^}/p' include/nigh/options.h | grep -qw "${1#call.}"; }
is_counter() {
    grep -qF "\"$1\"" lib/stats/counters.h || grep -qF "X($1," lib/cache/report/gauges.c
}

for document in README.md .github/*.md lib/README.md lib/coherence/README.md lib/l2/README.md; do
    [ -f $document ] || continue
    each $document '\<[a-z][a-z0-9_]*\(\)' is_function
    each $document '\<[a-z0-9_]+(/[a-z0-9_]+)+\.(h|c|sh|lua|cmake)\>' is_file
    each $document '`[a-z0-9_]+(/[a-z0-9_]+)*/`' is_folder
    each $document '\<[A-Z][A-Z0-9]*(_[A-Z0-9]+)+\>' is_constant
    each $document '`struct [a-z0-9_]+`' is_struct
    each $document '`nigh-[a-z]+`' is_thread
    each $document '`(l1|redis|coherence|lease|space)\.[a-z_]+`' is_option
    each $document '`call\.[a-z_]+`' is_field
done
each README.md '\<nigh_[a-z0-9_]+\(' is_public
sed -n '/^## Counters/,/^## /s/^| *\(`[^|]*\)|.*/\1/p' README.md >"$work/counters"
each "$work/counters" '`[a-z0-9_]+`' is_counter

# literals PATTERN: every string of lib, "..." in place of what printf fills in, one a line; of the
# statements that match the pattern.
literals() {
    find lib -name '*.c' | sort | while read -r file; do
        awk -v pattern="$1" '
            { text = text $0 "\n" }
            END {
                while (match(text, /\/\*([^*]|\*+[^*\/])*\*+\//))
                    text = substr(text, 1, RSTART - 1) substr(text, RSTART + RLENGTH)
                gsub(/(^|\n)[ \t]*\/\/[^\n]*/, "", text)
                gsub(/\047"\047/, "", text)
                gsub(/%[0-9]*"[ \n]*PRI[A-Za-z0-9]+/, "...\"", text)
                gsub(/"[ \n]+"/, "", text)
                gsub(/%[-0-9.*]*[lz]*[sdux]/, "...", text)
                while (match(text, pattern)) {
                    part = substr(text, RSTART, RLENGTH)
                    text = substr(text, RSTART + RLENGTH)
                    while (match(part, /"([^"\\\n]|\\.)*"/)) {
                        literal = substr(part, RSTART + 1, RLENGTH - 2)
                        part = substr(part, RSTART + RLENGTH)
                        gsub(/\\"/, "\"", literal)
                        if (literal != "") print literal
                    }
                }
            }' "$file"
    done
}

# Troubleshooting: what the first columns quote is said somewhere, and each warning has its line.
literals '(.|\n)+' >"$work/literals"
literals '(LOG|log_write)\([^;]*NIGH_LOG_(WARN|ERROR)[^;]*;' >"$work/warnings"
sed -n '/^## Troubleshooting/,/^## /s/^| \([^|]*\) | .*/\1/p' README.md |
    awk '{ while (match($0, /`[^`]*`/)) {
        print substr($0, RSTART + 1, RLENGTH - 2); $0 = substr($0, RSTART + RLENGTH) } }' \
        >"$work/lines"
is_said() { # each part of it that is not filled in
    echo "$1" | awk '{ gsub(/:? ?\.\.\.:? ?/, "\n"); print }' | while read -r part; do
        grep -qF -e "$part" "$work/literals" || exit 1
    done
}
while read -r line; do
    is_said "$line" && continue
    echo "README.md: nothing says $line"
    failed=1
done <"$work/lines"
while read -r warning; do
    glob=$(echo "$warning" | sed 's/[][*?\\]/\\&/g; s/\.\.\./*/g')
    found=
    while read -r line; do
        # shellcheck disable=SC2254 # a pattern on purpose
        case $line in $glob) found=1 ;; esac
    done <"$work/lines"
    [ -n "$found" ] || { echo "README.md: its troubleshooting lacks: $warning"; failed=1; }
done <"$work/warnings"

# Documented parameters are parameters of the function below.
find include lib -name '*.h' -print0 | sort -z | xargs -0 awk '
    function check(    i, parameters) {
        parameters = text
        for (i = 1; i <= documented; i++)
            if (parameters !~ "[^A-Za-z0-9_]" name[i] "[^A-Za-z0-9_]") {
                printf "%s:%d: @param %s is no parameter\n", FILENAME, line[i], name[i]; failed = 1
            }
        documented = 0; text = ""
    }
    /^ *\/\*\*/ { documented = 0; text = ""; inside = 1 }
    inside && /@param / { name[++documented] = $3; line[documented] = FNR }
    inside && /\*\// { inside = 0; next }
    !inside && documented { text = text " " $0 " "; if (/;|\{|^#/) check() }
    END { exit failed }
' || failed=1

# Links within README lead to a heading, in the form that sites give it.
sed -n 's/^##* //p' README.md | tr '[:upper:] ' '[:lower:]-' | tr -cd 'a-z0-9\n-' >"$work/anchors"
for anchor in $(grep -oE '\]\(#[^)]*\)' README.md | tr -d ']()#'); do
    grep -qx -e "$anchor" "$work/anchors" && continue
    echo "README.md: no heading is #$anchor"
    failed=1
done

# Requirements: the versions that CMake wants.
{
    sed -n 's/^cmake_minimum_required(VERSION \([0-9.]*\)).*/CMake \1/p' CMakeLists.txt
    sed -n 's/^ *nigh_find([A-Z_]* \([a-z]*\)[-a-z]*>=\([0-9.]*\) .*/\1[^|]* | \2 |/p' cmake/*.cmake
} >"$work/versions"
while read -r version; do
    sed -n '/^### Requirements/,/^## /p' README.md | grep -q -e "$version" && continue
    echo "README.md: its requirements lack $version"
    failed=1
done <"$work/versions"

# The map is whole: each file has a line, or its header has.
find lib -name '*.[ch]' | sort >"$work/files"
while read -r file; do
    stem=${file#lib/}
    grep -qE "^  ${stem%.*}\.[ch] " lib/README.md && continue
    echo "lib/README.md: there is nothing about $file"
    failed=1
done <"$work/files"
for file in lib/*/scripts/*.lua; do
    [ ! -f "$file" ] || grep -qF "  ${file#lib/} " lib/README.md && continue
    echo "lib/README.md: there is nothing about $file"
    failed=1
done

# Comments cite rules ("rule 5", "rules 1, 2 and 9", "rules 1 to 3"), which are headings of the
# protocol's page; sections (x/README.md "Name"); and no documents that are not here. The checks
# themselves show offences, so they are not looked at.
protocol=lib/coherence/README.md
find include lib perf test README.md -type f ! -path 'test/checks/*' \
    \( -name '*.[ch]' -o -name '*.lua' -o -name '*.md' -o -name '*.sh' -o -name '*.pml' \) |
    sort >"$work/tree"

# Every citation, as "kind|file|what": a file is one line without the marks of its comments.
xargs awk '
    function cited(kind, pattern,    rest, what) {
        for (rest = text; match(rest, pattern); rest = substr(rest, RSTART + RLENGTH)) {
            what = substr(rest, RSTART, RLENGTH)
            sub(/^[^A-Za-z0-9]/, "", what)
            if (kind != "section")
                sub(/[^A-Za-z0-9]$/, "", what)
            print kind "|" file "|" what
        }
    }
    function all() {
        cited("rule", "[^A-Za-z0-9_][Rr]ules? [0-9]+((,| and|, and| to) [0-9]+)*")
        cited("document", "[^A-Za-z0-9_](COHERENCE|DESIGN|EVIDENCE|[A-Z]+\\.md)[^A-Za-z0-9_]")
        cited("section", "[^A-Za-z0-9_/][a-z0-9/]+/README\\.md \"[^\"]+\"")
    }
    FNR == 1 { all(); file = FILENAME; text = " " }
    { sub(/^[ \t]*(\/?\*+\/?|\/\/|--|#+)?[ \t]*/, ""); text = text $0 " " }
    END { all() }' <"$work/tree" | sort -u >"$work/cited"

# numbers CITATION: one a line.
numbers() {
    echo "$1" | awk '{
        gsub(/,| and/, " ")
        for (i = 2; i <= NF; i++)
            if ($i != "to") print $i
            else for (n = $(i - 1) + 1; n < $(i + 1); n++) print n
    }'
}
has_rules() {
    for number in $(numbers "$1"); do
        grep -qE "^### Rule $number:" $protocol || return 1
    done
}
has_document() { [ -n "$(find . -name "${1%.md}.md" ! -path './.git/*')" ]; }
has_section() {
    page=${1%% *}
    section=${1#* \"}
    cat "lib/$page" "$page" 2>/dev/null |
        grep -qxF -e "## ${section%\"}" -e "### ${section%\"}"
}

while IFS='|' read -r kind file what; do
    case $kind in
        rule) has_rules "$what" ;;
        document) has_document "$what" ;;
        section) has_section "$what" ;;
    esac && continue
    echo "$file: cites $what, which is not there (the protocol is $protocol)"
    failed=1
done <"$work/cited"

# What would notice: a row for each rule; all mutants of the simulation, under their rule, and of
# the model; tests that are there.
sed -n '/^## What would notice/,/^## /s/^| *\([0-9]*\) *| *\(.*\) *|$/\1|\2/p' $protocol \
    >"$work/rows"
column() { # number: "rule word" for each word of a column
    awk -F ' *[|] *' -v n="$1" '{ gsub(/[`,]/, " ", $n); split($n, w, " ")
        for (i = 1; i in w; i++) if (w[i] != "-") print $1, w[i] }' "$work/rows" | sort
}
if [ -f test/sim/mutants.txt ]; then
    cut -d'|' -f1 "$work/rows" >"$work/one"
    sed -n 's/^### Rule \([0-9]*\):.*/\1/p' $protocol | diff "$work/one" - || failed=1
    column 2 >"$work/one"
    sed -n 's/^rule \([0-9]* [^ ]*\).*/\1/p' test/sim/mutants.txt | sort | diff "$work/one" - ||
        { echo "$protocol: its mutants (<) are not those of test/sim/mutants.txt (>)"; failed=1; }
    column 3 | cut -d' ' -f2 | sort >"$work/one"
    sed -n '/^configurations()/,/^END/s/^[a-z0-9]*:[^:]*: *//p' test/model/run.sh |
        tr ' ' '\n' | grep -E '^[0-9]{2,}$' | sort | diff "$work/one" - ||
        { echo "$protocol: its mutants (<) are not those of test/model/run.sh (>)"; failed=1; }
fi
grep -oE '`[0-9a-z_]+: [a-z0-9_]+`' "$work/rows" | tr -d '`:' | sort -u >"$work/tests"
while read -r file name; do
    cat test/*/"$file.c" 2>/dev/null | grep -qF "TEST($name)" && continue
    echo "$protocol: there is no TEST($name) in $file.c"
    failed=1
done <"$work/tests"

# The table, row by row and word by word, against what the library prints.
options() {
    cat >"$work/options.c" <<'END'
#include <nigh/nigh.h>
int main(void)
{
    nigh_options_print(stdout);
}
END
    "$1" -std=gnu11 -Iinclude "$work/options.c" "$2" -Wl,-rpath,"$(dirname "$2")" \
        -o "$work/options" && "$work/options" | sed 1d | tr -s ' ' >"$work/printed"
    sed -n '/^## Options/,/^## /s/^| `\(.*\) |$/\1/p' README.md | sed 's/` | / /; s/ | / /g' |
        tr -s ' ' >"$work/written"
    diff "$work/printed" "$work/written" && return
    echo 'README.md: its table of options (>) is not what nigh_options_print() prints (<)'
    failed=1
}
[ $# -lt 3 ] || options "$2" "$3"
exit "${failed:-0}"
