// SPDX-License-Identifier: MIT
/*
 * The commands of the control socket: one table, from which `help` is made, too.
 *
 * A command does what a public function does, and shows what that gives back; so whatever may be
 * said of the function (that it blocks, that other threads may call meanwhile) holds here. They run
 * one after the other, on nigh-control or in a tick, and none of them takes longer than the
 * deadline of a request to Redis.
 *
 * Whoever may connect may do all of this: the file of the socket is its owner's. What changes
 * something is said in the log, with whose it was.
 */
#include "cache/commands.h"

#include <inttypes.h>
#include <stdio.h>
#include <strings.h>
#include <unistd.h>

#include "cache/caller.h"
#include "cache/options.h"
#include "cache/report/formats.h"
#include "cache/set.h"
#include "cache/space.h"
#include "cache/space_l1.h"
#include "control/control.h"

#define HELP_COLUMN 36
#define NOTED_WORDS 4u  /* of a command in the log, each cut at so many bytes */
#define NOTED_BYTES 40u
#define STRINGS_MAX 16u /* options that are strings */

/* Keys: (c) constant after open */
struct commands {
    struct nigh *cache;         /* (c) */
    struct control *control;    /* (c) */
    struct nigh_options opened; /* (c) what they were; its strings are those below */
    char strings[STRINGS_MAX][OPTION_SHOWN_BYTES]; /* (c) */
    struct nigh_target targets[CONTROL_WORDS_MAX]; /* of the command that runs: one at a time */
};

/* A command on its way. */
struct ask {
    struct commands *commands;
    struct nigh *cache;
    const struct bytes *words; /* of the command, behind its name */
    uint32_t count;
    struct control_reply *reply;
};

struct command {
    const char *name;
    const char *args;
    const char *help;
    uint32_t min, max; /* words behind the name */
    bool changes;      /* something: the log has a line about it */
    void (*run)(struct ask *a);
};

static bool is_word(struct bytes word, const char *text)
{
    return bytes_equal(word, bytes_of_string(text));
}

/* A word as a string, which has no NUL in it. NULL: an error has been answered. */
static const char *string_of(struct ask *a, struct bytes word)
{
    if (memchr(word.data, 0, word.len) == NULL)
        return word.data;
    control_error(a->reply, "a name or value has no byte 0");
    return NULL;
}

static void say(struct ask *a, const char *what, int rc)
{
    control_error(a->reply, "%s%s%s", what, *what ? ": " : "",
                  rc == NIGH_EOPTION ? nigh_options_error() : nigh_strerror(rc));
}

/* Say which spaces there are, for whoever has named another one: as many as a line has room for. */
static void refuse_space(struct ask *a)
{
    char names[256] = "none";
    struct text w = text_into(names, sizeof(names));
    const char *name;
    for (size_t i = 0; nigh_stats_space(a->cache, i, &name); i++) {
        text_add(&w, "%s", i ? ", " : "");
        text_add_name(&w, bytes_of_string(name));
    }
    control_error(a->reply, "no space of this name is open; open are: %s", names);
}

static struct nigh_space *space_of(struct ask *a, struct bytes name)
{
    struct nigh_space *space = space_find(a->cache, name);
    if (!space)
        refuse_space(a);
    return space;
}

/* ---- reports ---- */

struct report {
    struct nigh *cache;
    enum nigh_stats_format format;
};

/* Says what a word that is no format may have meant. `forms`: those that there are. */
static void refuse_format(struct ask *a, struct bytes word, const char *forms)
{
    char name[100] = "";
    struct text w = text_into(name, sizeof(name));
    text_add_name(&w, bytes_of(word.data, u64_min(word.len, 40)));
    if (space_find(a->cache, word))
        control_error(a->reply, "%s is a space, and this is not told of one space alone (get SPACE "
                                "NAME, hot SPACE and options SPACE are); a format is %s",
                      name, forms);
    else
        control_error(a->reply, "no such format: %s; there are %s", name, forms);
}

/* Reads the format that a report is asked for in. False: an error has been answered. */
static bool read_format(struct ask *a, struct bytes word, struct report *ret)
{
    if (is_word(word, "text"))
        ret->format = NIGH_STATS_TEXT;
    else if (is_word(word, "json"))
        ret->format = NIGH_STATS_JSON;
    else if (is_word(word, "prometheus"))
        ret->format = NIGH_STATS_PROMETHEUS;
    else {
        refuse_format(a, word, "text, json and, of stats, prometheus");
        return false;
    }
    return true;
}

