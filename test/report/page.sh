#!/bin/bash
# SPDX-License-Identifier: MIT
# Opens a page of perf/run report as a reader would, on a screen and on a phone, by day and by
# night, and looks at what is drawn: the colours of the charts are there, the background is that of
# the scheme, and nothing is wider than the screen.
#
#   page.sh PERF_REPORT FOLDER     FOLDER has results
#
# Chromium judges its own picture, in a page that has it: nobody else here can read a PNG. Exit
# status 77 (skipped): there is no Chromium, or it opens nothing, not even an empty page.
set -u
report=$1
results=$2
folder=$(mktemp -d "${TMPDIR:-/tmp}/nigh-page-XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT
failures=0

fail() {
    echo "page: $*" >&2
    failures=$((failures + 1))
}

"$report" report "$results"/pictures.json "$results"/now.json "$results"/job.json \
    --html "$folder/page.html" || exit 1
if command -v xmllint >/dev/null; then
    xmllint --noout "$folder/page.html" || fail "it is not well-formed"
fi
if "$report" compare "$results/page.sh" "$results/now.json" 2>"$folder/err"; then
    fail "a script was taken for results"
fi
grep -q 'page.sh: no JSON' "$folder/err" || fail "no word about a file that is no JSON"

browser=$(command -v chromium || command -v chromium-browser || command -v google-chrome) || {
    [ "$failures" -eq 0 ] || exit 1
    echo "there is no Chromium here"
    exit 77
}

# browse ARGUMENT...: a profile each, for what was left by one must not stop another.
browse() {
    mkdir -p "$folder/profile"
    timeout 120 "$browser" --headless=new --no-sandbox --disable-gpu --disable-dev-shm-usage \
        --hide-scrollbars --no-first-run --user-data-dir="$folder/profile" "$@" 2>"$folder/err"
    local status=$?
    rm -rf "$folder/profile"
    return $status
}

# The script in a page that has a picture, which says which of the colours it has, how many others
# there are, and the one in its corner.
judge() {
    cat <<END
<!DOCTYPE html><html><body><img id="i" src="data:image/png;base64,$(base64 -w0 "$1")"><script>
const hex = (d, p) => '#' + [d[p], d[p + 1], d[p + 2]].map(
    v => v.toString(16).padStart(2, '0')).join('');
const i = document.getElementById('i');
i.onload = () => {
    const c = document.createElement('canvas');
    c.width = i.naturalWidth; c.height = i.naturalHeight;
    const g = c.getContext('2d'); g.drawImage(i, 0, 0);
    const d = g.getImageData(0, 0, c.width, c.height).data, seen = {};
    for (let p = 0; p < d.length; p += 4) {
        const n = hex(d, p);
        seen[n] = (seen[n] || 0) + 1;
    }
    document.body.innerHTML = '<pre>width ' + c.width + ' corner ' + hex(d, 0) + ' colours ' +
        Object.keys(seen).filter(n => seen[n] >= 12).join(' ') + ' end</pre>';
};
</script></body></html>
END
}

# look WIDTH SCHEME BACKGROUND COLOUR...: what is missing is missed at the second look only, for a
# browser that is slow may show what it has not yet finished.
look() {
    local width=$1 scheme=$2 back=$3 seen missing=()
    shift 3
    browse "--blink-settings=preferredColorScheme=$([ "$scheme" = dark ] && echo 0 || echo 1)" \
        "--window-size=$width,2400" --screenshot="$folder/shot.png" "file://$folder/page.html" \
        >/dev/null && [ -s "$folder/shot.png" ] || return 1
    judge "$folder/shot.png" >"$folder/judge.html"
    seen=$(browse --virtual-time-budget=20000 --dump-dom "file://$folder/judge.html" |
        grep -o 'width .* end') || return 1
    rm -f "$folder/shot.png"
    case $seen in *"corner $back "*) ;; *) missing+=("not on $back: ${seen:0:80}") ;; esac
    for colour; do
        case $seen in
            *" $colour "*) ;;
            *) missing+=("nothing is drawn in $colour") ;;
        esac
    done
    [ ${#missing[@]} -eq 0 ] || [ "$attempt" -eq 2 ] || return 1
    for what in "${missing[@]}"; do
        fail "$width $scheme: $what"
    done
    return 0
}

# Says how much wider than a phone the page is.
overflow() {
    sed 's|</body>|<script>document.title = "over " + (document.documentElement.scrollWidth - \
innerWidth) + " end"</script></body>|' "$folder/page.html" >"$folder/wide.html"
    browse --window-size=500,900 --dump-dom "file://$folder/wide.html" | grep -o 'over [-0-9]* end'
}

# once_more COMMAND...: a browser that has no time or memory is no fault of the page.
once_more() {
    attempt=1
    "$@" || { attempt=2 && "$@"; } || {
        [ "$failures" -eq 0 ] || exit 1
        echo "Chromium opens nothing here: $(tail -n 1 "$folder/err")"
        exit 77
    }
}

once_more look 1280 light '#ffffff' '#1f77b4' '#c2560c' '#b3123f' '#f6f7f9'
once_more look 390 dark '#14171c' '#5aaeea' '#f0924a' '#ff7a9c' '#1d2229'
over=$(once_more overflow) || {
    status=$?
    echo "$over"
    exit $status
}
case $over in "over 0 end" | "over -"*) ;; *) fail "it is wider than a phone: $over" ;; esac
[ "$failures" -eq 0 ]
