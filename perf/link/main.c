// SPDX-License-Identifier: MIT
/*
 * `perf/run link`, and those like it: sides of a row take turns before one private Redis. A command
 * is a suite of rows (rows.c); `herd`, whose callers are processes, has a table of its own.
 */
#include <regex.h>
#include <stdio.h>
#include <string.h>

#include "compress/compress.h"
#include "link/plain.h"
#include "support/ending.h"
#include "support/fail.h"
#include "support/folder.h"
#include "support/options.h"
#include "support/parse.h"
#include "support/table.h"

#define EVICT_SAMPLES_PER_S 40.0

struct settings {
    double seconds;
    bool all;
    regex_t only;
    const char *dir, *catalogue, *cache; /* of compress */
};

struct link link_world;
static const char *why_not;

void link_why(const char *text)
{
    why_not = text;
}

/* ---- the command line ---- */

enum option { OPT_SECONDS, OPT_ROUNDS, OPT_ONLY, OPT_DIR, OPT_CATALOGUE, OPT_CACHE, OPTIONS };

static void take(void *settings, int choice, const char *name, char *text)
{
    struct settings *s = settings;
    switch (choice) {
    case OPT_SECONDS: s->seconds = parse_number(name, text, 0.01, 3600); break;
    case OPT_ROUNDS:
        link_world.rounds = (unsigned)parse_number(name, text, 1, ROUNDS_MAX);
        break;
    case OPT_DIR: s->dir = text; break;
    case OPT_CATALOGUE: s->catalogue = text; break;
    case OPT_CACHE: s->cache = text; break;
    default:
        s->all = false;
        if (regcomp(&s->only, text, REG_EXTENDED | REG_NOSUB) != 0)
            fail("--only %s: a regular expression is wanted", text);
    }
}

/* The command, without which it is `link`. */
static void choose_suite(int argc, char **argv)
{
    const char *command = argc > 1 && argv[1][0] != '-' ? argv[1] : "link";
    for (size_t i = 0; i < link_suite_count; i++)
        if (strcmp(link_suites[i].command, command) == 0)
            link_world.suite = &link_suites[i];
    if (!link_world.suite)
        fail("there is no command '%s'", command);
}

static void parse(struct settings *s, struct output *ret_output, int argc, char **argv)
{
    const struct suite *suite = link_world.suite;
    const struct option_row options[OPTIONS + 1] = {
        [OPT_SECONDS] = {"seconds", "S",
                         must_print("of each side of each row, in all its rounds (%g)",
                                    suite->seconds),
                         "link async miss bulk compress"},
        [OPT_ROUNDS] = {"rounds", "N",
                        must_print("in which they take turns, after one that is not counted (%u)",
                                   suite->rounds),
                        NULL},
        [OPT_ONLY] = {"only", "REGEX", "the rows whose names match",
                      "link async miss bulk compress"},
        [OPT_DIR] = {"dir", "FOLDER", "its files, not the pages of a catalogue", "compress"},
        [OPT_CATALOGUE] = {"catalogue", "FILE",
                           "control text to make pages of (apt-cache dumpavail)", "compress"},
        [OPT_CACHE] = {"cache", "FOLDER", NULL, "compress"}, /* has the finished catalogue */
    };
    const struct command_line line = {
        .usage = must_print("perf/run %s [OPTION...]", suite->command),
        .about = must_print("%s\nStarts a private redis-server. Keys are asked for in turn: no "
                            "--seed.\n",
                            suite->about),
        .status = "Exit status: 0 measured, whatever the goals in brackets say, 2 not measured.\n",
        .options = options,
        .take = take,
        .measures = true,
    };
    *s = (struct settings){.seconds = suite->seconds, .all = true};
    link_world.rounds = suite->rounds;
    int rest = options_read(&line, suite->command, s, ret_output, argc, argv);
    if (rest < argc)
        fail("'%s' is no option; see perf/run %s --help", argv[rest], suite->command);
    link_world.round_ns = (uint64_t)(s->seconds * 1e9 / link_world.rounds);
}

static bool is_wanted(const struct settings *s, const char *name)
{
    if (s->all || regexec(&s->only, name, 0, NULL, 0) == 0)
        return true;
    result_leave_out(name);
    return false;
}

/* ---- what is asked for ---- */

static void make_keys(struct nigh_key *keys, const char *format)
{
    for (unsigned i = 0; i < LINK_KEYS + LINK_BATCH_MAX; i++) {
        char *name = must_print("%s%06u", format, i % LINK_KEYS);
        keys[i] = (struct nigh_key){name, strlen(name)};
    }
}

static void set_keys(const struct nigh_key *keys, size_t value_bytes)
{
    redisContext *c = redisConnectUnix(link_world.server.socket);
    for (unsigned i = 0; i < LINK_KEYS; i++) {
        redisReply *r = c ? redisCommand(c, "SET %b %b", keys[i].data, keys[i].len,
                                         link_world.value, value_bytes)
                          : NULL;
        if (!r)
            fail("redis-server takes no values");
        freeReplyObject(r);
    }
    redisFree(c);
}

