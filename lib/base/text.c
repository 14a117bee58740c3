// SPDX-License-Identifier: MIT
/*
 * Text into a buffer of limited size, and names whose bytes are somebody else's choice: neither
 * lines, terminals nor JSON break, whatever these hold.
 */
#include "base/text.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PID_WORD "{pid}"

/* Prints as vsnprintf() in the C locale: that of the host may have a comma in numbers, which JSON
 * has not. (This locale is a constant of the C library's: it takes no memory, and is not freed.) */
__attribute__((format(printf, 3, 0))) static int print(char *at, size_t room, const char *fmt,
                                                       va_list args)
{
    locale_t hosts = uselocale(newlocale(LC_ALL_MASK, "C", (locale_t)0));
    int n = vsnprintf(at, room, fmt, args);
    uselocale(hosts);
    return n;
}

void text_add_args(struct text *w, const char *fmt, va_list args)
{
    int n = print(w->room ? w->at : NULL, w->room, fmt, args);
    if (n < 0)
        return;
    size_t wrote = (size_t)n < w->room ? (size_t)n : w->room ? w->room - 1 : 0;
    w->at += wrote;
    w->room -= wrote;
    w->needed += (size_t)n;
}

void text_add(struct text *w, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    text_add_args(w, fmt, args);
    va_end(args);
}

/* Returns the length of the character at `s`, of `left` bytes; 0: it is no well-formed UTF-8
 * (RFC 3629). */
static size_t utf8_len(const unsigned char *s, size_t left)
{
    size_t len = s[0] < 0x80 ? 1 : s[0] < 0xc2 ? 0 : s[0] < 0xe0 ? 2 : s[0] < 0xf0 ? 3 : 4;
    if (len > left)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    bool long_form = len > 2 && ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xf0 && s[1] < 0x90));
    bool surrogate = len > 2 && s[0] == 0xed && s[1] > 0x9f;
    bool beyond = len > 3 && (s[0] > 0xf4 || (s[0] == 0xf4 && s[1] > 0x8f));
    return long_form || surrogate || beyond ? 0 : len;
}

/* Controls of C0 and C1, and DEL: they end lines, or drive terminals. */
static bool is_control(const unsigned char *s, size_t len)
{
    return s[0] < 0x20 || s[0] == 0x7f || (len == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

static void add_escaped(struct text *w, const char *fmt, const unsigned char *s, size_t len)
{
    for (size_t i = 0; i < len; i++)
        text_add(w, fmt, s[i]);
}

void text_add_name(struct text *w, struct bytes name)
{
    const unsigned char *s = name.data, *end = s + name.len;
    while (s < end) {
        size_t len = utf8_len(s, (size_t)(end - s));
        if (len == 0 || is_control(s, len) || *s == '\\')
            add_escaped(w, "\\x%02x", s, len ? len : 1);
        else
            text_add(w, "%.*s", (int)len, (const char *)s);
        s += len ? len : 1;
    }
}

size_t text_columns(const char *text)
{
    size_t columns = 0;
    for (; *text; text++)
        columns += ((unsigned char)*text & 0xc0) != 0x80; /* begins a character of UTF-8 */
    return columns;
}

void text_add_label(struct text *w, struct bytes name)
{
    const unsigned char *s = name.data, *end = s + name.len;
    text_add(w, "\"");
    while (s < end) {
        size_t len = utf8_len(s, (size_t)(end - s));
        if (len == 0 || is_control(s, len) || *s == '\\')
            add_escaped(w, "\\\\x%02x", s, len ? len : 1);
        else
            text_add(w, *s == '"' ? "\\%.*s" : "%.*s", (int)len, (const char *)s);
        s += len ? len : 1;
    }
    text_add(w, "\"");
}

void text_add_json(struct text *w, struct bytes name)
{
    const unsigned char *s = name.data, *end = s + name.len;
    text_add(w, "\"");
    while (s < end) {
        size_t len = utf8_len(s, (size_t)(end - s));
        if (len == 2 && is_control(s, len)) /* of C1: its second byte is its number */
            text_add(w, "\\u%04x", s[1]);
        else if (len == 0 || is_control(s, len) || *s == '"' || *s == '\\')
            text_add(w, "\\u%04x", *s);
        else
            text_add(w, "%.*s", (int)len, (const char *)s);
        s += len ? len : 1;
    }
    text_add(w, "\"");
}

void text_add_path(struct text *w, const char *path)
{
    for (const char *at; (at = strstr(path, PID_WORD)); path = at + strlen(PID_WORD))
        text_add(w, "%.*s%d", (int)(at - path), path, (int)getpid());
    text_add(w, "%s", path);
}