static void append(struct ask *a, control_write_fn write, void *arg)
{
    long needed = control_append(a->reply, write, arg);
    if (needed < 0)
        say(a, "", (int)needed);
}

static long write_stats(void *arg, char *buffer, size_t size)
{
    struct report *r = arg;
    return nigh_stats(r->cache, r->format, buffer, size);
}

static void run_stats(struct ask *a)
{
    struct report r = {a->cache, NIGH_STATS_TEXT};
    if (a->count == 0 || read_format(a, a->words[0], &r))
        append(a, write_stats, &r);
}

struct explained {
    struct nigh_space *space;
    struct bytes key;
    enum nigh_stats_format format;
};

static long write_explained(void *arg, char *buffer, size_t size)
{
    struct explained *e = arg;
    return nigh_explain(e->space, e->key.data, e->key.len, e->format, buffer, size);
}

static void run_explain(struct ask *a)
{
    struct report r = {a->cache, NIGH_STATS_TEXT};
    struct nigh_space *space = space_of(a, a->words[0]);
    if (!space || (a->count == 3 && !read_format(a, a->words[2], &r)))
        return;
    struct explained e = {space, a->words[1], r.format};
    append(a, write_explained, &e);
}

struct hot_asked {
    struct nigh *cache;
    const char *space; /* NULL: all */
    enum nigh_stats_format format;
};

static long write_hot(void *arg, char *buffer, size_t size)
{
    struct hot_asked *h = arg;
    return nigh_hot(h->cache, h->space, h->format, buffer, size);
}

/* A single word is the format if it is the name of one, and of no space. */
static bool names_space(struct ask *a)
{
    struct bytes word = a->words[0];
    return space_find(a->cache, word) || (!is_word(word, "text") && !is_word(word, "json"));
}

static void run_hot(struct ask *a)
{
    struct report r = {a->cache, NIGH_STATS_TEXT};
    bool named = a->count == 2 || (a->count == 1 && names_space(a));
    struct nigh_space *space = named ? space_of(a, a->words[0]) : NULL;
    if ((named && !space) || (a->count > named && !read_format(a, a->words[a->count - 1], &r)))
        return;
    struct hot_asked h = {a->cache, space ? space->name : NULL, r.format};
    append(a, write_hot, &h);
}

static long write_curve(void *arg, char *buffer, size_t size)
{
    struct report *r = arg;
    return nigh_curve(r->cache, r->format, buffer, size);
}

static void run_curve(struct ask *a)
{
    struct report r = {a->cache, NIGH_STATS_TEXT};
    if (a->count == 0 || read_format(a, a->words[0], &r))
        append(a, write_curve, &r);
}

static void run_version(struct ask *a)
{
    struct coherence_gauges g = {0};
    char host[65] = "";
    gethostname(host, sizeof(host) - 1);
    if (a->cache->coherence)
        coherence_gauges_read(a->cache->coherence, &g);
    control_print(a->reply, "nigh %d.%d.%d, process %d", NIGH_VERSION_MAJOR, NIGH_VERSION_MINOR,
                  NIGH_VERSION_PATCH, (int)getpid());
    if (g.node)
        control_print(a->reply, ", node %04x", cache_node_name(g.node));
    control_print(a->reply, ", host %s\n", host);
}

/* ---- health ---- */

static bool gauge(struct nigh *cache, const char *name)
{
    return nigh_stats_value(cache, NULL, name) > 0;
}

static void say_problem(struct ask *a, const char *state, const char *what,
                        const struct l2_problem *p)
{
    control_print(a->reply, "%s: %s is not connected: %s (for %" PRIu64 " ms)\n", state, what,
                  p->text[0] ? p->text : "it is being connected", p->for_ms);
}

/* Says what that means for who calls now, and what waits. */
static void say_meanwhile(struct ask *a, bool in_doubt, bool connected)
{
    int64_t queued = nigh_stats_value(a->cache, NULL, "queued");
    if (in_doubt)
        control_print(a->reply,
                      a->cache->doubt_is_miss
                          ? "clients: what L1 has counts as missing (coherence.on_doubt is miss)\n"
                          : "clients: what L1 has is handed out as stale\n");
    if (!connected)
        control_print(a->reply, "clients: what L1 lacks is loaded once in each process, or fails "
                                "where no loader is\n");
    if (queued > 0)
        control_print(a->reply, "queued: %" PRId64 " changes, of which other nodes know nothing "
                                "until redis accepts them\n", queued);
}

