// SPDX-License-Identifier: MIT
// What is said through the control socket does what the public functions do: with own threads and
// without, alone and with Redis, right and wrong.

#include <poll.h>
#include <stdio.h>
#include <sys/stat.h>

#include "cache/cache.h"
#include "l1/core.h"
#include "support/comma.h"
#include "support/dial.h"
#include "support/explain.h"
#include "support/origin.h"

struct place {
    char folder[40];
    char path[60];
};

static void make_place(struct place *p)
{
    strcpy(p->folder, "/tmp/nigh-control-XXXXXX");
    REQUIRE(mkdtemp(p->folder));
    snprintf(p->path, sizeof(p->path), "%s/s", p->folder);
}

static bool listens(const struct place *p)
{
    int fd = dial_open(p->path);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void open_with(struct world *w, struct place *p, const struct redis *server)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    make_place(p);
    if (server) {
        o = patient_options(server);
        o.trust_ms = 1000; /* for which the case waits */
    }
    o.control_socket = p->path;
    world_open(w, &o, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, listens(p)));
}

static void close_all(struct world *w, struct place *p)
{
    world_close(w);
    CHECK_EQ(rmdir(p->folder), 0); /* nothing is left in it */
}

static char *ask(const struct place *p, const char *line)
{
    static char text[DIAL_BYTES];
    CHECK(dial_ask(p->path, line, text));
    return text;
}

/* Whether the answer begins so. */
static bool says(const struct place *p, const char *line, const char *beginning)
{
    char *text = ask(p, line);
    bool right = strncmp(text, beginning, strlen(beginning)) == 0;
    if (!right)
        check_note("%s is answered: %.200s", line, text);
    return right;
}

/* Checks that health says no more than that all is well, and who answers, since when. */
static void check_nothing_to_say(struct place *p)
{
    static const char wanted[] = "ok: L1 alone, without redis.uri\nhere: nigh ";
    const char *text = ask(p, "health\n");
    if (!CHECK(strncmp(text, wanted, strlen(wanted)) == 0 && strstr(text, ", up for ") &&
               strstr(strstr(text, ", up for "), "\n\n")))
        check_note("it says: %s", text);
}

TEST(commands_do_what_the_functions_do)
{
    struct world w;
    struct place p;
    char line[200];
    open_with(&w, &p, NULL);
    ask_fetch(w.space, "k", NULL);
    CHECK(strstr(ask(&p, "help\n"), "\ninvalidate key SPACE KEY..."));
    CHECK(says(&p, "version\n", "nigh "));
    check_nothing_to_say(&p);
    CHECK(says(&p, "stats\n", "uptime_ms "));
    CHECK(strstr(ask(&p, "stats\n"), "\ncache, counted for "));
    CHECK(says(&p, "hot\n", "") && !strstr(ask(&p, "hot\n"), "error"));
    CHECK(says(&p, "hot json\n", "{"));
    snprintf(line, sizeof(line), "hot %s json\n", w.space->name);
    CHECK(says(&p, line, "{"));
    CHECK(says(&p, "hot none json\n", "error: no space of this name is open; open are: "));
    CHECK(says(&p, "stats prometheus\n", "# HELP nigh_"));
    CHECK(says(&p, "stats json\n", "{\"gauges\": {\"uptime_ms\": "));
    snprintf(line, sizeof(line), "explain %s k\n", w.space->name);
    CHECK(says(&p, line, "") && strlen(ask(&p, line)) > 40);
    CHECK(says(&p, "hot\n", "space "));
    CHECK(says(&p, "hot s json\n", "{\"half_life_s\": "));
    CHECK(says(&p, "hot nowhere\n", "error: "));
    CHECK(says(&p, "curve\n", "") && !strstr(ask(&p, "curve\n"), "error"));
    CHECK(says(&p, "curve json\n", "{"));
    CHECK_STR(ask(&p, "get entries\n"), "1\n\n");
    CHECK(says(&p, "options\n", "l1.memory "));
    CHECK_STR(ask(&p, "set l1.memory 64m\n"), "ok\n\n");
    CHECK_STR(ask(&p, "get l1.memory\n"), "64MiB\n\n");
    CHECK_EQ(nigh_stats_value(w.cache, NULL, "memory_cap_bytes"), 64 << 20);
    CHECK_STR(ask(&p, "log debug\n"), "ok\n\n");
    CHECK_STR(ask(&p, "get log.level\n"), "debug\n\n");
    snprintf(line, sizeof(line), "invalidate key %s k \"other key\"\n", w.space->name);
    CHECK_STR(ask(&p, line), "ok\n\n");
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    close_all(&w, &p);
}

static void put_many(struct world *w, unsigned count)
{
    static const char zeros[4000];
    for (unsigned i = 0; i < count; i++)
        nigh_put(w->space, key_numbered(i), strlen(key_numbered(i)), zeros, sizeof(zeros), NULL);
}

/* Let the curve have told before that twice the cap hits so much more than half of all reads. */
static void tell_twice(struct world *w, float more, float error)
{
    struct curve *c = &w->cache->l1->curve;
    pthread_mutex_lock(&c->lock);
    c->told.points = 1u << CURVE_NOW | 1u << L1_CURVE_TWICE;
    c->told.figures[CURVE_NOW] = (struct curve_figure){.5f, 0, .5f, CURVE_NOW, 0};
    c->told.figures[L1_CURVE_TWICE] = (struct curve_figure){.5f + more, error, .5f, CURVE_NOW, 0};
    pthread_mutex_unlock(&c->lock);
}

