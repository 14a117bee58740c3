// SPDX-License-Identifier: MIT
/*
 * `perf/run compare` and `report`, from fixed results in test/report: which differences count, what
 * bad files are told, which pictures there are, and that a page is well-formed whatever the texts.
 */
#include "support/check.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/measure.h"
#include "report/compare.h"
#include "report/page.h"
#include "report/peers.h"
#include "report/report.h"
#include "support/options.h"
#include "support/random.h"
#include "support/table.h"

#define LINE_COLUMNS 100u

static char text[1 << 20]; /* what was written last */

static void read_rows(struct rows *ret, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", NIGH_TEST_REPORTS, name);
    char *why = rows_read(ret, path);
    if (why)
        check_note("%s", why);
    REQUIRE(!why);
}

static FILE *begin_text(void)
{
    memset(text, 0, sizeof(text));
    FILE *out = fmemopen(text, sizeof(text) - 1, "w");
    REQUIRE(out);
    return out;
}

static bool says(const char *what)
{
    return strstr(text, what) != NULL;
}

static unsigned count_of(const char *what)
{
    unsigned count = 0;
    for (const char *at = text; (at = strstr(at, what)); at++)
        count++;
    return count;
}

/* ---- two files ---- */

static struct row figure(double value, double spread, unsigned rounds, const char *unit)
{
    return (struct row){.bench = "b", .name = "n", .metric = "m", .unit = unit, .value = value,
                        .spread = spread, .rounds = rounds, .ratio_spread = NAN, .low = NAN,
                        .high = NAN};
}

static enum verdict verdict(struct row then, struct row now)
{
    return compare_verdict(&then, &now);
}

TEST(difference_counts_beyond_the_larger_spread)
{
    CHECK_EQ(verdict(figure(100, .1, 5, "ns"), figure(109, .01, 5, "ns")), VERDICT_WITHIN);
    CHECK_EQ(verdict(figure(100, .1, 5, "ns"), figure(91, .01, 5, "ns")), VERDICT_WITHIN);
    CHECK_EQ(verdict(figure(100, .1, 5, "ns"), figure(112, .01, 5, "ns")), VERDICT_WORSE);
    CHECK_EQ(verdict(figure(100, .01, 5, "ns"), figure(112, .2, 5, "ns")), VERDICT_WITHIN);
    CHECK_EQ(verdict(figure(100, .1, 5, "ns"), figure(80, .1, 5, "ns")), VERDICT_BETTER);
    CHECK_EQ(verdict(figure(100, .1, 5, "op/s"), figure(80, .1, 5, "op/s")), VERDICT_WORSE);
    CHECK_EQ(verdict(figure(100, 0, 1, "ns"), figure(80, .1, 5, "ns")), VERDICT_FEW);
    CHECK_EQ(verdict(figure(100, 0, 1, "ns"), figure(100, 0, 1, "ns")), VERDICT_WITHIN);
    CHECK_EQ(verdict(figure(0, .1, 5, "ns"), figure(1, .1, 5, "ns")), VERDICT_WORSE);
}

/* A row as --json writes it, of rounds that differ by `noise` (the deviation, of a normal
 * distribution) around a figure. */
static struct row measured(struct random_stream *random, double figure, double noise,
                           unsigned rounds)
{
    double values[ROUNDS_MAX], low, high;
    for (unsigned i = 0; i < rounds; i++)
        values[i] = figure * (1 + noise * sqrt(-2 * log(random_unit(random))) *
                                      cos(2 * M_PI * random_unit(random)));
    median_range(values, rounds, MEDIAN_SURE, &low, &high);
    return (struct row){.bench = "b", .name = "n", .metric = "m", .unit = "ns",
                        .value = median(values, rounds), .spread = spread(values, rounds),
                        .rounds = rounds, .ratio_spread = NAN, .low = low, .high = high};
}

/* A ratio of rounds whose median lies between two others; `rounds` as in figure(). */
static struct row ratio(double ratio, double low, double high, unsigned rounds, const char *unit)
{
    struct row r = figure(100 * ratio, .5, rounds, unit);
    r.baseline = "other";
    r.baseline_value = 100;
    r.ratio = ratio;
    r.ratio_spread = .5;
    r.low = low;
    r.high = high;
    return r;
}

