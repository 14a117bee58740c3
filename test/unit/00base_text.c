// SPDX-License-Identifier: MIT
// Text into a limited buffer: what fits is there and ended, the rest is counted; and names of any
// bytes, for people and as JSON.

#include "base/base.h"
#include "support/comma.h"

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

TEST(numbers_have_a_point_whatever_the_locale)
{
    struct comma comma;
    char buffer[16], hosts[16];
    if (comma_take(&comma)) {
        struct text w = text_into(buffer, sizeof(buffer));
        text_add(&w, "%.1f", 0.5);
        CHECK(strcmp(buffer, "0.5") == 0);
        snprintf(hosts, sizeof(hosts), "%.1f", 0.5);
        CHECK(strcmp(hosts, "0,5") == 0); /* the host's is as it was */
    }
    comma_leave(&comma);
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