static void say_doubt(struct ask *a, int health)
{
    struct l2_problem p = {0};
    l2_problem_read(a->cache->l2, &p);
    if (health == NIGH_EOFFLINE)
        say_problem(a, "doubt", "redis", &p);
    else
        control_print(a->reply, "doubt: redis is connected, but has not vouched for what is stored "
                                "within coherence.trust\n");
    say_meanwhile(a, true, health != NIGH_EOFFLINE);
}

/* Says what is wrong although values may be called fresh. False: nothing is. */
static bool say_degraded(struct ask *a)
{
    struct l2_problem p = {0};
    if (!gauge(a->cache, "connected")) {
        l2_problem_read(a->cache->l2, &p);
        say_problem(a, "degraded", "redis", &p);
        say_meanwhile(a, false, false);
    } else if (!gauge(a->cache, "listening")) {
        coherence_problem_read(a->cache->coherence, &p);
        say_problem(a, "degraded", "the listener", &p);
    } else if (gauge(a->cache, "breaker")) {
        control_print(a->reply, "degraded: redis is slow or failing: asked only now and then\n");
    } else {
        l2_problem_read(a->cache->l2, &p); /* a server that refuses, certificates that are wrong */
        if (p.text[0])
            control_print(a->reply, "degraded: %s\n", p.text);
        return p.text[0] != '\0';
    }
    return true;
}

static void run_health(struct ask *a)
{
    int health = nigh_health(a->cache);
    if (!a->cache->l2)
        control_print(a->reply, "ok: L1 alone, without redis.uri\n");
    else if (health != NIGH_FRESH)
        say_doubt(a, health);
    else if (!say_degraded(a))
        control_print(a->reply, "ok\n");
}

/* ---- options ---- */

static void read_options(struct ask *a, struct nigh_options *ret)
{
    struct nigh *cache = a->cache;
    *ret = a->commands->opened;
    pthread_mutex_lock(&cache->spaces_lock);
    set_read_live(cache, ret);
    pthread_mutex_unlock(&cache->spaces_lock);
}

struct options_asked {
    struct nigh_options options;
    bool of_space;
};

static long write_options(void *arg, char *buffer, size_t size)
{
    struct options_asked *o = arg;
    struct text w = text_into(buffer, size);
    options_show(&o->options, o->of_space, &w);
    return (long)w.needed;
}

static void run_options(struct ask *a)
{
    struct options_asked o = {.of_space = a->count == 1};
    struct nigh_space *space = o.of_space ? space_of(a, a->words[0]) : NULL;
    if (o.of_space && !space)
        return;
    read_options(a, &o.options);
    if (space)
        space_read_options(space, &o.options.space);
    append(a, write_options, &o);
}

/* Tells a histogram in one line. False: there is none of this name. */
static bool print_histogram(struct ask *a, struct stats *stats, const char *name, int from, int end)
{
    struct histogram_sum sum;
    int h = from;
    while (h < end && strcmp(stats_histogram_infos[h].name, name) != 0)
        h++;
    if (h == end)
        return false;
    stats_histogram_read(stats, (enum stats_histogram)h, &sum);
    control_print(a->reply, "count %" PRIu64, sum.count);
    for (size_t i = 0; i < REPORT_QUANTILES; i++)
        control_print(a->reply, ", %s %" PRIu64, report_quantiles[i].name,
                      histogram_quantile_ns(&sum, report_quantiles[i].share));
    control_print(a->reply, ", max_ns %" PRIu64 "\n", sum.max_ns);
    return true;
}

static void get_of_space(struct ask *a, struct nigh_space *space, const char *name)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    char text[OPTION_SHOWN_BYTES];
    int64_t count = nigh_stats_value(a->cache, space->name, name);
    space_read_options(space, &o.space);
    if (strncmp(name, "space.", 6) == 0 && options_show_value(&o, name, text, sizeof(text)))
        control_print(a->reply, "%s\n", text);
    else if (count >= 0)
        control_print(a->reply, "%" PRId64 "\n", count);
    else if (!print_histogram(a, &space->stats, name, 0, STATS_SPACE_HISTOGRAM_COUNT))
        control_error(a->reply, "a space has no option, counter, gauge or histogram of this name: "
                                "stats and options SPACE list them");
}