TEST(a_peer_is_judged_by_where_the_median_of_the_ratios_lies)
{
    struct row better = ratio(.9, .85, .95, 5, "ns"), same = ratio(.9, .8, 1.01, 5, "ns");
    struct row worse = ratio(1.1, 1.01, 1.2, 5, "ns"), more = ratio(1.1, 1.01, 1.2, 5, "op/s");
    struct row few = ratio(.9, .85, .95, 3, "ns"), far = ratio(.4, .35, .5, 3, "ns");
    struct row one = ratio(.4, .4, .4, 1, "ns"), older = ratio(.9, NAN, NAN, 5, "ns");
    CHECK_EQ(compare_beside(&better), VERDICT_BETTER);
    CHECK_EQ(compare_beside(&same), VERDICT_WITHIN);
    CHECK_EQ(compare_beside(&worse), VERDICT_WORSE);
    CHECK_EQ(compare_beside(&more), VERDICT_BETTER);
    CHECK_EQ(compare_beside(&few), VERDICT_FEW);
    CHECK_EQ(compare_beside(&far), VERDICT_FEW);
    CHECK_EQ(compare_beside(&one), VERDICT_FEW);
    CHECK_EQ(compare_beside(&older), VERDICT_WITHIN);
    CHECK(row_range(&better).low == .85 && row_range(&better).high == .95);
    CHECK(fabs(row_range(&older).low - .675) < 1e-9); /* half of the spread to either side */
    CHECK(isnan(row_range(&one).low));
}

TEST(a_prophecy_is_better_the_nearer_it_is_to_what_came)
{
    struct row then = ratio(1.2, 1.19, 1.21, 5, "percent");
    struct row nearer = ratio(1.1, 1.09, 1.11, 5, "percent");
    then.baseline = nearer.baseline = "came";
    CHECK_EQ(compare_verdict(&then, &nearer), VERDICT_BETTER);
    CHECK_EQ(compare_verdict(&nearer, &then), VERDICT_WORSE);
}

/* Two runs of two rounds each lie apart by chance in one case of three. Here they are a third from
 * one another: it is said that nothing can be told, as of a long run and a short one, and how many
 * rounds would do. */
TEST(of_few_rounds_nothing_is_called_better)
{
    struct random_stream random = random_stream_of(7, 2, 0);
    for (unsigned rounds = 1; rounds < COMPARE_ROUNDS; rounds++) {
        struct row few = measured(&random, 100, .01, rounds);
        struct row many = measured(&random, 66, .01, 15);
        CHECK_EQ(verdict(few, measured(&random, 66, .01, rounds)), VERDICT_FEW);
        CHECK_EQ(verdict(few, many), VERDICT_FEW);
        CHECK_EQ(verdict(many, few), VERDICT_FEW);
    }
    CHECK_EQ(verdict(measured(&random, 100, .01, COMPARE_ROUNDS),
                     measured(&random, 66, .01, COMPARE_ROUNDS)),
             VERDICT_BETTER);

    struct row then = measured(&random, 100, .01, 2), now = measured(&random, 66, .01, 2);
    then.at_s = now.at_s = NAN;
    FILE *out = begin_text();
    compare_print(&(struct rows){.path = (char *)"a", .all = &then, .count = 1},
                  &(struct rows){.path = (char *)"b", .all = &now, .count = 1}, out);
    fclose(out);
    CHECK(says("  cannot tell (2 rounds)\n"));
    CHECK(says("0 better and 0 worse"));
    CHECK(says("1 cannot be told: 5 rounds in each file would do (--rounds 5)"));
    CHECK(!says("by chance alone"));
}

/* The range of what is now reaches far up, and not down to that of then: what is said to be unsure
 * is less than the change. */
TEST(what_counts_differs_by_more_than_is_unsure)
{
    struct row then = figure(100, .1, 5, "ns"), now = figure(145, 9, 5, "ns");
    then.low = 95, then.high = 110, now.low = 115, now.high = 1500;
    then.at_s = now.at_s = NAN;
    FILE *out = begin_text();
    compare_print(&(struct rows){.path = (char *)"a", .all = &then, .count = 1},
                  &(struct rows){.path = (char *)"b", .all = &now, .count = 1}, out);
    fclose(out);
    CHECK(says("+45.0 %     40.0 %        worse\n"));
    now.low = 105;
    out = begin_text();
    compare_print(&(struct rows){.path = (char *)"a", .all = &then, .count = 1},
                  &(struct rows){.path = (char *)"b", .all = &now, .count = 1}, out);
    fclose(out);
    CHECK(says("+45.0 %     50.0 %            -\n"));
}