static void check_twice(struct world *w, const struct place *p, float more, float error,
                        const char *says)
{
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (tell_twice(w, more, error), strstr(ask(p, "health\n"), says)));
}

/* A gain that may be chance is none that is known, unless it is next to nothing at most. */
static void check_what_twice_is_said_to_bring(struct world *w, const struct place *p)
{
    check_twice(w, p, .053f, .054f,
                "; what twice as much would bring is not sure yet (5.3 +- 5.4 % of all reads)");
    check_twice(w, p, .002f, .007f, "; twice as much would bring next to no more hits");
    check_twice(w, p, .002f, .02f, " not sure yet (0.2 +- 2.0 %");
    check_twice(w, p, .053f, .004f, " more hits a second, 5.3 +- 0.4 % of all reads: see curve\n");
}

TEST(health_says_that_l1_is_full_while_it_is)
{
    struct world w;
    struct place p;
    open_with(&w, &p, NULL);
    CHECK_EQ(nigh_set(w.cache, "l1.memory", "8m"), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (put_many(&w, 3000), strstr(ask(&p, "health\n"), "\nroom: L1 is full (")));
    CHECK(strstr(ask(&p, "health\n"), " since a smaller cap was set; what more would"));
    check_what_twice_is_said_to_bring(&w, &p);
    CHECK_EQ(nigh_set(w.cache, "curve", "off"), 0);
    CHECK(strstr(ask(&p, "health\n"), " since a smaller cap was set\n"));
    CHECK_EQ(nigh_set(w.cache, "l1.memory", "64m"), 0);
    check_nothing_to_say(&p);
    CHECK_EQ(nigh_space_set(w.space, "space.memory", "3m"), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (put_many(&w, 1000),
                  strstr(ask(&p, "health\n"), "\nroom: L1 is full for space s (")));
    close_all(&w, &p);
}

static int load_even(struct origin *o, struct nigh_fill *fill)
{
    size_t len;
    const char *key = nigh_fill_key(fill, &len);
    return key[len - 1] % 2 ? nigh_fill_absent(fill) : origin_answer(o, fill);
}

static void fetch_many(struct world *w, unsigned from, unsigned end)
{
    for (unsigned i = from; i < end; i++)
        ask_fetch(w->space, key_numbered(i), NULL);
}

TEST(health_says_where_misses_come_from)
{
    struct world w;
    struct place p;
    const char *text;
    open_with(&w, &p, NULL);
    struct nigh_call probe = call_flagged(NIGH_L1_ONLY);
    for (unsigned i = 0; i < 50; i++)
        ask_get(w.space, key_numbered(i), &probe);
    CHECK_EQ(world_count(&w, "l1_probe_miss"), 50);
    CHECK_EQ(world_count(&w, "miss_of_new"), 0); /* nothing was missed */
    w.origin.script = load_even;
    fetch_many(&w, 0, 200);
    for (unsigned i = 0; i < 200; i += 2)
        nigh_invalidate(w.space, key_numbered(i), strlen(key_numbered(i)), NULL);
    fetch_many(&w, 0, 200);
    CHECK_EQ(world_count(&w, "miss_absent"), 100);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strstr(text = ask(&p, "health\n"),
                                           "\nmisses: 300 of 400 reads (75.0 %) in the "));
    CHECK(strstr(text, " since the opening\n"));
    CHECK(strstr(text, "\nmisses: what L1 had of their keys: nothing (or it is"));
    CHECK(strstr(text, " %, one that was invalidated or changed "));
    CHECK(!strstr(text, "most are for"));
    for (unsigned i = 1; i < 600; i += 2)
        ask_fetch(w.space, key_numbered(i), NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 strstr(ask(&p, "health\n"), "; most are for keys that do not exist (60 %)\n"));
    close_all(&w, &p);
}

/* It seemed that keys were new which had been evicted seconds before. */
TEST(health_says_how_soon_the_evicted_are_forgotten)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct world w;
    struct place p;
    make_place(&p);
    o.control_socket = p.path;
    o.l1_memory = 4u << 20;
    world_open(&w, &o, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, listens(&p)));
    fetch_many(&w, 0, 200);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strstr(ask(&p, "health\n"), "nothing (or it is forgotten) "));
    if (!CHECK_WITHIN(WORLD_PATIENCE_MS,
                      (put_many(&w, 3000), /* of which L1 has room for a third */
                       strstr(ask(&p, "health\n"), ": nothing (or it is forgotten: half of the "
                                                   "evicted are within "))))
        check_note("%s", ask(&p, "health\n"));
    close_all(&w, &p);
}

static bool has_comma_in_number(const char *text)
{
    for (const char *at = text; (at = strchr(at, ',')); at++)
        if (at > text && at[-1] >= '0' && at[-1] <= '9' && at[1] >= '0' && at[1] <= '9')
            return true;
    return false;
}

TEST(numbers_have_a_point_whatever_the_locale_of_the_host)
{
    static const char *const commands[] = {"spaces\n", "health\n", "stats\n", "curve\n"};
    struct comma comma;
    struct world w;
    struct place p;
    if (comma_take(&comma)) {
        open_with(&w, &p, NULL);
        fetch_many(&w, 0, 200);
        CHECK_WITHIN(WORLD_PATIENCE_MS, strstr(ask(&p, "health\n"), "\nmisses: 200 of 200 reads "));
        for (size_t i = 0; i < ARRAY_COUNT(commands); i++)
            if (!CHECK(!has_comma_in_number(ask(&p, commands[i]))))
                check_note("%s", ask(&p, commands[i]));
        close_all(&w, &p);
    }
    comma_leave(&comma);
}

