// SPDX-License-Identifier: MIT
/*
 * The page. Its colours are variables, which charts use by class: one place decides for both
 * schemes. Each was checked for contrast: text 7:1 or more, what is drawn 3:1 or more.
 */
#include "report/page.h"

#include <stdbool.h>
#include <string.h>

static const char style[] =
    ":root{--back:#fff;--card:#f6f7f9;--text:#1a1f27;--quiet:#4a5361;--line:#cfd5de;"
    "--plain:#7b4fb5;--good:#1f77b4;--bad:#c2560c;--unsure:#7c8694;--mark:#b3123f;"
    "--spread:#1a1f27;"
    "--c0:#1f77b4;--c1:#c2560c;--c2:#2a7f3b;--c3:#7b4fb5;--c4:#a8326f;--c5:#5f6875}\n"
    "@media (prefers-color-scheme:dark){:root{--back:#14171c;--card:#1d2229;--text:#eceff4;"
    "--quiet:#b4bdca;--line:#3c4552;--plain:#b899ec;--good:#5aaeea;--bad:#f0924a;"
    "--unsure:#8d97a5;--mark:#ff7a9c;--spread:#eceff4;"
    "--c0:#5aaeea;--c1:#f0924a;--c2:#6cc47d;--c3:#b899ec;--c4:#ee8fbf;--c5:#aab3c0}}\n"
    ":root{color-scheme:light dark}\n"
    "*{box-sizing:border-box}\n"
    "body{margin:0 auto;padding:16px;max-width:1440px;background:var(--back);color:var(--text);"
    "font:15px/1.45 system-ui,sans-serif}\n"
    "h1{font-size:22px;margin:4px 0 8px}h2{font-size:18px;margin:28px 0 10px;"
    "overflow-wrap:anywhere}code{overflow-wrap:anywhere}h3{font-size:15px;margin:0}\n"
    "p{margin:4px 0 8px;color:var(--quiet);max-width:75ch}\n"
    ".cards{display:grid;align-items:start;gap:14px;grid-template-columns:repeat(auto-fill,"
    "minmax(min(100%,400px),1fr))}\n"
    ".card{background:var(--card);border:1px solid var(--line);border-radius:8px;padding:12px 14px;"
    "margin:0;min-width:0}\n"
    ".card p{font-size:13px;margin:2px 0 8px}\n"
    "svg{display:block;width:100%;max-width:560px;height:auto}\n"
    "text{fill:var(--text);font:11px system-ui,sans-serif}.quiet{fill:var(--quiet)}\n"
    ".group{font-weight:600}.axis,.grid{stroke:var(--line)}.from{stroke:var(--quiet)}\n"
    ".plain{fill:var(--plain)}.good{fill:var(--good)}.bad{fill:var(--bad)}"
    ".unsure{fill:var(--unsure)}\n"
    ".spread{stroke:var(--spread);stroke-width:1.2}.mark{stroke:var(--mark);stroke-width:2}\n"
    "text.marked{fill:var(--mark);font-weight:600}\n"
    ".curve{fill:none;stroke-width:2}\n"
    ".c0{stroke:var(--c0)}.c1{stroke:var(--c1)}.c2{stroke:var(--c2)}.c3{stroke:var(--c3)}"
    ".c4{stroke:var(--c4)}.c5{stroke:var(--c5)}\n"
    ".key{list-style:none;padding:0;margin:8px 0 0;display:flex;flex-wrap:wrap;gap:4px 16px;"
    "font-size:13px}.key svg{display:inline-block;width:26px;height:10px;margin-right:6px;"
    "vertical-align:middle}\n"
    "details{margin:14px 0;border:1px solid var(--line);border-radius:8px;padding:8px 14px}\n"
    "summary{cursor:pointer;font-weight:600}.scroll{overflow-x:auto;margin-top:8px}\n"
    "table{border-collapse:collapse;font-size:13px;white-space:nowrap}\n"
    "td,th{padding:3px 10px;border-bottom:1px solid var(--line);text-align:left}\n"
    "td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}\n";

static const char *escape_of(char c)
{
    switch (c) {
    case '&': return "&amp;";
    case '<': return "&lt;";
    case '>': return "&gt;";
    case '"': return "&quot;";
    case '\'': return "&#39;";
    default: return NULL;
    }
}

static bool is_letter_begin(char c)
{
    return ((unsigned char)c & 0xc0) != 0x80;
}

/* Writes U+FFFE and U+FFFF, which UTF-8 may have and XML may not, and control characters as "?". */
static size_t put_letter(FILE *out, const char *text)
{
    if (strncmp(text, "\xef\xbf\xbe", 3) == 0 || strncmp(text, "\xef\xbf\xbf", 3) == 0) {
        fputc('?', out);
        return 3;
    }
    if (escape_of(*text))
        fputs(escape_of(*text), out);
    else
        fputc((unsigned char)*text < ' ' || *text == 127 ? '?' : *text, out);
    return 1;
}

void page_text_cut(FILE *out, const char *text, size_t most)
{
    size_t letters = 0, at = 0;
    for (size_t i = 0; text[i]; i++)
        letters += is_letter_begin(text[i]);
    bool cut = letters > most;
    for (size_t left = cut ? most - 1 : letters; text[at];) {
        if (is_letter_begin(text[at]) && left-- == 0)
            break;
        at += put_letter(out, text + at);
    }
    if (cut)
        fputs("…", out);
}

void page_text(FILE *out, const char *text)
{
    while (*text)
        text += put_letter(out, text);
}

void page_begin(FILE *out, const char *title)
{
    fputs("<!DOCTYPE html>\n<html xmlns=\"http://www.w3.org/1999/xhtml\" lang=\"en\">\n<head>\n"
          "<meta charset=\"utf-8\"/>\n"
          "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>",
          out);
    page_text(out, title);
    fprintf(out, "</title>\n<style>\n%s</style>\n</head>\n<body>\n<h1>", style);
    page_text(out, title);
    fputs("</h1>\n", out);
}

void page_end(FILE *out)
{
    fputs("</body>\n</html>\n", out);
}
