// SPDX-License-Identifier: MIT
/*
 * Takes a line apart into words, in place.
 *
 * A word is written where it was read from, or before: an escape and a quote are longer than what
 * they stand for. Behind each word is at least the byte that ended it, so there is room for its
 * NUL.
 */
#include "control/control.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20; /* as a lower-case letter */
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Reads what follows a backslash. Returns how many bytes that were, 0: nothing that is known. */
static size_t read_escape(const char *at, size_t left, char *ret)
{
    if (left >= 3 && at[0] == 'x' && digit_of(at[1]) >= 0 && digit_of(at[2]) >= 0) {
        *ret = (char)(digit_of(at[1]) << 4 | digit_of(at[2]));
        return 3;
    }
    if (left == 0 || (at[0] != '\\' && at[0] != '"' && !is_blank(at[0])))
        return 0;
    *ret = at[0];
    return 1;
}

/* Reads the word that begins at *at. Returns its length, < 0: wrong, as *why says. */
static ssize_t read_word(char *line, size_t len, size_t *at, const char **why)
{
    char *out = line + *at;
    size_t start = *at;
    size_t n = 0;
    size_t i = start;
    bool quoted = false;
    for (; i < len && (quoted || !is_blank(line[i])); i++) {
        if (line[i] == '"') {
            quoted = !quoted;
        } else if (line[i] == '\\') {
            size_t took = read_escape(line + i + 1, len - i - 1, &out[n]);
            if (took == 0) {
                *why = "behind a backslash comes xNN, a backslash, a quote or a blank";
                return -1;
            }
            i += took;
            n++;
        } else {
            out[n++] = line[i];
        }
    }
    if (quoted) {
        *why = "a quote is not closed";
        return -1;
    }
    *at = i < len ? i + 1 : len;
    out[n] = '\0';
    return (ssize_t)n;
}

const char *control_words(char *line, size_t len, struct bytes *words, uint32_t words_max,
                          uint32_t *ret_count)
{
    const char *why = NULL;
    uint32_t count = 0;
    for (size_t at = 0; at < len;) {
        if (is_blank(line[at])) {
            at++;
            continue;
        }
        char *word = line + at;
        ssize_t n = read_word(line, len, &at, &why);
        if (n < 0)
            return why;
        if (count == words_max)
            return "too many words";
        words[count++] = bytes_of(word, (size_t)n);
    }
    *ret_count = count;
    return NULL;
}