/* A longer space.absent_ttl is spoken of where it is seen that it would help. */
TEST(health_says_when_an_absence_should_be_known_for_longer)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct world w;
    struct place p;
    struct nigh_space *other;
    make_place(&p);
    o.control_socket = p.path;
    o.space.absent_ttl_ms = 20;
    world_open(&w, &o, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, listens(&p)));
    w.origin.script = load_even;
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (fetch_many(&w, 0, 200),
                  strstr(ask(&p, "health\n"), " %): that answer is kept for 20 ms "
                                              "(space.absent_ttl), longer would spare ")));
    CHECK_EQ(nigh_space_open(w.cache, "t", NULL, NULL, NULL, NULL, &other), 0);
    CHECK(strstr(ask(&p, "health\n"), " %): that answer in space s is kept for 20 ms ("));
    close_all(&w, &p);
}

/* Whether `name` is of the numbers of a histogram, or of a shard's spread: part of another one. */
static bool is_part(const char *name)
{
    static const char *const parts[] = {"count", "sum_ns", "max_ns", "buckets", "least", "median",
                                        "most", "gauges", "shards", "cache"};
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        if (strcmp(name, parts[i]) == 0)
            return true;
    return name[0] == 'p' && name[1] >= '0' && name[1] <= '9'; /* p50_ns */
}

/* Gets every name of a part of the report. Returns how many there are. */
static unsigned get_all(const struct place *p, const char *from, const char *end, const char *space)
{
    char name[64], asked[100];
    unsigned count = 0;
    for (const char *at = from; (at = strchr(at, '"')) && at < end;) {
        size_t len = strcspn(at + 1, "\"");
        bool is_name = strncmp(at + 1 + len, "\": ", 3) == 0;
        snprintf(name, sizeof(name), "%.*s", (int)len, at + 1);
        at += len + 2;
        if (!is_name || is_part(name))
            continue;
        snprintf(asked, sizeof(asked), "get %s%s%s\n", space, *space ? " " : "", name);
        if (!CHECK(strncmp(ask(p, asked), "error", 5) != 0))
            check_note("%s", asked);
        count++;
    }
    return count;
}

TEST(all_that_stats_lists_can_be_got)
{
    struct world w;
    struct place p;
    static char report[DIAL_BYTES];
    struct redis server;
    redis_start(&server, NULL);
    open_with(&w, &p, &server);
    ask_fetch(w.space, "k", NULL);
    strcpy(report, ask(&p, "stats json\n"));
    const char *spaces = strstr(report, "\"spaces\": {");
    const char *own = spaces ? strchr(spaces + 11, '{') : NULL;
    if (CHECK(own)) {
        CHECK_GT(get_all(&p, report, spaces, ""), 100);
        CHECK_GT(get_all(&p, own, report + strlen(report), "s"), 80);
    }
    CHECK_STR(ask(&p, "get redis_outage\n"), "none\n\n");
    CHECK(!strstr(ask(&p, "health\n"), "\nhint: "));
    unsigned fetched = 0; /* from a loader that has it at hand; Redis is asked once it is there */
    CHECK_WITHIN(WORLD_PATIENCE_MS, (fetch_many(&w, fetched, fetched + 420), fetched += 420,
                                     strcmp(ask(&p, "get s loader_cheaper\n"), "1\n\n") == 0));
    CHECK(strstr(ask(&p, "health\n"), "\nhint: space s: a load takes "));
    CHECK(says(&p, "get entry_bytes\n", "of a shard: least "));
    close_all(&w, &p);
    redis_stop(&server);
}

/* Of an option that may be none, one word says that it is, of all spaces and of one. */
static void check_none_is_one_word(const char *options_shown)
{
    CHECK(strstr(options_shown, "\nspace.keep             none\n"));
    CHECK(strstr(options_shown, "\nspace.batch_wait       none\n"));
    CHECK(strstr(options_shown, "\nspace.memory           none (live)\n"));
}

TEST(spaces_are_listed_and_asked_one_by_one)
{
    struct world w;
    struct place p;
    open_with(&w, &p, NULL);
    ask_fetch(w.space, "k", NULL);
    CHECK(says(&p, "spaces\n", "space           entries     charged     own cap   L1 % of last\ns  "
                               "                   1 "));
    CHECK(strstr(ask(&p, "spaces\n"), " B             - ")); /* one small value, no cap */
    CHECK(strstr(ask(&p, "spaces\n"), "\n  floors "));
    CHECK(strstr(ask(&p, "spaces\n"), " % of the cap\n"));
    CHECK(strstr(ask(&p, "spaces\n"), "\nof last: less than a minute since the opening\n"));
    CHECK_STR(ask(&p, "get s entries\n"), "1\n\n");
    CHECK_STR(ask(&p, "get s load\n"), "1\n\n");
    CHECK_STR(ask(&p, "get s invalidate\n"), /* it said 0, whatever had changed */
              "error: invalidate is not told of one space: get invalidate\n\n");
    CHECK(says(&p, "get s flights\n", "error: flights is not told of one space: get flights\n"));
    CHECK(says(&p, "get s latency_load\n", "count 1, p50_ns "));
    CHECK(says(&p, "get latency_change\n", "count 0, p50_ns -, "));
    CHECK_STR(ask(&p, "get s space.l2\n"), "values\n\n");
    CHECK_STR(ask(&p, "get s space.memory\n"), "none\n\n"); /* what the others leave */
    char *text = ask(&p, "options s\n");
    CHECK(strstr(text, "space.loads ") && !strstr(text, "l1.memory"));
    check_none_is_one_word(text);
    check_none_is_one_word(ask(&p, "options\n"));
    CHECK_STR(ask(&p, "set s space.memory 8m\n"),
              "ok\nnote: the space has a table of its own from now on, which begins empty: L1 has "
              "dropped 1 value of it, and brings it again when asked for\n\n");
    CHECK_STR(ask(&p, "get s space.memory\n"), "8MiB\n\n");
    CHECK(strstr(ask(&p, "spaces\n"), "\nof last: less than a minute since a cap was set\n"));
    CHECK_STR(ask(&p, "set s space.memory 9m\n"), "ok\n\n");
    CHECK(says(&p, "curve\n", "Without spaces that have, or had, a space.memory: s.\ncurve: no "));
    close_all(&w, &p);
}