static void get_of_cache(struct ask *a, const char *name)
{
    struct nigh_options o;
    char text[OPTION_SHOWN_BYTES];
    read_options(a, &o);
    int64_t count = nigh_stats_value(a->cache, NULL, name);
    if (options_show_value(&o, name, text, sizeof(text)))
        control_print(a->reply, "%s\n", text);
    else if (count >= 0)
        control_print(a->reply, "%" PRId64 "\n", count);
    else if (!print_histogram(a, &a->cache->stats, name, STATS_SPACE_HISTOGRAM_COUNT,
                              STATS_HISTOGRAM_COUNT))
        control_error(a->reply, "no option, counter, gauge or histogram of this name (one of a "
                                "space: get SPACE NAME): stats and options list them");
}

static void run_get(struct ask *a)
{
    struct nigh_space *space = a->count == 2 ? space_of(a, a->words[0]) : NULL;
    const char *name = string_of(a, a->words[a->count - 1]);
    if (!name || (a->count == 2 && !space))
        return;
    if (space)
        get_of_space(a, space, name);
    else
        get_of_cache(a, name);
}

static void print_space(struct ask *a, const char *name)
{
    char shown[4 * NIGH_NAME_MAX + 1] = "";
    struct text w = text_into(shown, sizeof(shown));
    text_add_name(&w, bytes_of_string(name));
    int64_t cap = nigh_stats_value(a->cache, name, "memory_cap_bytes");
    control_print(a->reply, "%10" PRId64 " %9.1f MiB ", nigh_stats_value(a->cache, name, "entries"),
                  (double)nigh_stats_value(a->cache, name, "entry_bytes") / (1 << 20));
    if (cap > 0)
        control_print(a->reply, "%9.1f MiB", (double)cap / (1 << 20));
    else
        control_print(a->reply, "%13s", "-");
    control_print(a->reply, " %9.1f  %s\n",
                  (double)nigh_stats_value(a->cache, name, "l1_hits_1m_ppm") / 1e4, shown);
}

static void run_spaces(struct ask *a)
{
    const char *name;
    if (!nigh_stats_space(a->cache, 0, &name)) {
        control_print(a->reply, "no space is open\n");
        return;
    }
    control_print(a->reply, "%10s %13s %13s %9s  %s\n", "entries", "charged", "own cap", "L1 % 1m",
                  "space");
    for (size_t i = 0; nigh_stats_space(a->cache, i, &name); i++)
        print_space(a, name);
}

static void set(struct ask *a, struct nigh_space *space, const char *name, const char *value)
{
    int rc = space ? nigh_space_set(space, name, value) : nigh_set(a->cache, name, value);
    if (rc != 0)
        say(a, "", rc);
    else
        control_print(a->reply, "ok\n");
}

/* Gives a space memory of its own, for the first time: then L1 has nothing of it. */
static void set_of_space(struct ask *a, struct nigh_space *space, const char *name,
                         const char *value)
{
    bool was_apart = space_l1_apart(space);
    int64_t entries = nigh_stats_value(a->cache, space->name, "entries");
    set(a, space, name, value);
    if (!was_apart && space_l1_apart(space) && entries > 0)
        control_print(a->reply, "note: the space has a table of its own from now on, which begins "
                                "empty: L1 has dropped %" PRId64 " values of it, and brings them "
                                "again as they are asked for\n", entries);
}

static void run_set(struct ask *a)
{
    struct nigh_space *space = a->count == 3 ? space_of(a, a->words[0]) : NULL;
    const char *name = string_of(a, a->words[a->count - 2]);
    const char *value = string_of(a, a->words[a->count - 1]);
    if (name && value && space)
        set_of_space(a, space, name, value);
    else if (name && value && a->count == 2)
        set(a, NULL, name, value);
}

static void run_log(struct ask *a)
{
    const char *level = string_of(a, a->words[0]);
    if (level)
        set(a, NULL, "log.level", level);
}

/* ---- invalidating ---- */

static void invalidate(struct ask *a, const struct nigh_target *targets, uint32_t n, bool soft)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = soft ? NIGH_SOFT : 0;
    int rc = nigh_invalidate_many(a->cache, targets, n, &call);
    if (rc == 0)
        control_print(a->reply, "ok\n");
    else if (rc == NIGH_QUEUED)
        control_print(a->reply, "queued: done here, the others are told once redis accepts it\n");
    else
        say(a, "", rc);
}

