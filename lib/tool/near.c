// SPDX-License-Identifier: MIT
/*
 * What a word may have meant that names nothing: a name that is mistyped or cut short, or one whose
 * meaning has the word. `nigh why` finds explain, for it says "why it misses".
 */
#include "tool/tool.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

#define WORD_MAX 20u /* no name is longer */
#define LEAST 3u     /* letters: fewer begin any word */

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

/* Returns how many letters have to be changed, added, left out, or swapped with the next.
 * Source: Damerau-Levenshtein distance, without a second edit of what was swapped. */
static size_t edits(const char *a, size_t a_len, const char *b, size_t b_len)
{
    size_t rows[WORD_MAX + 1][WORD_MAX + 1];
    for (size_t i = 0; i <= a_len; i++) {
        for (size_t j = 0; j <= b_len; j++) {
            bool ends = i == 0 || j == 0;
            rows[i][j] = ends ? i + j : rows[i - 1][j - 1] + (a[i - 1] != b[j - 1]);
            if (ends)
                continue;
            rows[i][j] = least(rows[i][j], 1 + least(rows[i - 1][j], rows[i][j - 1]));
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                rows[i][j] = least(rows[i][j], 1 + rows[i - 2][j - 2]);
        }
    }
    return rows[a_len][b_len];
}

/* Whether a word of the text begins so. */
static bool has_beginning(const char *text, const char *word, size_t len)
{
    for (const char *at = text; *at; at++)
        if ((at == text || !isalnum((unsigned char)at[-1])) && strncasecmp(at, word, len) == 0)
            return true;
    return false;
}

bool near_to(const char *word, const char *name, const char *meaning)
{
    size_t len = strlen(word), name_len = strlen(name);
    if (len < LEAST || len > WORD_MAX || name_len > WORD_MAX)
        return false;
    return has_beginning(name, word, len) || has_beginning(meaning, word, len) ||
           edits(word, len, name, name_len) <= len / LEAST;
}