/* How many of a thousand figures are called worse (better ones count, too, where nothing is). */
static unsigned found(double then, double now, double noise, unsigned rounds)
{
    struct random_stream random = random_stream_of(7, rounds, 0);
    unsigned count = 0;
    for (unsigned i = 0; i < 1000; i++) {
        enum verdict v = verdict(measured(&random, then, noise, rounds),
                                 measured(&random, now, noise, rounds));
        count += v == VERDICT_WORSE || (v == VERDICT_BETTER && then == now);
    }
    return count;
}

TEST(a_tenth_worse_is_found_and_the_same_twice_is_not)
{
    CHECK_LE(found(100, 100, .03, 5), 20); /* 8 are expected */
    CHECK_LE(found(100, 100, .03, 15), 20);
    CHECK_GE(found(100, 110, .03, 5), 750);
    CHECK_GE(found(100, 110, .03, 15), 990);
    CHECK_GE(found(100, 110, .06, 15), 550); /* more rounds see more, where the spread sees less */
    CHECK_GT(found(100, 110, .06, 25), found(100, 110, .06, 9));
}

TEST(files_are_compared)
{
    struct rows then, now;
    read_rows(&then, "then.json");
    read_rows(&now, "now.json");
    FILE *out = begin_text();
    compare_print(&then, &now, out);
    fclose(out);
    CHECK(says("free, 1 thread / lfht"));
    CHECK(says("+25.0 %      5.0 %        worse\n"));
    CHECK(says("+2.0 %      5.0 %            -\n"));
    CHECK(says("-25.0 %      5.0 %       better\n"));
    CHECK(says("+33.3 %     10.0 %       better\n")); /* more op/s */
    CHECK(says("+9.1 %   cannot tell (1 round)\n"));
    CHECK(says("then.json:\nmemory: bookkeeping, bytes/entry\n  gone since\n"));
    CHECK(says("now.json:\nmemory: bookkeeping, bytes/entry\n  a case whose name is so long"));
    CHECK(says("2 better and 1 worse by more than rounds differ by; 1 within that (-)\n"));
    CHECK(says("\n1 cannot be told: "));
    rows_free(&then);
    rows_free(&now);
}

/* For who fails if something is worse: by how much, of how many, and nothing of few rounds. */
TEST(what_is_worse_by_more_than_a_limit_is_named)
{
    struct rows then, now;
    size_t judged = 0;
    read_rows(&then, "then.json");
    read_rows(&now, "now.json");
    FILE *out = begin_text();
    CHECK_EQ(compare_print_worse(&then, &now, 24, &judged, out), 1);
    fclose(out);
    CHECK_EQ(judged, 4);
    CHECK_STR(text, "\nWorse by more than 24 %:\n"
                    "   +25.0 %  hit: get, cpu ns/lookup: 10k uniform, free, 1 thread / lfht\n");
    out = begin_text();
    CHECK_EQ(compare_print_worse(&then, &now, 26, &judged, out), 0);
    fclose(out);
    CHECK_STR(text, "\nWorse by more than 26 %: none of 4 that could be told\n");
    out = begin_text();
    CHECK_EQ(compare_print_worse(&then, &then, 0, &judged, out), 0);
    fclose(out);
    struct row was = figure(100, .1, 4, "ns"), is = figure(200, .1, 4, "ns");
    was.at_s = is.at_s = NAN;
    struct rows few = {.path = (char *)"a", .all = &was, .count = 1};
    struct rows more = {.path = (char *)"b", .all = &is, .count = 1};
    CHECK_EQ(compare_print_worse(&few, &more, 0, &judged, stdout), 0);
    CHECK_EQ(judged, 0);
    CHECK_EQ(compare_print_worse(&few, &few, 0, &judged, stdout), 0); /* alike, but who knows */
    CHECK_EQ(judged, 0);
    rows_free(&then);
    rows_free(&now);
}

TEST(a_figure_below_zero_falls_when_there_is_less_of_it)
{
    CHECK_EQ(verdict(figure(-10, .1, 5, "ns"), figure(-20, .1, 5, "ns")), VERDICT_BETTER);
    CHECK_EQ(verdict(figure(-10, .1, 5, "ns"), figure(-5, .1, 5, "ns")), VERDICT_WORSE);
    CHECK_EQ(verdict(figure(0, .1, 5, "ns"), figure(-5, .1, 5, "ns")), VERDICT_BETTER);
}