/* Fills in the targets that the words name. Returns how many; 0: an error has been answered. */
static uint32_t read_targets(struct ask *a, struct nigh_target *targets)
{
    static const char *const kinds[] = {"key", "tag", "space", "all"};
    uint32_t kind = 0;
    uint32_t first = 1;
    while (kind < ARRAY_COUNT(kinds) && !is_word(a->words[0], kinds[kind]))
        kind++;
    struct nigh_target t = {.kind = (enum nigh_target_kind)(kind + NIGH_TARGET_KEY)};
    if (t.kind == NIGH_TARGET_KEY && a->count > 2 && !(t.space = space_of(a, a->words[first++])))
        return 0;
    if (kind == ARRAY_COUNT(kinds) || (t.kind == NIGH_TARGET_ALL) != (a->count == 1) ||
        (t.kind == NIGH_TARGET_KEY && a->count < 3)) {
        control_error(a->reply, "key SPACE KEY..., tag TAG..., space SPACE... or all is wanted");
        return 0;
    }
    uint32_t n = 0;
    targets[n] = t;
    for (uint32_t i = first; i < a->count; i++) {
        t.name = a->words[i].data;
        t.name_len = a->words[i].len;
        if (t.kind == NIGH_TARGET_SPACE && !(t.space = space_of(a, a->words[i])))
            return 0;
        targets[n++] = t;
    }
    return n ? n : 1;
}

static void run_invalidate(struct ask *a)
{
    struct nigh_target *targets = a->commands->targets;
    bool soft = a->count > 1 && is_word(a->words[0], "soft");
    a->words += soft;
    a->count -= soft;
    uint32_t n = read_targets(a, targets);
    if (n > 0)
        invalidate(a, targets, n, soft);
}

/* ---- the table ---- */

static void run_help(struct ask *a);

/* clang-format off */
static const struct command table[] = {
    {"help", "", "this list", 0, 0, false, run_help},
    {"version", "", "of the library; process, node, host", 0, 0, false, run_version},
    {"health", "", "ok, degraded or doubt, and why", 0, 0, false, run_health},
    {"stats", "[text|json|prometheus]", "all counters and gauges", 0, 1, false, run_stats},
    {"explain", "SPACE KEY [text|json]", "where a key is, and why it misses", 2, 3, false,
     run_explain},
    {"hot", "[SPACE] [text|json]", "keys that are hit, missed and changed most", 0, 2, false,
     run_hot},
    {"curve", "[text|json]", "what another l1.memory would bring", 0, 1, false, run_curve},
    {"spaces", "", "which there are, and what they hold", 0, 0, false, run_spaces},
    {"options", "[SPACE]", "all options as they are now, or a space's", 0, 1, false, run_options},
    {"get", "[SPACE] NAME", "an option, counter, gauge, histogram", 1, 2, false, run_get},
    {"set", "[SPACE] NAME VALUE", "change an option that is live", 2, 3, true, run_set},
    {"log", "error|warn|info|debug", "set log.level", 1, 1, true, run_log},
    {"invalidate", "key SPACE KEY...", "tell every node that keys have changed", 1,
     CONTROL_WORDS_MAX - 1, true, run_invalidate},
};
/* clang-format on */

static void help(struct control_reply *r, const char *name, const char *args, const char *text)
{
    int at = (int)(strlen(name) + strlen(args)) + (*args != '\0');
    control_print(r, "%s%s%s%*s %s\n", name, *args ? " " : "", args,
                  at < HELP_COLUMN ? HELP_COLUMN - at : 0, "", text);
}

static void run_help(struct ask *a)
{
    for (size_t i = 0; i < ARRAY_COUNT(table); i++)
        help(a->reply, table[i].name, table[i].args, table[i].help);
    help(a->reply, "invalidate [soft] tag TAG...", "", "the same of tags; soft: stale, not gone");
    help(a->reply, "invalidate [soft] space SPACE...", "", "... of spaces");
    help(a->reply, "invalidate [soft] all", "", "... of everything");
    help(a->reply, "prompt", "", "more than one line: stay until quit");
    control_print(a->reply, "Blanks part words, unless they are \"between quotes\". \\xNN is a "
                            "byte; behind a\n"
                            "backslash, a backslash, a quote and a blank are that.\n");
}

static const struct command *find(struct bytes name)
{
    for (size_t i = 0; i < ARRAY_COUNT(table); i++)
        if (is_word(name, table[i].name))
            return &table[i];
    return NULL;
}

