// SPDX-License-Identifier: MIT
// Text into a limited buffer: what fits is there and ended, the rest is counted; and names of any
// bytes, for people and as JSON.

#include <locale.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "support/check.h"

static struct bytes of(const char *s, size_t len)
{
    return bytes_of(s, len);
}

TEST(what_fits_is_ended_and_the_rest_is_counted)
{
    char buffer[8] = "xxxxxxx";
    struct text w = text_into(buffer, sizeof(buffer));
    text_add(&w, "%s", "abc");
    text_add(&w, "%d", 123456);
    text_add(&w, "!");
    CHECK_EQ(w.needed, 10);
    CHECK(strcmp(buffer, "abc1234") == 0);
    w = text_into(NULL, 100);
    text_add(&w, "%s", "abc");
    CHECK_EQ(w.needed, 3);
}

/* Make a locale with a comma in numbers, and take it. False: localedef has nothing to make it of.
 */
static bool take_comma(const char *folder)
{
    char command[256];
    snprintf(command, sizeof(command),
             "cd %s && printf 'LC_NUMERIC\\ndecimal_point \",\"\\nthousands_sep \"\"\\n"
             "grouping -1\\nEND LC_NUMERIC\\n' >source && "
             "localedef -c -i source -f ANSI_X3.4-1968 --no-archive ./comma >out 2>&1", folder);
    return system(command) >= 0 && setenv("LOCPATH", folder, 1) == 0 &&
           setlocale(LC_NUMERIC, "comma");
}

TEST(numbers_have_a_point_whatever_the_locale)
{
    char folder[] = "/tmp/nigh-text-XXXXXX", command[64], buffer[16], hosts[16];
    REQUIRE(mkdtemp(folder));
    if (take_comma(folder)) {
        struct text w = text_into(buffer, sizeof(buffer));
        text_add(&w, "%.1f", 0.5);
        CHECK(strcmp(buffer, "0.5") == 0);
        snprintf(hosts, sizeof(hosts), "%.1f", 0.5);
        CHECK(strcmp(hosts, "0,5") == 0); /* the host's is as it was */
    }
    setlocale(LC_NUMERIC, "C");
    unsetenv("LOCPATH");
    snprintf(command, sizeof(command), "rm -r %s", folder);
    CHECK_EQ(system(command), 0);
}

TEST(columns_are_characters)
{
    CHECK_EQ(text_columns(""), 0);
    CHECK_EQ(text_columns("abc"), 3);
    CHECK_EQ(text_columns("gr\xc3\xb6\xc3\x9f" "e, 1 \xe2\x82\xac"), 10);
}

TEST(names_of_any_bytes_break_neither_lines_nor_json)
{
    static const struct {
        const char *name;
        size_t len;
        const char *text, *json;
    } rows[] = {
        {"plain", 5, "plain", "\"plain\""},
        {"a\0b", 3, "a\\x00b", "\"a\\u0000b\""},
        {"\n\x1b[2J", 5, "\\x0a\\x1b[2J", "\"\\u000a\\u001b[2J\""},
        {"\"\\", 2, "\"\\x5c", "\"\\u0022\\u005c\""},
        {"\xc3\xa4", 2, "\xc3\xa4", "\"\xc3\xa4\""},
        {"\xc3", 1, "\\xc3", "\"\\u00c3\""},                 /* cut off by the length */
        {"\xe2\x82\xac", 2, "\\xe2\\x82", "\"\\u00e2\\u0082\""}, /* the same, of three */
        {"\xc0\x80", 2, "\\xc0\\x80", "\"\\u00c0\\u0080\""},   /* too long a form */
        {"\xed\xa0\x80", 3, "\\xed\\xa0\\x80", "\"\\u00ed\\u00a0\\u0080\""},
        {"\xf4\x90\x80\x80", 4, "\\xf4\\x90\\x80\\x80", "\"\\u00f4\\u0090\\u0080\\u0080\""},
        {"\xc2\x9b", 2, "\\xc2\\x9b", "\"\\u009b\""},          /* C1: drives terminals */
        {"\xc2\xa0", 2, "\xc2\xa0", "\"\xc2\xa0\""},           /* the first that is none */
        {"", 0, "", "\"\""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char buffer[64] = "";
        struct text w = text_into(buffer, sizeof(buffer));
        text_add_name(&w, of(rows[i].name, rows[i].len));
        CHECK(strcmp(buffer, rows[i].text) == 0);
        w = text_into(buffer, sizeof(buffer));
        text_add_json(&w, of(rows[i].name, rows[i].len));
        CHECK(strcmp(buffer, rows[i].json) == 0);
    }
}