/* It said "ok", and L1 had lost all that it had. */
TEST(a_first_cap_for_all_spaces_says_what_it_costs)
{
    struct world w;
    struct place p;
    struct nigh_space *other;
    open_with(&w, &p, NULL);
    CHECK_STR(ask(&p, "set space.memory none\n"), "ok\n\n");
    REQUIRE_EQ(nigh_space_open(w.cache, "other", NULL, NULL, NULL, NULL, &other), 0);
    CHECK_EQ(nigh_put(other, "k", 1, "v", 1, NULL), 0);
    ask_fetch(w.space, "k", NULL);
    ask_fetch(w.space, "l", NULL);
    CHECK(says(&p, "set space.memory 1\n", "error: space.memory=1 (bytes): out of range"));
    CHECK_STR(ask(&p, "set space.memory 8m\n"),
              "ok\nnote: 2 spaces have tables of their own from now on, which begin empty: L1 has "
              "dropped 3 values of them, and brings them again as they are asked for\n\n");
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    CHECK_STR(ask(&p, "set space.memory 9m\n"), "ok\n\n");
    close_all(&w, &p);
}

/* Whatever a space is called, the numbers of all stand in one column, and no line is too long. */
TEST(long_names_leave_columns_alone)
{
    static const char *const names[] = {"of twenty-eight characters..", "gr\xc3\xb6\xc3\x9f" "er",
                                        "a name that is longer than the column of names may be",
                                        "\x1b[31m"};
    struct world w;
    struct place p;
    struct nigh_space *space;
    open_with(&w, &p, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        REQUIRE_EQ(nigh_space_open(w.cache, names[i], NULL, NULL, NULL, NULL, &space), 0);
    const char *text = ask(&p, "spaces\n");
    CHECK(strstr(text, "\nof twenty-eight characters..          0 "));
    CHECK(strstr(text, "\ngr\xc3\xb6\xc3\x9f" "er"
                       "                                0 "));
    CHECK(strstr(text, "\na name that is longer than the column of names may be\n          "));
    CHECK(strstr(text, "\n\\x1b[31m                              0 "));
    for (const char *at = text; *at; at += strcspn(at, "\n") + 1)
        CHECK(strcspn(at, "\n") <= 80);
    close_all(&w, &p);
}

TEST(every_kind_of_target_is_invalidated)
{
    struct world w;
    struct place p;
    char line[200];
    open_with(&w, &p, NULL);
    ask_fetch(w.space, "k", NULL);
    CHECK_STR(ask(&p, "invalidate soft all\n"), "ok\n\n");
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_STALE);
    snprintf(line, sizeof(line), "invalidate space %s\n", w.space->name);
    CHECK_STR(ask(&p, line), "ok\n\n");
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_MISS);
    CHECK_STR(ask(&p, "invalidate tag a \"b c\" \\x00\n"), "ok\n\n");
    CHECK_STR(ask(&p, "invalidate all\n"), "ok\n\n");
    close_all(&w, &p);
}

TEST(what_is_wrong_is_said_and_does_nothing)
{
    static const struct {
        const char *line, *error;
    } rows[] = {
        {"nonsense\n", "error: no such command: nonsense; there are: help, version, health, "},
        {"why s k\n", "error: no such command: why; did you mean: health, explain (help says"},
        {"inval\\x00\n", "error: no such command: inval\\x00; did you mean: invalidate (help says"},
        {"stats yaml\n", "error: no such format: yaml; there are text, json and prometheus\n"},
        {"stats s\n", "error: s is a space, and this is not told of one space alone"},
        {"hot nope\n", "error: no space of this name is open; open are: s\n"},
        {"get s nothing\n", "error: a space has no option, counter, gauge or histogram"},
        {"get none entries\n", "error: no space of this name is open; open are: s\n"},
        {"options none\n", "error: no space of this name is open; open are: s\n"},
        {"stats json json\n", "error: too many words: stats [text|json|prometheus]; json is one "
                              "for: stats, explain, hot, curve\n"},
        {"spaces json\n", "error: spaces takes no words; json is one for: stats, explain, hot, "},
        {"health now\n", "error: health takes no words\n"},
        {"log\n", "error: a word is missing: log error|warn|info|debug\n"},
        {"curve prometheus\n", "error: no such format: prometheus; there are text and json\n"},
        {"explain s k prometheus\n", "error: no such format: prometheus; there are text and"},
        {"hot s prometheus\n", "error: no such format: prometheus; there are text and json\n"},
        {"get nothing\n", "error: no option, counter, gauge or histogram"},
        {"get cap\n", "error: no option, counter, gauge or histogram of this name (one of a space: "
                      "get SPACE NAME): stats and options list them; some have to do with it: "
                      "l1.memory, l1.entries, space.memory, "},
        {"get s cap\n", "error: a space has no option, counter, gauge or histogram of this name: "
                        "stats and options SPACE list them; some have to do with it: space.memory, "
                        "memory_bytes, memory_cap_bytes, "},
        {"get a\\x00b\n", "error: a name or value has no byte 0"},
        {"set l1.memory\n", "error: a word is missing: set [SPACE] NAME VALUE\n"},
        {"set l1.memory 1k\n", "error: l1.memory=1k"},
        {"set l1.shards 8\n", "error: l1.shards=8: cannot change"},
        {"set none l1.memory 64m\n", "error: no space of this name"},
        {"log loud\n", "error: log.level=loud: one of error,warn,info,debug"},
        {"invalidate\n", "error: a word is missing: invalidate key SPACE KEY...\n"},
        {"invalidate key\n", "error: key SPACE KEY"},
        {"invalidate key none\n", "error: key SPACE KEY"},
        {"invalidate key none k\n", "error: no space of this name"},
        {"invalidate tag\n", "error: key SPACE KEY"},
        {"invalidate all x\n", "error: key SPACE KEY"},
        {"invalidate door x\n", "error: key SPACE KEY"},
        {"invalidate soft key s k\n", "error: soft is for tags, spaces and all"},
        {"invalidate tag \"\"\n", "error: "},
    };
    struct world w;
    struct place p;
    open_with(&w, &p, NULL);
    ask_fetch(w.space, "k", NULL);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        CHECK(says(&p, rows[i].line, rows[i].error));
    CHECK_EQ(ask_get(w.space, "k", NULL).outcome, NIGH_FRESH);
    close_all(&w, &p);
}

