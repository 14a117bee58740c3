// SPDX-License-Identifier: MIT
// What the program nigh makes of the answers of several processes: quantiles of what has come
// since, and hot keys added up; lines of a terminal's width; and that no answer, however odd,
// breaks it.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "tool/tool.h"

static struct json *read(const char *text)
{
    struct json *j = json_read(text);
    REQUIRE(j);
    return j;
}

TEST(numbers_and_strings_are_found_by_their_path)
{
    struct json *j = read("{\"a\": 1.5, "
                          "\"b\": {\"c\": \"x\\u00e9\\\"\", \"d\": [1, [2], {\"e\": 3}]}, "
                          "\"f\": {\"g\": {\"h\": true}}, \"n\": null}");
    CHECK_EQ(json_number(j, "a", NULL, NULL) * 10, 15);
    CHECK_STR(json_string(j, "b", "c", NULL), "x\xc3\xa9\"");
    CHECK_EQ(json_number(j, "f", "g", "h"), 1);
    CHECK_EQ(json_number(j, "f", "g", NULL), 0);
    CHECK_STR(json_name(j, "b", 1), "d");
    CHECK(json_name(j, "b", 2) == NULL);
    json_free(j);
}

TEST(what_is_no_json_is_refused)
{
    static const char *const wrong[] = {"", "{", "{\"a\"}", "{\"a\": }", "[1", "\"a", "\"\\",
                                        "{\"a\": \"\\u12\"", "{\"a\": \"\\u", "nul", "{\"a\": [}"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        if (!CHECK(json_read(wrong[i]) == NULL))
            check_note("%s", wrong[i]);
}

/* One path is there often, others lie beside it in any order, and a name may be none. */
TEST(the_items_of_a_path_are_found_among_all_others)
{
    static char text[65536];
    char name[16];
    char *at = stpcpy(text, "{\"z\": 1, \"s\": {");
    for (unsigned i = 0; i < 500; i++)
        at += sprintf(at, "%s\"n%u\": {\"v\": %u, \"w\": [{\"k\": %u}, {\"k\": 7}]}", i ? ", " : "",
                      i * 7919 % 500, i, i);
    strcpy(at, "}, \"\": 3, \"a\": \"\\u00E9\\u+123\"}");
    struct json *j = read(text);
    for (unsigned i = 0; i < 500; i++) {
        sprintf(name, "n%u", i * 7919 % 500);
        CHECK_EQ(json_number(j, "s", name, "v"), i);
        CHECK_STR(json_name(j, "s", i), name);
    }
    CHECK_EQ(json_number(j, "z", NULL, NULL), 1);
    CHECK_EQ(json_number(j, "", NULL, NULL), 3);
    CHECK_EQ(json_number(j, "s", "n500", "v"), 0);
    CHECK_EQ(json_sum(j, "s", "v"), 499 * 500 / 2);
    CHECK_EQ(json_sum(j, "s", "n0") + json_sum(j, "a", "v"), 0);
    CHECK_EQ(json_number(j, "s", NULL, NULL), 0);
    CHECK_STR(json_string(j, "a", NULL, NULL), "\xc3\xa9u+123"); /* no digits */
    json_free(j);
}

#define HISTOGRAM(buckets)                                                                         \
    "{\"spaces\": {\"s\": {\"h\": {\"count\": 9, \"buckets\": [" buckets "]}}}}"

TEST(a_quantile_is_of_what_has_come_since)
{
    struct json *before = read(HISTOGRAM("[10, 1000], [40, 5]"));
    struct json *now = read(HISTOGRAM("[10, 1000], [20, 98], [40, 6], [80, 1]"));
    struct json *empty = read(HISTOGRAM(""));
    CHECK_EQ(json_quantile_since(before, now, "s", "h", 0.5), 20);
    CHECK_EQ(json_quantile_since(before, now, "s", "h", 0.98), 40);
    CHECK_EQ(json_quantile_since(before, now, "s", "h", 0.99), 80);
    CHECK_EQ(json_quantile_since(empty, before, "s", "h", 0.99), 10);
    CHECK_EQ(json_quantile_since(now, now, "s", "h", 0.99), 0);
    CHECK_EQ(json_quantile_since(now, before, "s", "h", 0.99), 0); /* it has begun anew */
    CHECK_EQ(json_quantile_since(before, now, "t", "h", 0.99), 0);
    json_free(empty);
    json_free(now);
    json_free(before);
}

#define KEY(name, rate) "{\"key\": \"" name "\", \"cut\": false, \"rate\": " rate ", \"error\": 1}"
#define HOT(hits, misses, changes, groups)                                                         \
    "{\"spaces\": {\"s\": {\"hits\": [" hits "], \"misses\": [" misses "], \"changes\": [" changes \
    "]}}, \"groups\": [" groups "]}"
#define GROUP(name, rate)                                                                          \
    "{\"kind\": \"tag\", \"name\": \"" name "\", \"rate\": " rate ", \"error\": 1}"

static void check_text(char *text, const char *wanted)
{
    CHECK_STR(text ? text : "", wanted);
    free(text);
}

TEST(hits_of_processes_add_up_and_changes_are_heard_by_each)
{
    struct json *of[3] = {
        read(HOT(KEY("a", "8") ", " KEY("b", "9"), KEY("m", "2"), KEY("c", "5"), GROUP("t", "4"))),
        NULL, /* has not answered */
        read(HOT(KEY("a", "4") ", " KEY("n", "0.5"), "", KEY("c", "6"), GROUP("t", "5"))),
    };
    check_text(hot_table(of, 3, "s", 60, 9),
               "   hits/s            misses/s           changes/s\n"
               "     12.0 a              2.00 m              6.00 c\n"
               "     9.00 b\n");
    check_text(hot_table(of, 3, "s", 60, 2),
               "   hits/s            misses/s           changes/s\n"
               "     12.0 a              2.00 m              6.00 c\n");
    check_text(hot_table(of, 3, "s", 60, 1), "");
    check_text(hot_table(of, 3, "none", 60, 9), "");
    check_text(hot_groups(of, 3, 80), "changes  5.00/s tag t\n");
    json_free(of[0]);
    json_free(of[2]);
}

/* Who invalidates by tags has no keys that change. */
TEST(a_list_without_keys_leaves_its_room_to_the_others)
{
    struct json *of[1] = {read(HOT(KEY("a key of thirteen", "9"), KEY("m", "2"), "", ""))};
    check_text(hot_table(of, 1, "s", 60, 9),
               "   hits/s                      misses/s\n"
               "     9.00 a key of thirteen        2.00 m\n");
    json_free(of[0]);
    of[0] = read(HOT("", "", KEY("c", "3"), GROUP("t", "4")));
    check_text(hot_table(of, 1, "s", 60, 9),
               "changes/s\n"
               "     3.00 c\n");
    json_free(of[0]);
}

#define EVEN(rate, share)                                                                          \
    "{\"spaces\": {\"s\": {\"hits\": [], \"misses\": [], \"changes\": [], "                        \
    "\"rates\": {\"misses\": " rate "}, \"shares\": {\"misses\": " share "}}}}"

TEST(misses_that_are_spread_evenly_are_told_in_words)
{
    struct json *of[2] = {read(EVEN("1000", "0.01")), read(EVEN("3000", "0.002"))};
    check_text(hot_table(of, 2, "s", 78, 9),
               " misses/s\n"
               " none above 1 in 250\n"); /* 16 of 4000 */
    struct json *few = read(EVEN("2", "0.9")); /* nobody can tell */
    check_text(hot_table(&few, 1, "s", 78, 9), "");
    json_free(few);
    few = read(EVEN("1e300", "1e-300")); /* more than any number of keys */
    check_text(hot_table(&few, 1, "s", 78, 9),
               " misses/s\n"
               " none above 1 in 99999999\n");
    json_free(few);
    json_free(of[0]);
    json_free(of[1]);
}

/* Of each process as many as it tells, the hottest by far in the last. */
TEST(many_keys_of_many_processes_are_all_looked_at)
{
    struct json *of[9];
    static char text[8192];
    for (unsigned p = 0; p < 9; p++) {
        char *at = stpcpy(text, "{\"spaces\": {\"s\": {\"hits\": [");
        for (unsigned k = 0; k < 64; k++)
            at += sprintf(at, "%s{\"key\": \"p%uk%u\", \"rate\": %u, \"error\": 1}", k ? ", " : "",
                          p, k, p == 8 && k == 63 ? 99 : 2);
        strcpy(at, "]}}}");
        of[p] = read(text);
    }
    check_text(hot_table(of, 9, "s", 60, 2),
               "   hits/s\n     99.0 p8k63\n");
    for (unsigned p = 0; p < 9; p++)
        json_free(of[p]);
}

TEST(groups_of_any_rate_fit_their_line)
{
    struct json *of[1] = {read(HOT("", "", "",
        GROUP("a-tag-of-more-than-twenty", "12345678") ", " GROUP("b", "23456") ", "
        GROUP("c", "5") ", " GROUP("d-that-has-no-room-here", "4")))};
    check_text(hot_groups(of, 1, 80),
               "changes  12345678/s tag a-tag-of-more-than-t  23456/s tag b  5.00/s tag c\n");
    json_free(of[0]);
}

TEST(names_fit_their_columns_and_move_no_terminal)
{
    struct json *of[1] = {read(HOT(KEY("\\u001b[2J\\u009b", "5"), KEY("\xc3\xa9\xc3\xa9", "4"),
                                   KEY("123456789012", "3"), ""))};
    check_text(hot_table(of, 1, "s", 60, 9),
               "   hits/s            misses/s           changes/s\n"
               "     5.00 ?[2J?          4.00 \xc3\xa9\xc3\xa9             3.00 1234567890\n");
    json_free(of[0]);
}

/* Behind a zero byte goes on what tells them apart. */
TEST(keys_with_a_zero_byte_are_no_shorter)
{
    struct json *of[1] = {read(HOT(KEY("a\\u0000b", "5") ", " KEY("a\\u0000c", "4"), "", "", ""))};
    check_text(hot_table(of, 1, "s", 60, 9),
               "   hits/s\n"
               "     5.00 a?b\n"
               "     4.00 a?c\n");
    json_free(of[0]);
}

TEST(odd_rates_and_names_break_no_table)
{
    struct json *of[1] = {read(HOT(
        "{\"key\": \"a\", \"rate\": -1e300, \"error\": -1e301}, "
        "{\"key\": \"b\", \"rate\": 1e300, \"error\": 1}",
        "{\"key\": 5, \"rate\": 3, \"error\": 1}",
        KEY("\xc2" "c", "3"),
        "{\"kind\": 7, \"name\": \"t\", \"rate\": 4, \"error\": 1}"))};
    check_text(hot_table(of, 1, "s", 60, 9),
               "   hits/s                     changes/s\n"
               " 99999999 b                        3.00 \xc2" "c\n"
               "     0.00 a\n");
    check_text(hot_groups(of, 1, 80), "");
    json_free(of[0]);
}

/* ---- lines ---- */

static void check_fold(const char *text, size_t columns, const char *wanted)
{
    char *folded = fold(text, columns);
    REQUIRE(folded);
    CHECK_STR(folded, wanted);
    free(folded);
}

TEST(a_long_line_goes_on_below_its_text)
{
    check_fold("ok\n", 20, "ok\n");
    check_fold("here: it fits in one", 20, "here: it fits in one");
    check_fold("room: L1 is full (by its cap): see curve\nok\n", 20,
               "room: L1 is full (by\n      its cap): see\n      curve\nok\n");
    check_fold("  limbo    -  removed, but read\n", 28,
               "  limbo    -  removed, but\n              read\n");
    check_fold("a text that has no label is all alike: a paragraph", 20,
               "a text that has no\nlabel is all alike:\na paragraph");
    check_fold("  two  blanks", 20, "  two  blanks");
    check_fold("    one that is set in goes on so", 20, "    one that is set\n    in goes on so");
    check_fold("", 20, "");
}

TEST(what_fits_is_counted_in_characters_and_words_stay_whole)
{
    check_fold("key: \xc3\xa4\xc3\xb6\xc3\xbc \xc3\xa4\xc3\xb6\xc3\xbc \xe2\x82\xac\xe2\x82\xac "
               "four five", 20,
               "key: \xc3\xa4\xc3\xb6\xc3\xbc \xc3\xa4\xc3\xb6\xc3\xbc \xe2\x82\xac\xe2\x82\xac "
               "four\n     five");
    check_fold("key: /a/path/of/thirty/characters/at/least is whole", 20,
               "key:\n     /a/path/of/thirty/characters/at/least\n     is whole");
    check_fold("a                                           b c", 20,
               "a\nb c"); /* a text needs half of the width */
    check_fold("narrower than twenty is twenty", 1, "narrower than twenty\nis twenty");
}