/* Whether more was changed than what keys or tags name: all, a space, an option. */
static bool is_broad(const struct control_request *q)
{
    uint32_t soft = q->count > 2 && is_word(q->words[1], "soft");
    struct bytes kind = q->words[1 + soft];
    return !is_word(q->words[0], "invalidate") || !(is_word(kind, "key") || is_word(kind, "tag"));
}

/* Says in the log what was changed: each time, for the next change is another one. A broad one is
 * rare, and news to whoever runs the process, so it goes out by default. */
static void note(struct nigh *cache, const struct command *command,
                 const struct control_request *q, const struct control_reply *reply)
{
    struct log_site always = {0};
    char words[NOTED_WORDS * (4 * NOTED_BYTES + 1) + 1] = "";
    struct text w = text_into(words, sizeof(words));
    if (!command->changes || reply->is_error)
        return;
    for (uint32_t i = 0; i < u64_min(q->count, NOTED_WORDS); i++) {
        text_add(&w, " ");
        text_add_name(&w, bytes_of(q->words[i].data, u64_min(q->words[i].len, NOTED_BYTES)));
    }
    log_write(cache->env.log, is_broad(q) ? NIGH_LOG_WARN : NIGH_LOG_INFO, &always,
              "control.socket:%s%s by user %u, process %d", words,
              q->count > NOTED_WORDS ? " ..." : "", (unsigned)q->uid, (int)q->pid);
}

/* control_host.answer */
static void answer(void *arg, const struct control_request *q, struct control_reply *reply)
{
    struct commands *commands = arg;
    struct ask a = {commands, commands->cache, q->words + 1, q->count - 1, reply};
    const struct command *command = find(q->words[0]);
    struct caller caller;
    caller_enter(&caller);
    if (!command)
        control_error(reply, "no such command: help lists them");
    else if (a.count < command->min || a.count > command->max)
        control_error(reply, "%s %s", command->name, command->args);
    else
        command->run(&a);
    if (command)
        note(commands->cache, command, q, reply);
    caller_leave(&caller);
}

/* ---- life ---- */

static const char *keep(char *copy, size_t size, const char *text)
{
    snprintf(copy, size, "%s", text ? text : "");
    return text ? copy : NULL;
}

/* Keeps a URI without user and password. */
static const char *keep_uri(char *copy, size_t size, const char *uri)
{
    const char *user = uri ? strstr(uri, "://") : NULL;
    const char *at = user ? strrchr(user, '@') : NULL;
    if (!at)
        return keep(copy, size, uri);
    snprintf(copy, size, "%.*s...%s", (int)(user + 3 - uri), uri, at);
    return copy;
}

/* Keeps what is shown, which is no password. */
static void keep_options(struct commands *c, const struct nigh_options *o)
{
    const char **string;
    c->opened = *o;
    if (o->redis_sentinel_password)
        c->opened.redis_sentinel_password = "...";
    for (size_t i = 0; (string = options_string(&c->opened, i)); i++) {
        NIGH_CHECK(i < STRINGS_MAX);
        *string = string == &c->opened.redis_uri
                      ? keep_uri(c->strings[i], sizeof(c->strings[i]), *string)
                      : keep(c->strings[i], sizeof(c->strings[i]), *string);
    }
}

int commands_open(struct nigh *cache, const struct nigh_options *o)
{
    if (!o->control_socket || !o->control_socket[0])
        return 0;
    struct commands *c = mem_alloc_zero(cache->env.mem, sizeof(*c));
    if (!c)
        return NIGH_ENOMEM;
    struct control_config config = {
        .env = &cache->env, .host = {answer, c}, .path = o->control_socket};
    c->cache = cache;
    keep_options(c, o);
    int rc = control_open(&config, &c->control);
    if (rc == 0 && cache->drive)
        rc = drive_watch(cache, c->control);
    if (rc != 0) {
        control_close(c->control);
        mem_free(cache->env.mem, NULL, c, sizeof(*c));
        return rc;
    }
    cache->commands = c;
    return 0;
}

void commands_close(struct nigh *cache)
{
    struct commands *c = cache->commands;
    if (!c)
        return;
    cache->commands = NULL;
    if (cache->drive)
        drive_watch(cache, NULL);
    control_close(c->control);
    mem_free(cache->env.mem, NULL, c, sizeof(*c));
}