TEST(a_password_is_not_shown)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct world w;
    struct place p;
    make_place(&p);
    o.control_socket = p.path;
    o.redis_uri = "redis://me:very@secret@127.0.0.1:1/0";
    o.redis_sentinel_password = "topsecret";
    world_open(&w, &o, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, listens(&p)));
    CHECK_STR(ask(&p, "get redis.uri\n"), "redis://...@127.0.0.1:1/0\n\n");
    CHECK(!strstr(ask(&p, "options\n"), "secret"));
    CHECK_STR(ask(&p, "get redis.sentinel_password\n"), "...\n\n");
    CHECK(!strstr(ask(&p, "set redis.sentinel_password secret\n"), "secret"));
    CHECK(!strstr(ask(&p, "set redis.uri redis://:secret@h\n"), "secret"));
    CHECK_STR(ask(&p, "get redis.prefix\n"), "nigh\n\n");
    CHECK(!strstr(ask(&p, "options\n"), "(default: -)"));
    CHECK_STR(ask(&p, "get trace.file\n"), "by default nowhere\n\n");
    CHECK_STR(ask(&p, "get redis.tls_cert\n"), "none\n\n");
    CHECK_STR(ask(&p, "get redis.sentinel_password_file\n"), "none\n\n");
    CHECK_STR(ask(&p, "get l1.entries\n"), "none\n\n");
    CHECK_STR(ask(&p, "get l1.limbo\n"), "by default 1/16 of l1.memory, part of it\n\n");
    CHECK_STR(ask(&p, "get coherence.guest\n"), "0\n\n");
    CHECK(!strstr(ask(&p, "options\n"), " -\n") && !strstr(ask(&p, "options\n"), " - ("));
    CHECK(says(&p, "get control.socket\n", p.path));
    close_all(&w, &p);
}

/* As of sixteen Sentinels with long names. */
TEST(a_long_value_is_shown_whole)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct world w;
    struct place p;
    char uri[4096];
    char *at = stpcpy(uri, "redis+sentinel://me:secret@");
    make_place(&p);
    o.control_socket = p.path;
    for (unsigned i = 0; i < 16; i++)
        at += sprintf(at, "%ssentinel-%02u.%0100u.invalid:26379", i ? "," : "", i, i);
    strcpy(at, "/mymaster?db=3");
    o.redis_uri = uri;
    world_open(&w, &o, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, listens(&p)));
    const char *hosts = strchr(uri, '@');
    const char *shown = ask(&p, "get redis.uri\n");
    CHECK(strncmp(shown, "redis+sentinel://...@sentinel-00", 32) == 0);
    CHECK(strncmp(strchr(shown, '@'), hosts, strlen(hosts)) == 0);
    CHECK(strstr(ask(&p, "options\n"), hosts));
    CHECK(!strstr(ask(&p, "options\n"), "secret"));
    close_all(&w, &p);
}

TEST(doubt_is_said_with_its_reason)
{
    struct redis server;
    struct world w;
    struct place p;
    redis_start(&server, NULL);
    struct nigh_options o = node_options(&server);
    redis_stop(&server);
    make_place(&p);
    o.control_socket = p.path;
    world_open(&w, &o, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, listens(&p)));
    CHECK(says(&p, "health\n", "doubt: redis is not connected: "));
    close_all(&w, &p);
}