/* ---- rows ---- */

static size_t open_sides(const struct row *row, struct entrant *entrants)
{
    size_t count = 0;
    for (; row->sides[count]; count++) {
        struct entrant *e = &entrants[count];
        *e = (struct entrant){.side = row->sides[count]};
        for (size_t m = 0; m < METRICS; m++)
            e->figures[m].name = e->side->name;
        progress("%s: %s", row->name, e->side->name);
        e->self = e->side->open(row);
        e->why = why_not;
    }
    return count;
}

static void run_sides(const struct row *row, struct entrant *entrants, size_t count)
{
    double figures[METRICS];
    for (unsigned round = 0; round <= link_world.rounds; round++)
        for (size_t i = 0; i < count; i++) {
            struct entrant *e = &entrants[(i + round) % count];
            if (!e->self)
                continue;
            progress_share((double)(round * count + i) / (double)((link_world.rounds + 1) * count),
                           "%s: round %u of %u: %s", row->name, round, link_world.rounds,
                           e->side->name);
            link_round(row, e->side, e->self, figures);
            for (size_t m = 0; m < METRICS && round > 0; m++)
                e->figures[m].figures[round - 1] = figures[m];
        }
    progress_next();
    progress_end();
}

static unsigned run_row(const struct row *row, unsigned *bars)
{
    static struct entrant entrants[LINK_SIDES_MAX];
    size_t count = open_sides(row, entrants);
    run_sides(row, entrants, count);
    unsigned missed = link_show(row, entrants, count, bars);
    for (size_t i = 0; i < count; i++)
        if (entrants[i].self)
            entrants[i].side->close(entrants[i].self);
    return missed;
}

static bool is_suite(const char *command)
{
    return strcmp(link_world.suite->command, command) == 0;
}

/* The tables of `compress` that no call of nigh's is in. */
static void run_apart(const struct settings *s)
{
    if (is_wanted(s, "stored"))
        stored_run();
    if (is_wanted(s, "levels"))
        levels_run();
}

/* How many parts the command has, for progress. */
static unsigned count_parts(const struct settings *s)
{
    const struct suite *suite = link_world.suite;
    unsigned parts = 0;
    for (size_t i = 0; i < suite->row_count; i++)
        parts += is_wanted(s, suite->rows[i].name);
    if (is_suite("link"))
        parts += is_wanted(s, "evict");
    if (is_suite("compress") && is_wanted(s, "levels"))
        parts += PAGES_KINDS;
    return parts;
}

static void run(const struct settings *s)
{
    const struct suite *suite = link_world.suite;
    unsigned missed = 0, bars = 0, rows = 0;
    progress_plan(count_parts(s));
    if (is_suite("compress"))
        run_apart(s);
    for (size_t i = 0; i < suite->row_count; i++) {
        if (!is_wanted(s, suite->rows[i].name))
            continue;
        if (rows++ == 0)
            link_heading();
        missed += run_row(&suite->rows[i], &bars);
    }
    if (is_suite("link") && is_wanted(s, "evict"))
        missed += evict_run((unsigned)(s->seconds * EVICT_SAMPLES_PER_S) + 3, &bars);
    if (is_suite("herd"))
        missed += herd_run(link_world.rounds, &bars);
    if (bars > 0)
        printf("goals met: %u of %u\n", bars - missed, bars);
}

/* Processes beside us, before any thread. */
static void begin_others(void)
{
    if (is_suite("herd")) {
        herd_begin();
        return;
    }
    audience_begin();
    if (is_suite("link"))
        evict_begin();
}

static void end_others(void)
{
    if (is_suite("herd")) {
        herd_end();
        return;
    }
    if (is_suite("link"))
        evict_end();
    audience_end();
}

int main(int argc, char **argv)
{
    struct settings settings;
    struct output output;
    choose_suite(argc, argv);
    parse(&settings, &output, argc, argv);
    ending_catch();
    redis_server_start(&link_world.server, folder_create("nigh-link"));
    redis_server_wait(&link_world.server);
    make_keys(link_world.plain, "plain:!2:data:1:key:");
    make_keys(link_world.longer, "plain:!2:long:1:key:");
    make_keys(link_world.keys, "key:");
    memset(link_world.value, 'v', sizeof(link_world.value));
    set_keys(link_world.plain, LINK_VALUE_BYTES);
    set_keys(link_world.longer, LINK_VALUE_BYTES + LINK_ENVELOPE_BYTES);
    begin_others();
    if (is_suite("compress"))
        pages_read(settings.dir, settings.catalogue, settings.cache);
    printf("Redis %s", redis_server_version());
    if (!is_suite("compress"))
        printf(", values of %u B", LINK_VALUE_BYTES);
    if (link_world.suite->row_count > 0)
        printf(", medians of %s of %.2f s", table_some(link_world.rounds, "round"),
               (double)link_world.round_ns / 1e9);
    printf("\n");
    run(&settings);
    end_others();
    redis_server_stop(&link_world.server);
    results_output(&output);
    return 0;
}