/* A fixed rate beside a closed loop, say: a difference is the options', and the page names them. */
TEST(files_that_were_not_asked_for_alike_are_told_apart)
{
    struct row then = figure(100, .1, 5, "ns"), now = then;
    struct rows was = {.path = (char *)"a", .all = &then, .count = 1};
    struct rows is = {.path = (char *)"b", .all = &now, .count = 1};
    const char *const commands[][2] = {
        {"b --rate 5k", "b <x>"}, {"b <x>", "b <x>"}, {NULL, "b <x>"}};
    then.at_s = now.at_s = then.goal = now.goal = NAN;
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        then.command = commands[i][0];
        now.command = commands[i][1];
        FILE *out = begin_text();
        compare_print(&was, &is, out);
        fclose(out);
        CHECK_EQ(says("then: perf/run b --rate 5k\n  now:  perf/run b <x>\n"), i == 0);
        CHECK_EQ(says("Not the same was asked for"), i == 0);
    }
    FILE *out = begin_text();
    report_write(&is, 1, out);
    fclose(out);
    CHECK(says("<code>perf/run b &lt;x&gt;</code>"));
}

/* What two machines differ in is no finding about nigh, and the page says whose its figures are. */
TEST(files_of_two_machines_are_told_apart)
{
    struct row then = figure(100, .1, 5, "ns"), now = then;
    struct rows was = {.path = (char *)"a", .all = &then, .count = 1};
    struct rows is = {.path = (char *)"b", .all = &now, .count = 1};
    const char *const machines[][2] = {{"a, 2 CPUs", "<b>, 8 CPUs"},
                                       {"<b>, 8 CPUs", "<b>, 8 CPUs"},
                                       {NULL, "<b>, 8 CPUs"}};
    then.at_s = now.at_s = then.goal = now.goal = NAN;
    now.build = "0.1.0 (g1234567)";
    now.date = "2026-11-30 19:00 UTC";
    for (size_t i = 0; i < sizeof(machines) / sizeof(machines[0]); i++) {
        then.machine = machines[i][0];
        now.machine = machines[i][1];
        FILE *out = begin_text();
        compare_print(&was, &is, out);
        fclose(out);
        CHECK(says("now:  b\n      nigh 0.1.0 (g1234567), 2026-11-30 19:00 UTC\n"));
        CHECK_EQ(says("Not the same machine: "), i == 0);
        CHECK_EQ(says("then: a, 2 CPUs\n  now:  <b>, 8 CPUs\n"), i == 0);
    }
    FILE *out = begin_text();
    report_write(&is, 1, out);
    fclose(out);
    CHECK(says("<p>&lt;b>, 8 CPUs; nigh 0.1.0 (g1234567), 2026-11-30 19:00 UTC</p>") ||
          says("<p>&lt;b&gt;, 8 CPUs; nigh 0.1.0 (g1234567), 2026-11-30 19:00 UTC</p>"));
}

/* The page had the curve, and not the line that follows from it. */
TEST(what_is_told_in_words_is_on_the_page_and_compared)
{
    struct row then = figure(NAN, NAN, 1, "text"), now = then;
    struct rows was = {.path = (char *)"a", .all = &then, .count = 1};
    struct rows is = {.path = (char *)"b", .all = &now, .count = 1};
    then.at_s = now.at_s = then.goal = now.goal = NAN;
    then.text = "l1.memory=96m";
    now.text = "l1.memory=<b>";
    FILE *out = begin_text();
    compare_print(&was, &is, out);
    fclose(out);
    CHECK(says("\nb: n, m:\n  then: l1.memory=96m\n  now:  l1.memory=<b>\n"));
    CHECK(!compare_has_common(&was, &is));
    out = begin_text();
    compare_print(&is, &is, out);
    fclose(out);
    CHECK(!says("l1.memory"));
    now.text = "one\n  two\n";
    out = begin_text();
    report_write(&is, 1, out);
    report_write(&was, 1, out);
    fclose(out);
    CHECK(says("<p>n, m: one<br/>  two</p>"));
    CHECK(says("<p>n, m: <code>l1.memory=96m</code></p>"));
    CHECK(!says("<td>n</td>")); /* no row of figures without any */
}