TEST(with_redis_it_says_how_things_are)
{
    struct redis server;
    struct world w, other;
    struct place p;
    redis_start(&server, NULL);
    open_with(&w, &p, &server);
    char *text = NULL;
    CHECK_WITHIN(WORLD_PATIENCE_MS, strncmp(text = ask(&p, "health\n"), "ok\nhere: ", 9) == 0);
    /* What came before the first beat behind the resync has no lag. */
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 strcmp(ask(&p, "invalidate tag t\n"), "ok: heard by 0 others\n\n") == 0 &&
                     strstr(text = ask(&p, "health\n"), "\nlag: changes came here within "));
    CHECK(strstr(text, " (p99) in the ") && strstr(text, " s since the opening\nlag: the longest"));
    const char *longest = strstr(text, "\nlag: the longest was ");
    CHECK(longest && strstr(longest, " UTC\n"));
    struct nigh_options o = patient_options(&server);
    world_open(&other, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 strcmp(ask(&p, "invalidate tag t\n"), "ok: heard by 1 other\n\n") == 0);
    world_close(&other);
    redis_stop(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 strstr(text = ask(&p, "health\n"), ": redis is not connected: ") != NULL);
    CHECK(strncmp(text, "degraded: ", 10) == 0 || strncmp(text, "doubt: ", 7) == 0);
    CHECK(says(&p, "invalidate tag t\n", "queued: "));
    CHECK(strstr(ask(&p, "health\n"), "\nqueued: 1 change, of which other nodes know nothing"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, strncmp(text = ask(&p, "health\n"), "doubt: ", 7) == 0);
    CHECK(strstr(text, "\nclients: what L1 has is handed out as stale\n"));
    close_all(&w, &p);
}

/* An outage that is over is told as such; what a server does when it is full, and what to change;
 * and who answers, by the name that explanations of other nodes use. */
TEST(health_says_what_was_and_who_this_is)
{
    static char *const args[] = {"--maxmemory", "1gb", NULL}; /* policy noeviction */
    struct redis server;
    struct world w;
    struct place p;
    char here[64];
    char *text = NULL;
    redis_start(&server, args);
    open_with(&w, &p, &server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strncmp(text = ask(&p, "health\n"), "ok\n", 3) == 0);
    CHECK(!strstr(text, "last outage"));
    CHECK(strstr(text, "\nadvice: redis: with maxmemory-policy noeviction "));
    struct coherence_gauges g;
    coherence_gauges_read(w.cache->coherence, &g);
    snprintf(here, sizeof(here), "process %d, node %04x, host ", (int)getpid(),
             cache_node_name(g.node));
    CHECK(strstr(text, here));
    CHECK(strstr(ask(&p, "stats\n"), "redis_evicts             noeviction"));
    snprintf(here, sizeof(here), "\"pid\": %d, \"node\": \"%04x\"", (int)getpid(),
             cache_node_name(g.node));
    text = ask(&p, "stats json\n");
    CHECK(strstr(text, here));
    CHECK(strstr(text, "\"redis_evicts\": \"noeviction\""));
    redis_kill(&server); /* first the connection breaks, then there is nobody to connect to */
    CHECK_WITHIN(WORLD_PATIENCE_MS, strstr(text = ask(&p, "health\n"), ": it began with: ") &&
                                        strstr(text, "redis is not connected: connect: "));
    char *first = strdup(ask(&p, "get redis_problem_first\n"));
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strncmp(text = ask(&p, "health\n"), "ok\n", 3) == 0 &&
                                        strstr(text, "\nlast outage: redis was away for "));
    CHECK(strstr(text, " UTC\nlast outage: it began with: "));
    CHECK(strstr(text, "\nlast outage: the last reason: "));
    CHECK_STR(ask(&p, "get redis_outage_first\n"), first);
    CHECK(strncmp(first, "connect: ", 9) != 0);
    free(first);
    CHECK(strstr(ask(&p, "stats\n"), "\nredis_outage         "));
    CHECK(strstr(ask(&p, "stats\n"), "; later: "));
    CHECK(strstr(ask(&p, "stats json\n"), "\"redis_outage_first\": \""));
    CHECK(!strstr(ask(&p, "stats\n"), "redis_problem"));
    text = ask(&p, "stats prometheus\n");
    CHECK(strstr(text, "\nnigh_redis_outage_seconds "));
    CHECK(!strstr(text, "\nnigh_redis_outage_seconds 0.000\n"));
    close_all(&w, &p);
    redis_stop(&server);
}

TEST(health_says_what_a_full_redis_has_evicted)
{
    static char *const args[] = {"--maxmemory-policy", "allkeys-lru", NULL};
    struct redis server;
    struct world w;
    struct place p;
    char *text = NULL;
    redis_start(&server, args);
    free(redis_command(&server, "SET a 1"));
    free(redis_command(&server, "CONFIG SET maxmemory 1"));
    free(redis_command(&server, "CONFIG SET maxmemory 0"));
    open_with(&w, &p, &server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strncmp(text = ask(&p, "health\n"), "ok\n", 3) == 0);
    CHECK(strstr(text, "\nredis: it has evicted 1 key since it was started (it uses "));
    CHECK(strstr(text, "the order of changes may be among them"));
    text = ask(&p, "stats prometheus\n");
    CHECK(strstr(text, "\n# TYPE nigh_redis_evicted_keys_total counter\n"));
    CHECK(strstr(text, "\nnigh_redis_evicted_keys_total 1\n"));
    CHECK(strstr(text, "\nnigh_redis_memory_cap_bytes 0\n"));
    close_all(&w, &p);
    redis_stop(&server);
}

static void time_requests(struct world *w, int count, uint64_t took_ns)
{
    for (int i = 0; i < count; i++)
        stats_time(&w->space->stats, STATS_LATENCY_L2, took_ns);
}

