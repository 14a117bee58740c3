#!/bin/bash
# SPDX-License-Identifier: MIT
# Runs the commands of perf/run as their user would: --help, a wrong option, a short load from one
# end to the other, and tune with good and bad logs. A Debug build has to refuse to measure.
#
#   commands.sh FOLDER BUILD_TYPE     FOLDER has the programs
set -u
programs=$1
build=$2
folder=$(mktemp -d "${TMPDIR:-/tmp}/nigh-commands-XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
export TMPDIR=$folder
failures=0

fail() {
    echo "commands: $*" >&2
    failures=$((failures + 1))
}

# try STATUS WORDS COMMAND...: it ends with the status, and says the words.
try() {
    local status=$1 words=$2
    shift 2
    "$programs/perf_$1" "${@:2}" >"$folder/out" 2>&1
    local got=$?
    local said
    said=$(tail -n 3 "$folder/out")
    [ "$got" -eq "$status" ] || fail "$*: ended with $got, not $status: $said"
    grep -qF -- "$words" "$folder/out" || fail "$*: does not say '$words': $said"
}

# measure WORDS COMMAND...: as try 0, but for a Debug build.
measure() {
    if [ "$build" = Debug ]; then
        try 2 'this is a Debug build' "${@:2}"
    else
        try 0 "$@"
    fi
}

# has FILE WORDS: those words are in it.
has() {
    [ "$build" = Debug ] || grep -qF -- "$2" "$1" || fail "${1##*/}: no '$2' in it"
}

for command in 'nodes nodes' 'tune tune' 'load load' 'bench hit' 'bench trace' 'bench peers' \
    'link link' 'link miss' 'link compress' 'lines lines' 'instructions instructions' \
    'report compare' 'report report'; do
    read -r program name <<<"$command"
    [ -x "$programs/perf_$program" ] || continue # has what is not installed
    try 0 "Usage: perf/run" "$program" "$name" --help
    awk 'length > 80 { exit 1 }' "$folder/out" || fail "$name --help: wider than 80 columns"
    try 2 '--wrong' "$program" "$name" --wrong
done
try 2 '--seconds: a value is missing' load load --seconds
try 2 'a number from' load load --seconds ten
try 2 '--log: a value is missing' tune tune --cache "$folder/none" --log
try 2 '--l1-memory 1k: from 4m to ' load load --l1-memory 1k
# What would not be heeded is refused: its user would believe the figures.
try 2 'is what --redis says' load load --set redis.uri=unix:///x.sock
try 2 '--set: wrong=1: no option of this name' load load --set wrong=1

perf=$(cd "$(dirname "$0")/../../perf" && pwd)
"$perf/run" --help >"$folder/out" || fail "perf/run --help fails"
awk 'length > 80 { exit 1 }' "$folder/out" || fail "perf/run --help: wider than 80 columns"

# The page names no command that is not there, and each that is.
there=$(sed -n "/^commands='/,/^'/s/|.*//p" "$perf/run")
for name in $(grep -o 'perf/run [a-z]\+' "$perf/README.md" | sort -u | sed 's,perf/run ,,'); do
    grep -qx -- "$name" <<<"$there" || fail "perf/README.md: there is no command '$name'"
done
for name in $there; do
    grep -q "perf/run $name\|^- \`$name\`\|\[$name\]" "$perf/README.md" ||
        fail "perf/README.md does not name '$name'"
done

# What perf/run says of a command without building it is what its program says.
[ "$(sort <<<"$there")" = "$(ls "$perf/help")" ] || fail "perf/help has not one text per command"
while IFS='|' read -r name program _; do
    [ -n "$program" ] && [ -x "$programs/perf_$program" ] || continue
    "$programs/perf_$program" "$name" --help >"$folder/out"
    NIGH_CACHE=$folder/none "$perf/run" "$name" --help | cmp -s - "$folder/out" ||
        fail "perf/help/$name: renew it by perf_$program $name --help"
done < <(sed -n "/^commands='/,/^'/p" "$perf/run")
[ ! -e "$folder/none" ] || fail "perf/run COMMAND --help builds something"

# Two checkouts do not write one log. Their tools are fakes: nothing is installed, and CMake fails.
mkdir "$folder/fakes"
sed 's/^.* //; /^pc:/d' <<<"$(. "$perf/../cmake/setup.sh" && nigh_packages)" |
    while read -r tool; do
        printf '#!/bin/sh\nexit 0\n' >"$folder/fakes/$tool" && chmod +x "$folder/fakes/$tool"
    done
printf '#!/bin/sh\necho "no CMake"\nexit 1\n' >"$folder/fakes/cmake"
for checkout in one two; do
    mkdir -p "$folder/$checkout/perf" "$folder/$checkout/cmake"
    cp "$perf/run" "$folder/$checkout/perf"
    cp "$perf/../cmake/setup.sh" "$folder/$checkout/cmake"
    NIGH_CACHE=$folder/logs NIGH_BUILD= PATH=$folder/fakes:$PATH "$folder/$checkout/perf/run" \
        >"$folder/$checkout/out" 2>&1 && fail "perf/run: built without a CMake"
done
sed -n 's/.*(log: \(.*\)).*/\1/p' "$folder"/{one,two}/out | sort -u >"$folder/logs/names"
[ "$(wc -l <"$folder/logs/names")" -eq 2 ] || fail "perf/run: two checkouts have one log"
while read -r log; do
    [ -s "$log" ] || fail "perf/run: there is no $log"
done <"$folder/logs/names"

# A build folder is configured anew for another checkout, whose programs it would not have, and once
# there is a program that CMake has looked for in vain.
configuration() {
    NIGH_SOURCE=$1 PATH=$folder/tools /bin/sh -c '. "$0/cmake/setup.sh"; nigh_configuration -DX=1' \
        "$perf/.."
}
mkdir "$folder/tools"
ln -s "$(command -v cat)" "$folder/tools"
before=$(configuration "$perf/..")
[ "$before" = "$(configuration "$perf/..")" ] || fail "nothing has changed, but it configures"
[ "$before" != "$(configuration /other)" ] || fail "another checkout is taken for this one"
ln -s /bin/true "$folder/tools/clang"
[ "$before" != "$(configuration "$perf/..")" ] || fail "clang is there now, and is not looked for"

# A load with two nodes, a Redis, writes and invalidations; how it scales, and how sure that is.
measure 'answered by L1' load load --nodes 2 --threads 1,2 --rounds 2 --seconds 0.3 --keys 500 \
    --origin 200us --mix read=90,write=5,invalidate=5 --json "$folder/load.json"
has "$folder/out" 'of the control        between'
[ "$build" = Debug ] || grep -qE '^ +2 .* [0-9.]+ to [0-9.]+ ' "$folder/out" ||
    fail "load: between what it scales is not said"
[ "$build" = Debug ] || grep -qE '"2 threads", "metric": "scaling".*"baseline": "control".*"low"' \
    "$folder/load.json" || fail "load: how it scales has no interval"
has "$folder/load.json" '"metric": "requests"'
# Two runs are compared by what each round's calls took, which has an interval.
[ "$build" = Debug ] || grep -q '"1 thread, L1", "metric": "p99 of a round".*"rounds": 2.*"low"' \
    "$folder/load.json" || fail "load: a round's latencies are not in it"
# What was asked for is in it, without where it goes.
has "$folder/load.json" '"command": "load --nodes 2 --threads 1,2 --rounds 2 --seconds 0.3 '
has "$folder/load.json" ' --mix read=90,write=5,invalidate=5", "machine": "'
has "$folder/load.json" '"build": "'
has "$folder/load.json" '"case": "1 thread", "metric": "failed", "unit": "count", "value": 0,'
measure 'requests/s are due' load load --redis none --rate 500 --threads 2 --rounds 1 \
    --seconds 0.2 --keys 200 --mix read=100
measure 'a smoke run; its figures mean nothing' load load --quick --seconds 0.1 --origin 100us
has "$folder/out" ' 5,000 keys'
has "$folder/out" 'medians of 5 rounds'
if [ -x "$programs/perf_report" ]; then
    measure 'load.html: 1 picture' load load --redis none --threads 1 --rounds 1 --seconds 0.1 \
        --keys 100 --mix read=100 --html "$folder/load.html"
    has "$folder/load.html" '<svg'
fi

# What waits behind a slow request is as late as it is: one in 25 makes the next one load, for
# 100 ms, and in these some twenty others are due. What a round's end leaves waiting counts, too.
# value FILE CASE METRIC
value() {
    awk -v row="\"case\": \"$2\", \"metric\": \"$3\"" -F '"value": ' \
        'index($0, row) { print int($2) }' "$1"
}
measure 'all, since due' load load --redis none --rate 200 --threads 1 --rounds 1 --seconds 1 \
    --keys 1 --mix read=96,invalidate=4 --origin 100ms --json "$folder/stall.json"
has "$folder/out" '1 node, zipf:0.99 over 1 key, '
[ "$build" = Debug ] || [ "$(value "$folder/stall.json" '1 thread, L1' max)" -gt 50000000 ] ||
    fail "load: a stall of 100 ms is not in the latency of those behind it"
measure 'had not begun' load load --redis none --rate 200 --threads 1 --rounds 1 --seconds 0.2 \
    --keys 1 --mix read=50,invalidate=50 --origin 400ms --arrivals poisson \
    --json "$folder/stall.json"
[ "$build" = Debug ] || [ "$(value "$folder/stall.json" '1 thread' 'not begun')" -gt 0 ] ||
    fail "load: what was due and did not begin is not counted"
has "$folder/out" 'did not keep up, '
# By this seed 79 requests are due where the rate has 100: where each of them began, it kept up.
measure 'all, since due' load load --redis none --rate 200 --threads 1 --rounds 1 --seconds 0.5 \
    --keys 100 --mix read=100 --arrivals poisson --seed 8 --json "$folder/few.json"
[ "$build" = Debug ] || [ "$(value "$folder/few.json" '1 thread' 'not begun')" -gt 0 ] ||
    ! grep -q 'did not keep up' "$folder/out" || fail "load: is behind with what was never due"

# What cannot be written is said before anything is measured; a full disk is no success.
if [ "$build" != Debug ]; then
    try 2 'cannot write /nonexistent/' load load --seconds 3600 --json /nonexistent/figures.json
    try 2 'cannot write /nonexistent/' link link --seconds 3600 --html /nonexistent/page.html
    try 2 'cannot write all of' load load --redis none --threads 1 --rounds 1 --seconds 0.1 \
        --keys 100 --json /dev/full
    "$programs/perf_load" load --redis none --threads 1 --rounds 1 --seconds 0.1 --keys 100 \
        >/dev/full 2>"$folder/out"
    [ $? -eq 2 ] || fail "load: a table that did not get out is a success"
fi

# stopped PROGRAM COMMAND...: by SIGTERM it ends with 130, says so, and leaves no folder.
stopped() {
    mkdir "$folder/tmp"
    TMPDIR=$folder/tmp "$programs/perf_$1" "${@:2}" --json "$folder/never.json" \
        >"$folder/out" 2>&1 &
    local pid=$!
    for _ in {1..600}; do
        [ -z "$(ls "$folder/tmp")" ] || break
        sleep 0.1
    done
    kill "$pid"
    wait "$pid"
    local got=$?
    [ "$got" -eq 130 ] || fail "$*: ended with $got by SIGTERM"
    grep -q 'perf: stopped' "$folder/out" || fail "$*: does not say that it was stopped"
    rmdir "$folder/tmp" || fail "$*: left $(ls "$folder/tmp")"
    [ ! -e "$folder/never.json" ] || fail "$*: left a file of no figures"
}
if [ "$build" != Debug ]; then
    stopped link link --seconds 60
    stopped load load --seconds 60
fi

# What the environment says of nigh is in the figures, so these say it; nobody's Redis is measured,
# and passwords are no figures.
NIGH_CONF=l1.policy=lru measure 'set: l1.policy=lru' load load --redis none --threads 1 --rounds 1 \
    --seconds 0.1 --keys 100 --json "$folder/conf.json"
has "$folder/conf.json" ' --keys 100 (NIGH_CONF=l1.policy=lru)", "machine"'
if [ "$build" != Debug ]; then
    for command in 'link link' 'nodes nodes' 'bench hit'; do
        read -r program name <<<"$command"
        [ -x "$programs/perf_$program" ] || continue
        NIGH_CONF=l1.policy=lru,redis.uri=unix:///nobody try 2 'env -u NIGH_CONF' "$program" "$name"
    done
    NIGH_CONF=trace.file=$folder/theirs try 2 'has trace.file' load load --redis none --quick
    [ ! -e "$folder/theirs" ] || fail "load: wrote to the recording of a server"
fi
if [ -x "$programs/perf_bench" ]; then
    NIGH_CONF=l1.policy=lru measure 'capacity: objects' bench trace \
        --generate keys=2000,requests=9000 --objects 500 --json "$folder/conf.json"
    has "$folder/conf.json" ' --objects 500 (NIGH_CONF=l1.policy=lru)", "machine"'
fi

# A case that is not there was not measured: those that are there are named.
if [ "$build" != Debug ]; then
    try 2 'nothing was measured' link link --only 'no such row'
    has "$folder/out" '  a miss, 16 threads'
    if [ -x "$programs/perf_bench" ]; then
        try 2 '  10k zipf, batch' bench hit --quick --only 1M --json "$folder/never.json"
        has "$folder/out" '--quick leaves the larger ones out'
    fi
    [ ! -e "$folder/never.json" ] || fail "a file of no figures"
fi

# strict FILE: parsers that take no less than JSON take it.
strict() {
    [ "$build" = Debug ] || ! command -v python3 >/dev/null ||
        python3 -m json.tool "$1" >/dev/null || fail "${1##*/} is no JSON"
}
strict "$folder/load.json"

if [ -x "$programs/perf_bench" ]; then
    # A page after several builds of the library, each of which installs liburcu's handlers: these
    # would stop the fork() for ever, if they were installed twice.
    if [ -x "$programs/perf_report" ]; then
        measure 'pictures' bench hit --quick --rounds 1 --only 'features' --html "$folder/hit.html"
    fi
    measure 'aside: the same when limbo was full' bench limbo --quick
    awk 'length > 100 { exit 1 }' "$folder/out" || fail "limbo: wider than 100 columns"
    measure 'the median of the rounds' bench hit --quick --rounds 1 --only features
    measure 'between' bench write --quick --rounds 1 --threads 1 --only '95/5'
    awk 'length > 100 { exit 1 }' "$folder/out" || fail "write: wider than 100 columns"
    # A name that JSON has to escape.
    head -c 8000 "$programs/perf_bench" >"$folder/a \"b\" \\c.t8"
    measure 'capacity: objects' bench trace "$folder/a \"b\" \\c.t8" --objects 50 \
        --json "$folder/trace.json"
    strict "$folder/trace.json"
    # By the same seed the hits are the same.
    for i in 1 2; do
        measure 'belady' bench trace --generate keys=20000,requests=100000 --bytes 1000000
        mv "$folder/out" "$folder/out.$i"
    done
    [ "$build" = Debug ] || cmp -s "$folder/out.1" "$folder/out.2" ||
        fail "trace: the same seed has other hits: $(tail -n 1 "$folder/out.1" "$folder/out.2")"
    # The live curve beside replays.
    measure 'points in all' bench trace --curve --objects 16000 \
        --generate keys=80000,requests=400000 --json "$folder/curve.json"
    has "$folder/curve.json" '"case": "made 16000, 2x", "metric": "curve"'
fi

# A peer that is not in PATH is named, and the others are measured.
mkdir "$folder/path"
for tool in sh redis-server; do
    ln -s "$(command -v "$tool")" "$folder/path"
done
if [ "$build" != Debug ]; then
    PATH=$folder/path "$programs/perf_link" link --only '^GET, 1 thread$' --seconds 0.05 \
        --rounds 1 --json "$folder/link.json" >"$folder/out" 2>&1 || fail "link: without memcached"
    has "$folder/out" '  memcached           not installed'
    has "$folder/link.json" '"baseline": "hiredis"'
    ! grep -q '"baseline": "memcached"' "$folder/link.json" || fail "link: memcached is in PATH"
fi

# compare shows what could be measured of its programs, and fails if nothing could.
# pretend PROGRAM COMMAND...: the last word of the call is the file.
pretend() {
    printf '#!/bin/sh\nfor file; do :; done\n%s\n' "$2" >"$folder/peers/$1"
    chmod +x "$folder/peers/$1"
}
if [ -x "$programs/perf_report" ]; then
    mkdir "$folder/peers"
    cp "$programs/perf_report" "$folder/peers"
    pretend perf_bench 'exit 2'
    pretend perf_link 'cat >"$file" <<END
[{"bench": "link", "case": "GET", "metric": "op/s", "unit": "op/s", "value": 9, "rounds": 5,
  "baseline": "hiredis", "baseline_value": 6, "ratio": 1.5, "low": 1.4, "high": 1.6}]
END'
    programs=$folder/peers try 0 'nigh is better' report compare --json "$folder/peers/hit.json"
    has "$folder/out" 'perf_bench measured nothing, so its peers are missing'
    has "$folder/out" '         memcached (memcached),'
    # Two files: the verdicts are written where --json says, and nothing in common is no success.
    cp "$folder/peers/hit.json" "$folder/peers/more.json"
    try 0 'worse by more than' report compare "$folder/peers/hit.json" "$folder/peers/more.json" \
        --json "$folder/verdicts.json"
    grep -q '"verdict": "within"' "$folder/verdicts.json" || fail 'compare: no verdicts in its JSON'
    # A script learns by the status what is worse, and what nobody can tell is no success.
    try 0 'none of 2 that could be told' report compare "$folder/peers/hit.json" \
        "$folder/peers/more.json" --fail-if-worse 0
    sed 's/"ratio": [0-9.]*/"ratio": 1.2/; s/"low": [0-9.]*/"low": 1.1/
        s/"high": [0-9.]*/"high": 1.3/' "$folder/peers/hit.json" >"$folder/peers/less.json"
    try 0 '0 better and 2 worse by more than' report compare "$folder/peers/hit.json" \
        "$folder/peers/less.json"
    try 1 '   -20.0 %  link: op/s: GET / hiredis' report compare --fail-if-worse 19 \
        "$folder/peers/hit.json" "$folder/peers/less.json"
    try 0 'none of 2 that could be told' report compare --fail-if-worse 21 \
        "$folder/peers/hit.json" "$folder/peers/less.json"
    sed 's/"rounds": 5/"rounds": 4/' "$folder/peers/less.json" >"$folder/peers/few.json"
    try 2 'of no figure can be told' report compare --fail-if-worse 19 \
        "$folder/peers/hit.json" "$folder/peers/few.json"
    try 2 'than what?' report compare --fail-if-worse 5
    "$programs/perf_report" compare "$folder/peers/hit.json" "$folder/peers/less.json" \
        >/dev/full 2>"$folder/out"
    [ $? -eq 2 ] || fail "compare: a table that did not get out is a success"
    sed 's/"GET"/"SET"/' "$folder/peers/hit.json" >"$folder/peers/more.json"
    try 2 'no figure in common' report compare "$folder/peers/hit.json" "$folder/peers/more.json"
    try 2 'nothing is measured' report compare --quick "$folder/peers/hit.json" \
        "$folder/peers/hit.json"
    rm "$folder/peers/perf_link"
    programs=$folder/peers try 2 'perf_link is not built' report compare
fi

# What compression saves, of files; one that is too small to be a page is not among them.
mkdir "$folder/pages" "$folder/none"
for i in 1 2 3; do
    seq $i 500 >"$folder/pages/$i"
done
echo small >"$folder/pages/small"
measure 'read, 1 to 2 KiB' link compress --dir "$folder/pages" --seconds 0.05 --rounds 1 \
    --json "$folder/compress.json"
has "$folder/out" '1 to 2 KiB              3'
has "$folder/compress.json" '"metric": "in Redis", "unit": "bytes a page"'
[ "$build" = Debug ] || try 2 'no pages of 1 KiB' link compress --dir "$folder/none"

# Logs: good lines with garbage between them, none at all, and a trace that ends too soon.
for i in {1..2000}; do
    key=$((i * i % 251 * (i % 3)))
    at=$(printf '10:%02d:%02d' $((i / 60)) $((i % 60)))
    echo "h - - [29/Nov/2026:$at +0000] \"GET /p/$key HTTP/1.1\" 200 $((500 + key * 20))"
    [ $((i % 500)) -ne 7 ] || echo 'no request at all'
done >"$folder/access.log"
: >"$folder/empty.log"
head -n 1 "$folder/access.log" >"$folder/one.log"
head -c 1000 "$folder/access.log" | tr '[:print:]' '\001' >"$folder/cut.oracleGeneral"
measure 'NIGH_CONF=l1.memory=4m' tune tune --log "$folder/access.log" --rounds 2 \
    --round-time 5ms --ttl 60s --json "$folder/tune.json"
has "$folder/tune.json" '"metric": "NIGH_CONF", "unit": "text", "value": null, "text": "l1.mem'
strict "$folder/tune.json"
has "$folder/out" '4 of 2,004 lines are no requests; first: line 8'
has "$folder/out" '"no request at all"'
has "$folder/out" 'values live 60 s; exact LRU: computed. The right two: of lfu.'
has "$folder/out" 'exact LRU   loads of 1,000   a doubling saves'
has "$folder/out" '          lfu: o replayed   K the knee'
[ "$build" = Debug ] || ! grep -vF "$folder" "$folder/out" | grep -n '.\{81,\}' ||
    fail "tune: wider than 80 columns"
if [ "$build" != Debug ]; then
    try 2 'is it a log' tune tune access.log
    # What would not be heeded is refused: its user would believe the figures.
    try 2 '--log and --shape: one of' load load --log "$folder/access.log" --shape scan
    try 2 'is what --log says' load load --log "$folder/access.log" --size 10k
    try 2 'at which --rate?' load load --arrivals poisson
    try 2 'is empty' tune tune --log "$folder/empty.log"
    try 2 'is cut off' tune tune --trace "$folder/cut.oracleGeneral"
    try 2 'no access log' tune tune --log "$0"
    gzip -c "$folder/access.log" >"$folder/access.log.gz"
    try 2 'access.log.gz | before the command, and - in the place of the file' \
        tune tune --log "$folder/access.log.gz"
    try 2 'none of 1 is for a key that was there before' tune tune --log "$folder/one.log"
    try 2 'is a device' tune tune --log /dev/zero
    sed 's/ [0-9]*$/ 3000000/; s/^h/films.example:80 h/' "$folder/access.log" >"$folder/films.log"
    try 2 'are for values above 1 MiB' tune tune --log "$folder/films.log"
    try 0 'as recorded (2,000 of 2,000 cut to 1 MiB)' load load --log "$folder/films.log" --quick \
        --redis none --threads 1 --rounds 1 --seconds 0.1
    try 0 ',space.value_max=4m' tune tune --log "$folder/films.log" --value-max 4m --rounds 1 \
        --round-time 5ms --memory-max 64m
    has "$folder/out" '2,000 of the requests name their site (films.example:80),'
fi
[ "$failures" -eq 0 ]