TEST(verdicts_are_rows_that_can_be_read_again)
{
    struct rows then, now, both;
    char path[] = "/tmp/nigh-report-XXXXXX";
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    close(fd);
    read_rows(&then, "then.json");
    read_rows(&now, "now.json");
    CHECK(compare_has_common(&then, &now));
    compare_json(&then, &now, path);
    char *why = rows_read(&both, path);
    REQUIRE(!why);
    unsigned worse = 0;
    for (size_t i = 0; i < both.count; i++) {
        CHECK_STR(both.all[i].baseline, "then");
        worse += compare_beside(&both.all[i]) == VERDICT_WORSE;
    }
    CHECK_EQ(both.count, 5);
    CHECK_EQ(worse, 1);
    FILE *in = fopen(path, "r"), *out = begin_text();
    for (int c; (c = fgetc(in)) != EOF;)
        fputc(c, out);
    fclose(in);
    fclose(out);
    CHECK_EQ(count_of("\"verdict\": \"better\""), 2);
    CHECK_EQ(count_of("\"verdict\": \"worse\""), 1);
    CHECK_EQ(count_of("\"verdict\": \"within\""), 1);
    CHECK_EQ(count_of("\"verdict\": \"cannot tell\""), 1);
    rows_free(&both);
    read_rows(&both, "faults.json");
    CHECK(!compare_has_common(&then, &both));
    rows_free(&both);
    rows_free(&then);
    rows_free(&now);
    unlink(path);
}

TEST(table_is_as_wide_as_a_page)
{
    struct rows then, now;
    read_rows(&then, "pictures.json");
    read_rows(&now, "pictures.json");
    FILE *out = begin_text();
    compare_print(&then, &now, out);
    fclose(out);
    char *rest = text;
    for (char *line; (line = strsep(&rest, "\n"));)
        if (!strstr(line, ".json"))
            CHECK_LE(strlen(line), LINE_COLUMNS);
    rows_free(&then);
    rows_free(&now);
}

/* ---- bad files ---- */

static void check_refused(const char *content, const char *why_not)
{
    struct rows rows;
    char path[] = "/tmp/nigh-report-XXXXXX";
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, content, strlen(content)) == (ssize_t)strlen(content));
    close(fd);
    char *why = rows_read(&rows, path);
    CHECK(why && strstr(why, why_not) && strstr(why, path));
    if (why && !strstr(why, why_not))
        check_note("%s", why);
    free(why);
    rows_free(&rows);
    unlink(path);
}

TEST(bad_files_are_refused_in_words)
{
    struct rows rows;
    char *why = rows_read(&rows, "/nonexistent/results.json");
    CHECK(why && strstr(why, "/nonexistent/results.json"));
    free(why);
    rows_free(&rows);
    check_refused("", "no JSON: line 1");
    check_refused("[{\"bench\": \"hit\",\n", "no JSON: line");
    check_refused("[]", "no results");
    check_refused("{}", "not of perf/run's");
    check_refused("7", "no JSON");
    check_refused("[7]", "entry 1 is no row");
    check_refused("[{\"bench\": 7, \"case\": \"c\", \"metric\": \"m\", \"unit\": \"u\"}]",
                  "entry 1 is no row");
}

