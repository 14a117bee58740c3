# SPDX-License-Identifier: MIT
# Makes a manual page of one public header: awk -v version=V -v date=D -f man.awk HEADER >PAGE.3
#
# A header's first comment becomes DESCRIPTION, each comment with two asterisks the text of the
# function (or callback type) that it stands above, everything else TYPES AND CONSTANTS: structs,
# enums and macros, too, with however many asterisks.
# A title ("---- what the answer carries ----") begins a section. Plain roff with the man macros,
# made by what every awk can.

# ---- roff ----

function escape(s) {
    gsub(/\\/, "\\e", s)
    gsub(/\^/, "\\(ha", s)
    gsub(/~/, "\\(ti", s)
    gsub(/`/, "\\(ga", s)
    return s
}
# A line that roff must not take for a request.
function guard(s) { return s ~ /^[.']/ ? "\\&" s : s }
function code(s) {
    s = escape(s)
    gsub(/-/, "\\-", s)
    gsub(/'/, "\\(aq", s)
    return guard(s)
}
# Prose: names of calls and constants are bold, options of commands have real minus signs.
function prose(s,    done, word) {
    s = escape(s)
    gsub(/ -/, " \\-", s)
    while (match(s, /(nigh_[a-z0-9_]+|NIGH_[A-Z0-9_]+)/)) {
        word = substr(s, RSTART, RLENGTH)
        done = done substr(s, 1, RSTART - 1) "\\fB" word "\\fP"
        s = substr(s, RSTART + RLENGTH)
    }
    return guard(done s)
}
function upper(s) { return toupper(substr(s, 1, 1)) substr(s, 2) }
function put(line) { out[section] = out[section] line "\n" }
function paragraph() { if (out[section] != "") put(".PP") } # a section begins with one
function begin(title) {
    section = title
    if (!(title in out)) {
        order[++sections] = title
        out[title] = ""
    }
}

# ---- text of a comment ----

# Ends what is open: a block of code, a list.
function close_block() {
    if (in_code) put(".fi\n.RE")
    in_code = 0
}
function tag(name, text) {
    close_block()
    put(".TP 10")
    put(name)
    if (text != "") put(prose(text))
    in_list = 1
}
# One line of a comment, without its asterisk. Its form decides: see the cases.
function text_line(s,    name) {
    if (s ~ /^@param /) {
        sub(/^@param +/, "", s)
        match(s, /^[a-z0-9_]+(, [a-z0-9_]+)*/)
        name = substr(s, 1, RLENGTH)
        s = substr(s, RLENGTH + 1)
        sub(/^ +/, "", s)
        tag("\\fI" name "\\fP", s)
    } else if (s ~ /^(Returns|Errors|Threads|Blocks|Owns) /) {
        name = s
        sub(/ .*/, "", name)
        sub(/^[A-Z][a-z]+ +/, "", s)
        tag("\\fB" name "\\fP", s)
    } else if (s ~ /^- /) {
        close_block()
        put(".IP \\(bu 2")
        put(prose(substr(s, 3)))
        in_list = 1
    } else if (s ~ /^    / && !in_list) {
        if (!in_code) put(".RS 4\n.nf")
        in_code = 1
        put(code(substr(s, 5)))
    } else if (s ~ /^  ? ?[^ ].*   +[^ ]/ && !in_code) {
        sub(/^ +/, "", s)
        match(s, /   +/)
        name = substr(s, 1, RSTART - 1)
        s = substr(s, RSTART + RLENGTH)
        tag(prose(name), s)
    } else if (s == "") {
        close_block()
        in_list = 0
        pending = 1
    } else {
        close_block()
        if (s !~ /^ / && in_list) {
            in_list = 0
            put(".PP")
        }
        sub(/^ +/, "", s)
        put(prose(s))
    }
}
# All lines of the comment gathered.
function text_all(    i) {
    in_list = in_code = pending = 0
    for (i = 1; i <= lines; i++) {
        if (pending && text[i] != "" && text[i] !~ /^(@param|- |(Returns|Errors|Threads|Blocks|Owns) )/)
            put(".PP")
        if (text[i] != "") pending = 0
        text_line(text[i])
    }
    close_block()
}

# ---- code ----

function code_line(s) {
    if (!in_types_code) {
        paragraph()
        put(".nf")
    }
    in_types_code = 1
    put(code(s))
}
function end_code() {
    if (in_types_code) put(".fi")
    in_types_code = 0
}
# The comment gathered goes before a type or a constant.
function describe() {
    begin(types)
    end_code()
    paragraph()
    text_all()
}
# A declaration with its documentation: joined into one line, its name found, filed.
function declare(s,    name) {
    gsub(/[ \t]+/, " ", s)
    sub(/^ /, "", s)
    name = s
    if (s ~ /^typedef/) {
        sub(/.*\(\*/, "", name)
        sub(/\).*/, "", name)
    } else {
        sub(/\(.*/, "", name)
        sub(/.*[ *]/, "", name)
        synopsis = synopsis ".PP\n" prototype(s) "\n"
        if (name != page) names = names ", " name
    }
    begin(functions)
    put(".SS " name)
    put(prototype(s))
    put(".PP")
    text_all()
}
# On one line, or one line for each parameter.
function prototype(s) {
    if (length(s) > 68) gsub(/, /, ",\n    ", s)
    return ".nf\n\\fB" code(s) "\\fP\n.fi"
}

BEGIN {
    functions = "FUNCTIONS"
    types = "TYPES AND CONSTANTS"
    header = ARGV[1]
    sub(/.*\//, "", header)
    page = header == "nigh.h" ? "nigh" : "nigh_" substr(header, 1, length(header) - 2)
}

# A comment that fills lines of its own.
state == "" && /^\/\*/ {
    documents = /^\/\*\*/
    sub(/^\/\*+ ?/, "")
    lines = 0
    state = "comment"
    if (/\*\/$/) {
        sub(/ *\*\/$/, "")
        one_line = 1
    } else if ($0 == "") next
}
state == "comment" {
    if (/^ *\*\/$/ || one_line) {
        if (one_line) text[++lines] = $0
        state = ""
        one_line = 0
        if (text[1] ~ /^(SPDX|clang-format )/) next
        if (text[1] ~ /^---- .* ----$/) {
            gsub(/ ?---- ?/, "", text[1])
            functions = toupper(text[1])
            next
        }
        if (!described) { # the header's own
            described = 1
            title = text[1]
            for (i = 2; i <= lines && text[i] != ""; i++) title = title " " text[i]
            begin("DESCRIPTION")
            text_all()
        } else if (documents) {
            state = "declaration"
            declaration = ""
        } else describe()
        next
    }
    sub(/^ \* ?/, "")
    closes = sub(/ *\*\/$/, "")
    text[++lines] = $0
    if (closes) { # text ends on the line of the closing
        one_line = 0
        state = ""
        describe()
    }
    next
}
state == "declaration" && (/^#define/ || /[{]/) { # or of a struct: no page is named after these
    state = ""
    describe()
}
state == "declaration" {
    declaration = declaration " " $0
    if (/;/) {
        state = ""
        declare(declaration)
    }
    next
}

# Directives that say nothing to a reader.
/^#define X\(/ { next }
/^#(ifndef|ifdef|endif|pragma|include|undef)/ || /^extern "C"/ || /^}$/ && !depth { next }
/^#define NIGH_[A-Z]+_H$/ { next }
/^$/ && !depth && !continues { end_code(); next }

# A table of names, numbers and meanings.
/^#define [A-Z_]+\(X\)/ { in_table = 1; begin(types); end_code(); next }
in_table {
    if (match($0, /X\([A-Z_]+, -?[0-9]+, "/)) {
        s = substr($0, RSTART + 2, RLENGTH - 2)
        rest = substr($0, RSTART + RLENGTH)
        sub(/"\).*/, "", rest)
        split(s, cell, ", ")
        put(".TP 10\n\\fB" cell[1] "\\fP (" code(cell[2]) ")")
        put(prose(rest))
    }
    if (!/\\$/) in_table = 0
    next
}
{
    begin(types)
    code_line($0)
    opened = gsub(/[{]/, "{")
    depth += opened - gsub(/[}]/, "}")
    continues = /\\$/
    if (!depth && !continues) {
        if (!/^#define/) end_code()
    }
}

END {
    sub(/^nigh: /, "", title)
    sub(/: .*/, "", title)
    sub(/\.( .*)?$/, "", title)
    print ".\\\" Made from include/nigh/" header ": do not edit."
    print ".TH " toupper(page) " 3 \"" date "\" \"nigh " version "\" \"nigh\""
    print ".nh\n.ad l" # names of functions stay whole
    print ".SH NAME"
    print page names " \\- " tolower(substr(title, 1, 1)) prose(substr(title, 2))
    print ".SH SYNOPSIS\n.nf\n\\fB#include <nigh/" header ">\\fP\n.fi\n" synopsis
    print ".PP\nLink with \\fI\\-lnigh\\fP."
    for (i = 1; i <= sections; i++)
        if (order[i] != types) printf ".SH %s\n%s", order[i], out[order[i]]
    if (types in out) printf ".SH %s\n%s", types, out[types]
}