/* It called a Redis well that took 200 ms for each answer. */
TEST(health_says_what_requests_take_and_that_redis_is_slow)
{
    struct redis server;
    struct world w;
    struct place p;
    char *text = NULL;
    redis_start(&server, NULL);
    open_with(&w, &p, &server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strncmp(ask(&p, "health\n"), "ok\n", 3) == 0);
    CHECK(!strstr(ask(&p, "health\n"), "redis: requests took"));
    time_requests(&w, 10, NS_PER_MS / 30); /* was "0 ms" */
    CHECK(strstr(ask(&p, "health\n"), "\nredis: requests took 0.1 ms (median), 0.1 ms (p99) in "));
    time_requests(&w, 1000, NS_PER_MS);
    time_requests(&w, 5, 3 * l2_slow_ns(w.cache->l2));
    text = ask(&p, "health\n");
    CHECK(strstr(text, "\nredis: requests took 1."));
    CHECK(strstr(text, " ms (p99) in the "));
    CHECK(strstr(text, " since the opening\n"));
    CHECK(!strstr(text, "redis: slow: 5 of"));
    time_requests(&w, 100, 3 * l2_slow_ns(w.cache->l2));
    text = ask(&p, "health\n");
    CHECK(strstr(text, "\nredis: slow: 105 of 1115 took more than "));
    CHECK(strstr(text, ", which counts as failing (redis.deadline)"));
    CHECK(strstr(text, ": look at its SLOWLOG, its CPU, and the network\n"));
    stats_add(&w.cache->stats, STATS_L2_TIMEOUT, 200);
    CHECK(strstr(ask(&p, "health\n"), "; 2"));
    CHECK(strstr(ask(&p, "health\n"), " had no answer in time: look at "));
    close_all(&w, &p);
    redis_stop(&server);
}

static char heard[4096];

/* Collects on the log's thread what closing the cache hands out. */
static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    size_t len = strlen(heard);
    (void)arg;
    snprintf(heard + len, sizeof(heard) - len, "%s%s\n",
             level == NIGH_LOG_WARN ? "warning: " : "", message);
}

TEST(each_change_is_in_the_log_with_whose_it_was)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct world w;
    struct place p;
    char who[100];
    make_place(&p);
    o.control_socket = p.path;
    o.log = hear;
    world_open(&w, &o, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, listens(&p)));
    CHECK_STR(ask(&p, "set l1.memory 64m\n"), "ok\n\n");
    CHECK_STR(ask(&p, "invalidate tag a\\x0a b c d\n"), "ok\n\n");
    CHECK_STR(ask(&p, "invalidate all\n"), "ok\n\n");
    CHECK_STR(ask(&p, "invalidate soft all\n"), "ok\n\n");
    CHECK_STR(ask(&p, "invalidate soft tag key\n"), "ok\n\n");
    CHECK(says(&p, "invalidate none\n", "error: "));
    close_all(&w, &p);
    snprintf(who, sizeof(who), " by user %d, process %d\n", (int)getuid(), (int)getpid());
    CHECK(strstr(heard, "\nwarning: control.socket: set l1.memory 64m by user") != NULL);
    CHECK(strstr(heard, "\ncontrol.socket: invalidate tag a\\x0a b ... by user") != NULL);
    CHECK(strstr(heard, "\nwarning: control.socket: invalidate all by user") != NULL);
    CHECK(strstr(heard, "\nwarning: control.socket: invalidate soft all by user") != NULL);
    CHECK(strstr(heard, "\ncontrol.socket: invalidate soft tag key by user") != NULL);
    CHECK(strstr(heard, who) != NULL);
    CHECK(strstr(heard, "invalidate none") == NULL);
    if (check_failed_count() > 0)
        check_note("the log says: %s", heard);
}

/* Checks that a node which was idle meanwhile tells that two changes had waited at another, and a
 * bound of how old they were. `made_ms`: before their calls. */
static void check_late(const struct world *idle, const struct place *p, uint64_t made_ms)
{
    const char *text = NULL, *bound;
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(idle, "late") == 2);
    CHECK_GE(world_count(idle, "late_wait_ms"), 2000);
    CHECK_EQ(world_count(idle, "frame_late"), 2);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strstr(text = ask(p, "health\n"), /* it listens again */
                                           "\nlate: 2 changes of other nodes came here late, "));
    CHECK(bound = strstr(text, "\nlate: at most "));
    CHECK(strstr(text, " s after the call; of that up to "));
    CHECK(strstr(text, "'s queue\n"));
    struct coherence_past past;
    coherence_past_read(idle->cache->coherence, &past);
    uint64_t heard_ms = check_now_ms() - past.late.since_ms;
    CHECK_GE(bound ? strtod(bound + strlen("\nlate: at most "), NULL) * 1000 : 0,
             (double)(heard_ms - made_ms));
    CHECK(!strstr(text, "\ndelivered: "));
    CHECK(explain_says(idle->space, "k", " UTC (at most "));
    CHECK(explain_says(idle->space, "k", " s after the call; of that up to "));
    CHECK(explain_says(idle->space, "k", " s in that node's queue)"));
}

/* In an outage that is told, and of all that is over one line. */
static void check_next_outage(struct redis *server, const struct place *p)
{
    const char *text = NULL, *last;
    redis_kill(server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strncmp(text = ask(p, "health\n"), "doubt: redis is not conn",
                                            24) == 0);
    CHECK(strstr(text, "\ndoubt: it began with: "));
    CHECK(last = strstr(text, "\nlast outage: "));
    last = last ? strstr(last, " UTC\n") : NULL;
    CHECK(last && strncmp(last, " UTC\nhere: ", 11) == 0);
    CHECK(!strstr(text, "\nlast doubt: ") && !strstr(text, "\nlast resync: "));
    CHECK(!strstr(text, "\ndelivered: ") && !strstr(text, "\nlag: "));
}

/* A link gives up a server that is silent after 2 s, which are part of the outage. What clients get
 * and what waits is said meanwhile, and no advice about hits; what became of it afterwards; and a
 * node that has done nothing all the time says why changes came late. */