TEST(passwords_do_not_stay_in_figures)
{
    static const char *const all[][2] = {
        {"load --redis redis://me:secret@h:1/0 --keys 5", "load --redis redis://h:1/0 --keys 5"},
        {"(NIGH_CONF=redis.uri=rediss://:p@ss@h,l1.policy=lru)",
         "(NIGH_CONF=redis.uri=rediss://h,l1.policy=lru)"},
        {"--set redis.sentinel_password=secret,l1.shards=4", "--set redis.sentinel_password=,"
                                                             "l1.shards=4"},
        {"redis://me:secret@h", "redis://h"},
        {"unix:///run/redis.sock a@b", "unix:///run/redis.sock a@b"},
        {"redis.password_file=/a", "redis.password_file=/a"},
        {"password=", "password="},
        {"://", "://"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        char *without = options_without_secrets(all[i][0]);
        CHECK_STR(without, all[i][1]);
        free(without);
    }
}

TEST(one_is_no_plural)
{
    CHECK_STR(table_some(0, "key"), "0 keys");
    CHECK_STR(table_some(1, "key"), "1 key");
    CHECK_STR(table_some(2004, "key"), "2,004 keys");
    table_end();
}

TEST(missing_numbers_are_no_zeros)
{
    struct rows rows;
    char path[] = "/tmp/nigh-report-XXXXXX";
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    dprintf(fd, "[{\"bench\": \"b\", \"case\": \"c\", \"metric\": \"m\", \"unit\": \"u\"}]");
    close(fd);
    char *why = rows_read(&rows, path);
    CHECK(!why);
    free(why);
    CHECK(rows.count == 1 && rows.all[0].value != rows.all[0].value);
    FILE *out = begin_text();
    compare_print(&rows, &rows, out);
    report_write(&rows, 1, out);
    fclose(out);
    rows_free(&rows);
    unlink(path);
}

/* ---- the page ---- */

TEST(text_is_escaped_and_cut)
{
    FILE *out = begin_text();
    page_text(out, "<a href=\"x\">&'\x01\xef\xbf\xbe");
    fputc('|', out);
    page_text_cut(out, "\xc3\xbc<\xc3\xbc<\xc3\xbc", 4);
    fputc('|', out);
    page_text_cut(out, "abcd", 4);
    fclose(out);
    CHECK_STR(text, "&lt;a href=&quot;x&quot;&gt;&amp;&#39;??|"
                    "\xc3\xbc&lt;\xc3\xbc\xe2\x80\xa6|abcd");
}

/* Is it a tag that stands for itself, <x ... />, or no tag: <!DOCTYPE html>? */
static bool is_alone(const char *tag, size_t len)
{
    return tag[0] == '!' || tag[len - 1] == '/';
}

/* Checks that tags are nested and closed, and that no other < or & stands anywhere. */
static void check_tags(void)
{
    char open[64][16];
    size_t depth = 0;
    for (const char *at = strchr(text, '<'); at; at = strchr(at, '<')) {
        size_t len = strcspn(++at, ">"), name = strcspn(at, " />");
        if (at[0] == '/') {
            name = strcspn(++at, ">");
            if (!CHECK(depth > 0 && strlen(open[depth - 1]) == name &&
                       memcmp(open[depth - 1], at, name) == 0))
                return;
            depth--;
        } else if (!is_alone(at, len)) {
            REQUIRE(depth < 64 && name < sizeof(open[0]));
            snprintf(open[depth++], sizeof(open[0]), "%.*s", (int)name, at);
        }
    }
    CHECK_EQ(depth, 0);
    for (const char *at = text; (at = strchr(at, '&')); at++)
        CHECK(strncmp(at, "&lt;", 4) == 0 || strncmp(at, "&gt;", 4) == 0 ||
              strncmp(at, "&amp;", 5) == 0 || strncmp(at, "&quot;", 6) == 0 ||
              strncmp(at, "&#39;", 5) == 0);
}

static unsigned write_page(const char *name)
{
    struct rows rows;
    read_rows(&rows, name);
    FILE *out = begin_text();
    unsigned pictures = report_write(&rows, 1, out);
    fclose(out);
    rows_free(&rows);
    check_tags();
    CHECK_EQ(count_of("<figure"), pictures);
    CHECK(!says("nan") && !says("inf,") && !says("\"inf"));
    CHECK(!says("http://") || count_of("http://") == count_of("http://www.w3.org/"));
    CHECK(!says("https://") && !says("<script") && !says("@import") && !says("url("));
    return pictures;
}

TEST(page_has_the_pictures_that_its_rows_make)
{
    CHECK_GE(write_page("pictures.json"), 7);
    CHECK(says("knee: 512 MiB"));
    CHECK(says("tune: misses by memory, percent"));
    CHECK(says("load: latency<") && says(">10 ms<"));
    CHECK(says("shrink: resident memory, MiB"));
    CHECK(says("shrink: what has a limit"));
    CHECK(says("tune: requests / the best") && says("Beside the one that did best."));
    CHECK(says("&lt;script&gt;alert(1)&lt;/script&gt; &amp; &quot;so&quot; &#39;on&#39; ??"));
    CHECK(says("<details>"));
}

TEST(lines_are_shared_out_so_that_none_is_left_alone)
{
    static const char *const names[] = {"L1", "L2", "load", "write", "drop", "since due", "alone"};
    static const char *const metrics[] = {"p50", "p99", "max"};
    struct rows rows;
    char path[] = "/tmp/nigh-report-XXXXXX";
    int fd = mkstemp(path);
    REQUIRE(fd >= 0);
    for (unsigned i = 0; i < 21; i++)
        dprintf(fd,
                "%s{\"bench\": \"load\", \"case\": \"%s\", \"metric\": \"%s\", "
                "\"unit\": \"ns\", \"value\": %u}%s",
                i ? "," : "[", names[i / 3], metrics[i % 3], 100 + i, i < 20 ? "" : "]");
    close(fd);
    char *why = rows_read(&rows, path);
    REQUIRE(!why);
    FILE *out = begin_text();
    CHECK_EQ(report_write(&rows, 1, out), 2);
    fclose(out);
    const char *second = strstr(strstr(text, "<figure") + 1, "<figure");
    CHECK(strstr(second, "</svg>drop<") && strstr(second, "</svg>since due<"));
    CHECK(strstr(second, "</svg>alone<") && !strstr(second, "</svg>write<"));
    rows_free(&rows);
    unlink(path);
}

/* The pictures of 1 and of 2 threads have titles that tell them apart. */
TEST(what_all_lines_begin_with_is_in_the_title)
{
    static const char *const names[] = {"1 thread, L1", "1 thread, L2", "1 thread, write"};
    static const char *const metrics[] = {"p50", "p99", "max"};
    struct row all[9];
    struct rows rows = {.path = (char *)"p", .all = all, .count = 9};
    for (size_t i = 0; i < rows.count; i++) {
        all[i] = figure(100 + (double)i, 0, 1, "ns");
        all[i].name = names[i / 3];
        all[i].metric = metrics[i % 3];
        all[i].goal = all[i].at_s = NAN;
    }
    FILE *out = begin_text();
    CHECK_EQ(report_write(&rows, 1, out), 1);
    fclose(out);
    CHECK(says("<h3>b: latency, 1 thread</h3>"));
    CHECK(says("</svg>L1</li>") && says("</svg>write</li>"));
}

/* tune --memory-max 8m: the curve may rise beyond, and nobody has looked. */
TEST(what_is_the_most_that_was_tried_is_no_knee)
{
    struct row all[] = {figure(40, 0, 1, "percent"), figure(60, 0, 1, "percent"),
                        figure(8 << 20, 0, 1, "bytes")};
    static const char *const names[] = {"4 MiB, lfu", "8 MiB, lfu", "answer, lfu"};
    for (unsigned i = 0; i < 3; i++) {
        all[i].name = names[i];
        all[i].metric = i < 2 ? "hit ratio" : "l1.memory";
        all[i].at_s = all[i].goal = NAN;
    }
    for (unsigned most = 8; most >= 4; most -= 4) {
        struct rows rows = {.path = (char *)"x", .all = all, .count = 3};
        all[2].value = most << 20;
        FILE *out = begin_text();
        report_write(&rows, 1, out);
        fclose(out);
        CHECK_EQ(says("the most: 8 MiB") && says("No more memory was tried"), most == 8);
        CHECK_EQ(says("knee: 4 MiB") && says("memory saves little"), most == 4);
    }
}

static void draw_three(const char *unit, double first, double second, double third)
{
    double values[] = {first, second, third};
    struct row all[3];
    for (unsigned i = 0; i < 3; i++) {
        all[i] = figure(values[i], .1, 5, unit);
        all[i].name = i == 0 ? "hit" : i == 1 ? "fetch" : "load";
        all[i].at_s = all[i].goal = NAN;
    }
    struct rows rows = {.path = (char *)"x", .all = all, .count = 3};
    FILE *out = begin_text();
    CHECK_EQ(report_write(&rows, 1, out), 1);
    fclose(out);
    check_tags();
}

/* Beside loads of milliseconds hits were bars of no length. */
TEST(values_of_many_decades_are_dots_on_a_logarithmic_scale)
{
    draw_three("ns", 400, 90000, 1.2e6);
    CHECK_EQ(count_of("<circle class=\"plain\""), 3);
    CHECK_EQ(count_of("<rect class=\"plain\""), 0);
    CHECK(says("<h3>b: m</h3>") && says("on a logarithmic scale"));
    CHECK(says(">100 ns<") && says(">1 us<") && says(">10 us<") && says(">100 us<") &&
          says(">1 ms<") && says(">10 ms<"));
    CHECK(says(">400 ns<") && says(">90 us<") && says(">1.2 ms<"));
    draw_three("ns", 400, 500, 600); /* what compares by its length stays bars */
    CHECK_EQ(count_of("<rect class=\"plain\""), 3);
    CHECK(says("<h3>b: m, ns</h3>") && !says("logarithmic"));
    draw_three("count", 0, 5, 90000); /* 0 has no place on a logarithmic scale */
    CHECK_EQ(count_of("<rect class=\"plain\""), 3);
    draw_three("bytes", 10, 100, 900);
    CHECK_EQ(count_of("<circle class=\"plain\""), 3);
    CHECK(says("<h3>b: m, bytes</h3>") && says(">1k<"));
}

TEST(page_of_a_benchmark_has_bars_and_goals)
{
    CHECK_GE(write_page("then.json"), 3);
    CHECK(says("Goals met: 1 of 1"));
    CHECK(says("hit: get, over that of others"));
    CHECK(says("class=\"bad\"") && says("class=\"good\""));
    CHECK(says("class=\"mark\""));
    CHECK(says("class=\"spread\""));
}

/* As compare's verdicts: what may be 1, or is of one round, is neither better nor worse. */
TEST(a_ratio_that_may_be_1_is_not_coloured)
{
    struct row all[] = {
        ratio(.9, .85, .95, 5, "ns"), ratio(1.1, 1.05, 1.2, 5, "ns"), ratio(.9, .8, 1.01, 5, "ns"),
        ratio(1.1, .99, 1.2, 5, "ns"), ratio(.5, .5, .5, 1, "ns"),
    };
    struct rows rows = {.path = (char *)"p", .all = all, .count = sizeof(all) / sizeof(all[0])};
    for (size_t i = 0; i < rows.count; i++)
        all[i].goal = all[i].at_s = NAN;
    FILE *out = begin_text();
    CHECK_EQ(report_write(&rows, 1, out), 1);
    fclose(out);
    CHECK_EQ(count_of("<rect class=\"good\""), 1);
    CHECK_EQ(count_of("<rect class=\"bad\""), 1);
    CHECK_EQ(count_of("<rect class=\"unsure\""), 3);
    CHECK(says("<td class=\"n\">0.8 to 1.01</td>"));
}

/* More of it is better in a later run; and what the machine makes of it is no rival. */
TEST(a_control_is_nobody_to_beat)
{
    struct row then = ratio(.67, .6, .8, 5, "times"), now = ratio(.9, .85, .95, 5, "times");
    then.baseline = now.baseline = "control";
    then.goal = then.at_s = NAN;
    CHECK_EQ(compare_verdict(&then, &now), VERDICT_BETTER);
    struct rows rows = {.path = (char *)"p", .all = &then, .count = 1};
    FILE *out = begin_text();
    CHECK_EQ(report_write(&rows, 1, out), 1);
    fclose(out);
    CHECK(says("over the control&#39;s") && says("<rect class=\"plain\""));
    CHECK(!says("<rect class=\"bad\""));
}

/* Two loads from memory and nothing else are no table that is better. */
TEST(a_floor_is_nobody_to_beat)
{
    struct row r = ratio(1.33, 1.3, 1.4, 5, "ns");
    struct rows rows = {.path = (char *)"p", .all = &r, .count = 1};
    r.baseline = "limit";
    r.goal = r.at_s = NAN;
    FILE *out = begin_text();
    CHECK_EQ(report_write(&rows, 1, out), 1);
    fclose(out);
    CHECK(says("<rect class=\"plain\"") && !says("<rect class=\"bad\""));
}

/* A control has no Redis and no loads: that it answers a hundred times as many requests says
 * nothing, so the rates are drawn as they are. */
TEST(a_rate_is_not_drawn_over_the_control_s)
{
    struct row all[] = {ratio(.01, .01, .02, 5, "1/s"), ratio(.02, .01, .02, 5, "1/s")};
    struct rows rows = {.path = (char *)"p", .all = all, .count = 2};
    for (size_t i = 0; i < rows.count; i++) {
        all[i].baseline = "control";
        all[i].goal = all[i].at_s = NAN;
    }
    FILE *out = begin_text();
    CHECK_EQ(report_write(&rows, 1, out), 1);
    fclose(out);
    CHECK(!says("over the control&#39;s") && says("The figures as they are"));
    CHECK(!says("class=\"spread\" x1"));
}

TEST(page_of_the_main_job_shows_lateness_and_its_bound)
{
    CHECK_GE(write_page("job.json"), 2);
    CHECK(says("lateness, max"));
    CHECK(says("nodes: latency<"));
    CHECK(says("nodes: what has a limit"));
    CHECK(says("17.9 %")); /* of the bound */
    CHECK(says("nodes: share over time") && says("nodes: memory over time"));
    CHECK(says("nodes: the fullest shard, over time"));
}

TEST(page_of_the_faults_shows_each_beside_its_limits)
{
    CHECK_GE(write_page("faults.json"), 3);
    CHECK(says("nodes: what has a limit"));
    CHECK(says("kill-redis") && says("stop-node"));
    CHECK(says("25.1 %")); /* of the bound: how late */
    CHECK(says("nodes: until all is fresh again, s"));
    CHECK(says("nodes: wrong reads"));
}

/* ---- peers ---- */

TEST(peers_that_are_missing_are_named)
{
    struct rows rows;
    read_rows(&rows, "then.json");
    FILE *out = begin_text();
    peers_print(&rows, out);
    fclose(out);
    CHECK(says("10k uniform, free, 1 thread: get, cpu ns/lookup (less is better)"));
    CHECK(says("nigh is better"));
    CHECK(says("the peer is better"));
    CHECK(says("missing: ") && says("memcached (memcached)"));
    CHECK(!says("cds_lfht ("));
    rows_free(&rows);
}
