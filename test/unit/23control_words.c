// SPDX-License-Identifier: MIT
// A line becomes words: quotes, escapes, any bytes; and what is wrong with it.

#include "control/control.h"
#include "support/check.h"

#define MANY 8u

struct row {
    const char *line;
    const char *words; /* joined by '|' */
    const char *wrong;
};

static const struct row rows[] = {
    {"", "", NULL},
    {"  \t ", "", NULL},
    {"stats", "stats|", NULL},
    {" stats\tjson ", "stats|json|", NULL},
    {"get \"a b\"", "get|a b|", NULL},
    {"get a\" \"b", "get|a b|", NULL},
    {"get \"\"", "get||", NULL},
    {"\"\" \"\"", "||", NULL},
    {"k\\x41\\x7c", "kA||", NULL},
    {"a\\ b \\\\ \\\"", "a b|\\|\"|", NULL},
    {"\"\\\"\"", "\"|", NULL},
    {"a\"b", NULL, "a quote is not closed"},
    {"a \\n", NULL, "behind a backslash comes xNN, a backslash, a quote or a blank"},
    {"a \\x4", NULL, "behind a backslash comes xNN, a backslash, a quote or a blank"},
    {"a \\x4g", NULL, "behind a backslash comes xNN, a backslash, a quote or a blank"},
    {"a \\", NULL, "behind a backslash comes xNN, a backslash, a quote or a blank"},
    {"1 2 3 4 5 6 7 8", "1|2|3|4|5|6|7|8|", NULL},
    {"1 2 3 4 5 6 7 8 9", NULL, "too many words"},
};

static void check_row(const struct row *row)
{
    char line[100];
    char joined[100] = "";
    struct bytes words[MANY];
    uint32_t count = 0;
    size_t len = strlen(row->line);
    memcpy(line, row->line, len);
    line[len] = '\n';
    const char *wrong = control_words(line, len, words, MANY, &count);
    for (uint32_t i = 0; i < count; i++) {
        CHECK_EQ(((const char *)words[i].data)[words[i].len], '\0');
        strncat(joined, words[i].data, words[i].len);
        strcat(joined, "|");
    }
    if (!CHECK_STR(wrong, row->wrong) || (!wrong && !CHECK_STR(joined, row->words)))
        check_note("the line was: %s", row->line);
}

TEST(a_line_becomes_words)
{
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        check_row(&rows[i]);
}

TEST(a_word_may_have_any_byte)
{
    struct bytes words[MANY];
    uint32_t count = 0;
    for (unsigned c = 0; c < 256; c++) {
        char line[8];
        memcpy(line, "\\x", 2);
        line[2] = "0123456789abcdef"[c >> 4];
        line[3] = "0123456789ABCDEF"[c & 15];
        line[4] = '\n';
        CHECK_STR(control_words(line, 4, words, MANY, &count), NULL);
        CHECK(count == 1 && words[0].len == 1 && *(const unsigned char *)words[0].data == c);
    }
    char raw[] = "a\0b\xff c\n";
    CHECK_STR(control_words(raw, 6, words, MANY, &count), NULL);
    CHECK_EQ(count, 2);
    CHECK_MEM(words[0].data, words[0].len, "a\0b\xff", 4);
}