TEST(an_outage_is_told_from_the_last_answer_to_the_last_delivery)
{
    struct redis server;
    struct world w, idle;
    struct place p, q;
    const char *text = NULL;
    char line[128];
    redis_start(&server, NULL);
    struct nigh_options o = patient_options(&server);
    make_place(&q);
    o.control_socket = q.path;
    world_open(&idle, &o, NULL);
    make_place(&p);
    o.control_socket = p.path;
    o.trust_ms = 2000;
    o.log = hear;
    heard[0] = '\0';
    world_open(&w, &o, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, listens(&p) && listens(&q)));
    fetch_many(&w, 0, 200);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 strncmp(text = ask(&p, "health\n"), "ok\nmisses: 200 ", 15) == 0);
    CHECK(!strstr(text, "delivered"));
    redis_pause(&server);
    uint64_t made_ms = check_now_ms();
    snprintf(line, sizeof(line), "invalidate key %s k\n", w.space->name);
    CHECK(says(&p, "invalidate tag t\n", "queued: "));
    CHECK(says(&p, line, "queued: "));
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 strncmp(ask(&p, "get redis_problem_first\n"), "silent ", 7) == 0);
    CHECK(atoi(ask(&p, "get redis_problem_ms\n")) >= 2000);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strncmp(text = ask(&p, "health\n"), "doubt: ", 7) == 0);
    CHECK(strstr(text, "\nqueued: 2 changes, of which"));
    CHECK(!strstr(text, "misses"));
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "connected") == 0); /* attempts have failed */
    redis_resume(&server);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strstr(text = ask(&p, "health\n"), "\ndelivered: 2 ") &&
                                        strncmp(text, "ok\nmisses: ", 11) == 0);
    CHECK(strstr(text, "\nlast outage: redis was away for "));
    CHECK(strstr(text, "\nlast doubt: for "));
    CHECK(strstr(text, "\nlast doubt: redis was away: silent with requests pending\n"));
    CHECK(strstr(text, "\nlast doubt: what L1 had was stale; what nobody had changed is fresh "
                       "again\n"));
    CHECK(!strstr(text, "last resync"));
    CHECK(strstr(text, "\ndelivered: 2 changes that waited were told to all nodes "));
    CHECK(strstr(text, " after the link came back; none was dropped\n"));
    CHECK(!strstr(text, ": the listener was away\n") || strstr(text, " s at most, at "));
    CHECK(atoi(ask(&p, "get delivered_wait_ms\n")) >= 2000);
    CHECK(atoi(ask(&p, "get redis_outage_ms\n")) >= 2000);
    CHECK(atoi(ask(&p, "get doubt_last_ms\n")) >= 1);
    CHECK(says(&p, "get doubt_reason\n", "redis was away: silent with requests pending\n"));
    CHECK_STR(ask(&p, "get delivered\n"), "2\n\n");
    CHECK(strstr(ask(&p, "stats\n"), "\ndoubt_reason         redis was away: silent with"));
    CHECK(strstr(ask(&p, "stats json\n"), "\"doubt_reason\": \"redis was away: silent with"));
    CHECK(strstr(ask(&p, "stats prometheus\n"), "\nnigh_invalidate_delivered_total 2\n"));
    check_late(&idle, &q, made_ms);
    redis_restart(&server, REDIS_EMPTY);
    CHECK_WITHIN(WORLD_PATIENCE_MS, strstr(text = ask(&p, "health\n"),
                                           "\nlast resync: redis is another, or has lost"));
    CHECK(says(&p, "get resync_reason\n", "redis is another, or has lost its data\n"));
    check_next_outage(&server, &p);
    close_all(&w, &p);
    close_all(&idle, &q);
    redis_stop(&server);
    CHECK(strstr(heard, "redis has accepted the 2 changes that had waited for up to "));
}

/* ---- without own threads ---- */

static bool tick_until_answered(struct world *w, int fd, char text[DIAL_BYTES])
{
    struct pollfd fds = {.fd = nigh_tick_fd(w->cache), .events = POLLIN};
    size_t len = 0;
    for (uint64_t end_ms = check_now_ms() + WORLD_PATIENCE_MS; check_now_ms() < end_ms;) {
        ssize_t n = recv(fd, text + len, DIAL_BYTES - 1 - len, MSG_DONTWAIT);
        if (n == 0)
            break;
        len += n > 0 ? (size_t)n : 0;
        if (n < 0 && poll(&fds, 1, 1000) == 1)
            nigh_tick(w->cache);
    }
    text[len] = '\0';
    close(fd);
    return len > 0;
}

TEST(without_own_threads_ticks_answer)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct world w;
    struct place p;
    char text[DIAL_BYTES];
    make_place(&p);
    o.control_socket = p.path;
    o.threads = NIGH_THREADS_NONE;
    world_open(&w, &o, NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, (nigh_tick(w.cache), access(p.path, F_OK) == 0));
    for (int i = 0; i < 3; i++) {
        int fd = dial_open(p.path);
        REQUIRE(fd >= 0);
        dial_send(fd, "invalidate all\n", 15);
        CHECK(tick_until_answered(&w, fd, text));
        CHECK_STR(text, "ok\n\n");
    }
    close_all(&w, &p);
}

TEST(a_path_that_is_no_sockets_keeps_the_cache_from_opening)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache = NULL;
    o.control_socket = "relative/path";
    CHECK_EQ(nigh_open(&o, &cache), NIGH_EOPTION);
    CHECK(strstr(nigh_options_error(), "control.socket=relative/path") != NULL);
    CHECK(cache == NULL);
}
