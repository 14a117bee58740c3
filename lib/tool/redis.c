// SPDX-License-Identifier: MIT
/*
 * The commands that need no process: a cache of this program's own, with next to no L1, that is a
 * node as any other for as long as one change takes.
 *
 * All nodes of a prefix have the same coherence.group_slots. Ours is not known beforehand: where
 * the log says that it is another in Redis, the cache is opened once more with that. And it is a
 * guest: under a prefix that nobody uses it begins nothing, for with another number than the nodes
 * have, which come later, none of them could work. Nothing stored is fresh there, so that there is
 * nothing to invalidate, either.
 *
 * But where Redis has just lost all it had, nodes live that do not know it yet, and go on with what
 * they hold until their next beat, which may be long. The guest's own beats rouse those that listen
 * (l2/scripts/beat.lua): they make the clock anew, and are told as ever. While somebody listens
 * whom that does not move, nothing is called done.
 */
#include "tool/tool.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <nigh/nigh.h>

#define LOOK_MS 5
#define PAUSE_MS 100 /* for a terminal that takes nothing; then a signal is looked for again */
#define WAITING_BYTES (1u << 20)
#define LINE_BYTES (100 + 4 * (NIGH_KEY_MAX + NIGH_NAME_MAX)) /* of a change, at most */
#define TARGETS_MAX 4096u /* in one call */
#define BEAT_MS 250u      /* to find soon what the nodes do that its beats rouse */
#define NOBODYS_MS 1500u  /* for those that cannot listen: their next beat, if it is usual */
#define CHANNEL_MS 500u /* to wait for the channel, which a user may not be allowed to hear */
#define DEADLINE_MAX_MS 60000u /* of redis.deadline */

struct node {
    struct nigh *cache;
    struct nigh_space *space; /* NULL: none was named */
    char prefix[NIGH_NAME_MAX + 1];
    bool unused;              /* nobody had changed anything under it */
    bool deserted;            /* no node uses it, nor does anybody listen there */
    bool waits;               /* for the first node that comes to it */
    unsigned others;          /* who listen there although no node uses it, as last counted */
    _Atomic bool old;         /* (a) relaxed: nodes of wire version 1 may use it, no others */
    _Atomic unsigned slots;   /* (a) relaxed: what Redis says of them; 0: nothing */
    _Atomic bool nobodys;     /* (a) relaxed: no node uses the prefix */
};

static volatile sig_atomic_t ended; /* by a signal, which only who watches looks for */

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct node *n = arg;
    unsigned here, there;
    (void)level;
    if (sscanf(message, "coherence.group_slots is %u here but %u in redis", &here, &there) == 2)
        atomic_store_explicit(&n->slots, there, memory_order_relaxed);
    if (strstr(message, "NOCLOCK only nodes of wire version 1"))
        atomic_store_explicit(&n->old, true, memory_order_relaxed);
    if (strstr(message, "NOCLOCK "))
        atomic_store_explicit(&n->nobodys, true, memory_order_relaxed);
}

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "nigh: %s%s%s\n", what, *why ? ": " : "", why);
    return TOOL_NOBODY;
}

/* Takes over as what, and how, Redis is used: all that begins with redis, and what all nodes of a
 * prefix share. */
static void take_access(struct nigh_options *o, const struct nigh_options *said)
{
    o->redis_prefix = said->redis_prefix;
    o->redis_password_file = said->redis_password_file;
    o->tls_ca = said->tls_ca;
    o->tls_cert = said->tls_cert;
    o->tls_key = said->tls_key;
    o->tls_name = said->tls_name;
    o->tls_verify = said->tls_verify;
    o->tls_min = said->tls_min;
    o->redis_sentinel_user = said->redis_sentinel_user;
    o->redis_sentinel_password = said->redis_sentinel_password;
    o->redis_sentinel_password_file = said->redis_sentinel_password_file;
    o->redis_sentinel_tls = said->redis_sentinel_tls;
    o->redis_sentinel_tls_ca = said->redis_sentinel_tls_ca;
    o->redis_sentinel_tls_verify = said->redis_sentinel_tls_verify;
    o->group_slots = said->group_slots;
    o->space.schema = said->space.schema;
}

/* Reads NIGH_CONF, and lets the library take nothing of it. 0, or a status. */
static int read_conf(struct nigh_options *ret)
{
    const char *conf = getenv("NIGH_CONF");
    if (conf && nigh_options_parse(ret, conf) < 0)
        return fail("NIGH_CONF", nigh_options_error());
    unsetenv("NIGH_CONF");
    return 0;
}

/* Takes that from NIGH_CONF. The URI comes from there by the word "-": all users of a machine may
 * see the words of a command. */
static int take_conf(const struct tool_args *args, struct nigh_options *o)
{
    struct nigh_options said = NIGH_OPTIONS_INIT;
    int rc = read_conf(&said);
    if (rc != 0)
        return rc;
    take_access(o, &said);
    o->redis_uri = strcmp(args->redis, "-") == 0 ? said.redis_uri : args->redis;
    return o->redis_uri ? 0 : fail("--redis -", "NIGH_CONF has no redis.uri");
}

static int open_cache(const struct tool_args *args, struct nigh_options *o, struct node *n)
{
    o->log = hear;
    o->log_arg = n;
    if (args->prefix)
        o->redis_prefix = args->prefix;
    o->l1_memory = 16u << 20;
    o->l1_shards = 1;
    o->workers = 1;
    o->guest = 1;
    o->beat_ms = BEAT_MS;
    o->space.value_max = NIGH_VALUE_MAX; /* whatever theirs is */
    o->l2_deadline_ms = args->timeout_ms < DEADLINE_MAX_MS ? args->timeout_ms : DEADLINE_MAX_MS;
    snprintf(n->prefix, sizeof(n->prefix), "%s", o->redis_prefix ? o->redis_prefix : "nigh");
    int rc = nigh_open(o, &n->cache);
    if (rc == 0 && args->space)
        rc = nigh_space_open(n->cache, args->space, NULL, NULL, NULL, NULL, &n->space);
    return rc < 0 ? fail(nigh_strerror(rc), nigh_options_error()) : 0;
}

static bool is_nobodys(const struct node *n)
{
    return atomic_load_explicit(&n->nobodys, memory_order_relaxed);
}

static bool is_old(const struct node *n)
{
    return atomic_load_explicit(&n->old, memory_order_relaxed);
}

/* Returns why Redis cannot be used, in its own words: "", or what is to be freed with `*ret`. */
static const char *problem_of(const struct node *n, struct json **ret)
{
    static char text[65536];
    *ret = NULL;
    if (nigh_stats(n->cache, NIGH_STATS_JSON, text, sizeof(text)) < (long)sizeof(text))
        *ret = json_read(text);
    const char *why = *ret ? json_string(*ret, "redis_problem", NULL, NULL) : NULL;
    return why ? why : "";
}

static int say_problem(const struct node *n)
{
    struct json *j;
    const char *why = problem_of(n, &j);
    fail("Redis cannot be used", *why ? why : "it does not answer within the time");
    json_free(j);
    return TOOL_NOBODY;
}

/* Tells whether we are one of those that have heard our last beat. */
struct listeners {
    bool own;       /* our channel is up, or not ... */
    int64_t failed; /* ... since so many beats had found no clock */
    unsigned next_ms; /* when they are counted next */
};

/* Counts who listens besides us. False: that is not known yet, for what was counted may be from
 * before our channel came up, or went down. */
static bool count_others(struct node *n, struct listeners *l)
{
    unsigned heard = 0;
    struct json *j;
    int64_t failed = nigh_stats_value(n->cache, NULL, "beat_failed");
    bool own = nigh_stats_value(n->cache, NULL, "listening") == 1;
    if (l->own != own)
        *l = (struct listeners){.own = own, .failed = failed, .next_ms = l->next_ms};
    if (failed < l->failed + 2)
        return false;
    const char *words = strstr(problem_of(n, &j), "NOCLOCK ");
    bool known = words && sscanf(words, "NOCLOCK no node uses this prefix: %u", &heard) == 1;
    json_free(j);
    if (known)
        n->others = heard > own ? heard - own : 0;
    return known;
}

/* Whether no node is there, after so long: nobody listens. */
static bool is_deserted(struct node *n, struct listeners *l, unsigned ms)
{
    if (ms < l->next_ms || !is_nobodys(n))
        return false;
    l->next_ms = ms + BEAT_MS;
    if (count_others(n, l))
        n->deserted = n->others == 0 && ms >= NOBODYS_MS;
    return n->deserted;
}

/* Waits until Redis vouches, or the time is over, or other slots are known, or nobody has used the
 * prefix for so long that no node is there. */
static bool wait_for_trust(struct node *n, unsigned timeout_ms)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    struct listeners l = {.own = false};
    long long began_ms = line_now_ms();
    for (unsigned ms = 0; ms < timeout_ms && !ended && !is_deserted(n, &l, ms);
         ms = (unsigned)(line_now_ms() - began_ms)) {
        if (atomic_load_explicit(&n->slots, memory_order_relaxed))
            return false;
        if (nigh_health(n->cache) == NIGH_FRESH) {
            atomic_store_explicit(&n->nobodys, false, memory_order_relaxed); /* it was */
            return true;
        }
        nanosleep(&pause, NULL);
    }
    return false;
}

/* Warns where the prefix is nobody's, or seems to be. */
static void look_at_prefix(const struct node *n)
{
    if (is_nobodys(n))
        fprintf(stderr, "nigh: note: no node %suses the prefix %s in this database: is it the "
                        "right one?\n", is_old(n) ? "but of wire version 1 " : "", n->prefix);
    else if (n->unused)
        fprintf(stderr, "nigh: note: nobody has ever changed anything under the prefix %s there: "
                        "is it the right one?\n", n->prefix);
}

/* Opens the node with these options: it is trusted then, or the prefix is nobody's. Else a status,
 * and nothing is open. */
static int open_with(const struct tool_args *args, struct nigh_options *o, struct node *n)
{
    int rc = 0;
    for (int tries = 0; rc == 0 && tries < 2; tries++) {
        rc = open_cache(args, o, n);
        if (rc == 0 && wait_for_trust(n, args->timeout_ms)) {
            n->unused = nigh_stats_value(n->cache, NULL, "sequence") == 0;
            return 0;
        }
        o->group_slots = atomic_exchange_explicit(&n->slots, 0, memory_order_relaxed);
        if (rc == 0 && !o->group_slots && is_nobodys(n))
            return 0;
        atomic_store_explicit(&n->nobodys, false, memory_order_relaxed);
        if (rc == 0 && (tries == 1 || !o->group_slots))
            rc = say_problem(n);
        nigh_close(n->cache);
        n->cache = NULL;
    }
    return rc;
}

/* Opens the node at the Redis that is named. */
static int open_node(const struct tool_args *args, struct node *n)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    int rc = take_conf(args, &o);
    return rc == 0 ? open_with(args, &o, n) : rc;
}

/* Notes that a space, or this program's schema of it, seems to be nobody's. Reading a key's state
 * tells which schemas are in use; those of spaces that store nothing in Redis are in no list. */
static void look_at_space(const struct tool_args *args, struct node *n, bool of_schema)
{
    static char text[65536];
    struct json *j = NULL;
    const char *schema;
    if (n->space && nigh_explain(n->space, "x", 1, NIGH_STATS_JSON, text, sizeof(text)) > 0)
        j = json_read(text);
    const char *ours = j ? json_string(j, "schema", NULL, NULL) : NULL;
    if (ours && !json_element(j, "schemas", 0))
        fprintf(stderr, "nigh: note: nobody has lately stored a value of a space %s in Redis: "
                        "is it the right name, or is its space.l2 invalidations?\n", args->space);
    for (size_t i = 0; ours && of_schema && (schema = json_element(j, "schemas", i)); i++)
        if (strcmp(schema, ours) != 0)
            fprintf(stderr, "nigh: note: there are values of schema %s, this looks for %s: "
                            "NIGH_CONF=space.schema=%s has the others\n", schema, ours, schema);
    json_free(j);
}

/* ---- invalidating ---- */

/* Lets the channel come up, too: else it is not known whether this program heard its own change. */
static bool wait_for_channel(const struct node *n, unsigned timeout_ms)
{
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    long long end_ms = line_now_ms() + (timeout_ms < CHANNEL_MS ? timeout_ms : CHANNEL_MS);
    while (line_now_ms() < end_ms) {
        if (nigh_stats_value(n->cache, NULL, "listening") == 1)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* Says who heard of it (of the last part), and where nobody did why that may be. */
static void say_accepted(const struct node *n, size_t count, bool listens)
{
    int64_t heard = nigh_stats_value(n->cache, NULL, "listeners") - listens;
    printf("accepted: %zu, heard by %" PRId64 "\n", count, heard > 0 ? heard : 0);
    fflush(stdout);
    if (heard > 0)
        return;
    look_at_prefix(n);
    fprintf(stderr, "nigh: note: no process listens under the prefix %s in this database: are "
                    "both the right ones?\n", n->prefix);
}

/* Says that it was told to nobody, although somebody is there, or may be. */
static int say_deaf(const struct node *n)
{
    fprintf(stderr, "nigh: told to nobody: no node has come to the prefix %s within the time, and ",
            n->prefix);
    if (n->others > 0)
        fprintf(stderr, "%u listen there: are they nodes that are stopped?\n", n->others);
    else if (is_old(n))
        fprintf(stderr, "one of wire version 1 may be there: tell such a process, or its nigh\n");
    else
        fprintf(stderr, "that there is none is not known so soon: --timeout is too short\n");
    return TOOL_DOUBT;
}

static int tell(const struct tool_args *args, struct node *n, const struct nigh_target *targets,
                size_t count)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = args->timeout_ms;
    call.flags = args->soft ? NIGH_SOFT : 0;
    if (is_nobodys(n) && !n->deserted)
        return say_deaf(n);
    if (is_nobodys(n)) {
        look_at_prefix(n);
        printf("nothing is stored there: %zu to nobody\n", count);
        return TOOL_DONE;
    }
    bool listens = wait_for_channel(n, args->timeout_ms);
    int rc = 0;
    size_t told = 0;
    for (size_t part; rc == 0 && told < count; told += rc == 0 ? part : 0) {
        part = count - told < TARGETS_MAX ? count - told : TARGETS_MAX;
        rc = nigh_invalidate_many(n->cache, targets + told, part, &call);
        if (rc == NIGH_QUEUED && nigh_drain(n->cache, args->timeout_ms) == 0)
            rc = 0;
    }
    if (rc == 0) {
        say_accepted(n, count, listens);
        return TOOL_DONE;
    }
    if (told > 0)
        fprintf(stderr, "nigh: of %zu the first %zu were accepted, the others were not\n", count,
                told);
    if (rc != NIGH_QUEUED) {
        fail(nigh_strerror(rc), "");
        return TOOL_REFUSED;
    }
    fail("Redis has not accepted it within the time, and nobody goes on trying", "");
    return TOOL_DOUBT;
}

/* Returns a word's length, once its bytes are what they stand for. */
static size_t length_of(const struct tool_args *args, char *word)
{
    return args->escaped ? line_unescape(word) : strlen(word);
}

static size_t list_targets(const struct tool_args *args, const struct node *n,
                           struct nigh_target *targets)
{
    size_t count = args->all ? 1 : args->count;
    for (size_t i = 0; i < count; i++) {
        targets[i].kind = args->all ? NIGH_TARGET_ALL
                          : args->tags ? NIGH_TARGET_TAG : NIGH_TARGET_KEY;
        targets[i].space = args->all || args->tags ? NULL : n->space;
        targets[i].name = args->all ? NULL : args->words[i];
        targets[i].name_len = args->all ? 0 : length_of(args, args->words[i]);
    }
    return count;
}

int redis_invalidate(const struct tool_args *args)
{
    struct node n = {.cache = NULL};
    bool key = args->space != NULL;
    if (key + args->tags + args->all != 1 || args->all != (args->count == 0)) {
        fail("--space S KEY..., --tag TAG... or --all is wanted", "");
        return TOOL_USAGE;
    }
    struct nigh_target *targets = calloc(args->count + 1, sizeof(*targets));
    int status = targets ? open_node(args, &n) : TOOL_NOBODY;
    if (status == 0)
        status = tell(args, &n, targets, list_targets(args, &n, targets));
    if (status == 0 && !is_nobodys(&n))
        look_at_space(args, &n, false);
    nigh_close(n.cache);
    free(targets);
    return status;
}

/* ---- looking ---- */

/* Tells whether a line is about the key or Redis. Its label stands at its beginning, if it is not
 * that of the line before. */
static bool is_of_redis(const char *line, bool is_before)
{
    static const char *const labels[] = {"key ", "Redis ", "lease ", "note "};
    if (*line == ' ')
        return is_before;
    for (size_t i = 0; i < sizeof(labels) / sizeof(labels[0]); i++)
        if (strncmp(line, labels[i], strlen(labels[i])) == 0)
            return true;
    return false;
}

/* Prints these lines: the others are about this program's own L1, which is empty, and its trust. */
static void print_of_redis(const char *text)
{
    bool wanted = false;
    for (size_t len; *text; text += len) {
        len = strcspn(text, "\n");
        len += text[len] == '\n';
        wanted = is_of_redis(text, wanted);
        if (wanted)
            fwrite(text, 1, len, stdout);
    }
}

/* Prints what Redis has of the key, in a sentence: the last part of why L1 has it not. Returns
 * whether it has anything. */
static bool print_state(const char *explanation)
{
    struct json *j = json_read(explanation);
    const char *why = j ? json_string(j, "why", NULL, NULL) : NULL;
    const char *redis = why ? strstr(why, "; ") : NULL;
    for (const char *next; redis && (next = strstr(redis + 2, "; "));)
        redis = next;
    if (why)
        printf("%s\n", redis ? redis + 2 : why);
    bool there = !why || !strstr(why, "Redis does not have it");
    json_free(j);
    return there;
}

static int show(const struct tool_args *args, struct node *n, const char *key, size_t key_len)
{
    static char text[65536], whole[65536];
    long len = nigh_explain(n->space, key, key_len, NIGH_STATS_TEXT, text, sizeof(text));
    if (len >= 0)
        len = nigh_explain(n->space, key, key_len, NIGH_STATS_JSON, whole, sizeof(whole));
    if (len < 0) {
        fail(nigh_strerror((int)len), "");
        return TOOL_REFUSED;
    }
    bool there = print_state(whole);
    print_of_redis(text);
    fflush(stdout);
    if (!there)
        look_at_space(args, n, true);
    return TOOL_DONE;
}

static int write_raw(struct node *n, const char *key, size_t key_len)
{
    struct nigh_value value;
    int rc = nigh_get(n->space, key, key_len, NULL, &value);
    if (rc == NIGH_MISS) {
        fail("Redis has no value of it that is of use", "without --raw it is said why");
        return TOOL_REFUSED;
    }
    if (rc != NIGH_FRESH && rc != NIGH_STALE) {
        fail(nigh_strerror(rc), "");
        return TOOL_REFUSED;
    }
    if (rc == NIGH_STALE)
        fail("the value is stale", "");
    fwrite(value.data, 1, value.len, stdout);
    nigh_release(&value);
    return TOOL_DONE;
}

int redis_get(const struct tool_args *args)
{
    struct node n = {.cache = NULL};
    if (!args->space || args->count != 1) {
        fail("--space S KEY is wanted", "");
        return TOOL_USAGE;
    }
    char *key = args->words[0];
    size_t len = length_of(args, key);
    int status = open_node(args, &n);
    if (status == 0)
        look_at_prefix(&n);
    if (status == 0)
        status = args->raw ? write_raw(&n, key, len) : show(args, &n, key, len);
    nigh_close(n.cache);
    return status;
}

/* ---- watching ---- */

static void end(int number)
{
    (void)number;
    ended = 1;
}

/* A signal ends the program, and before that what it waits in: a line may be stuck in a pipe that
 * nobody reads. The next one ends it by itself. */
static void end_by_signals(void)
{
    struct sigaction action = {.sa_handler = end, .sa_flags = SA_RESETHAND};
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

/* Lines that wait to be written: whoever tells us of changes must not wait for a slow terminal, for
 * it would hear nothing more, and Redis would cut it off. What there is no room for is counted. */
static struct {
    pthread_mutex_t lock;
    char text[WAITING_BYTES]; /* (lock) */
    size_t len;               /* (lock) */
    uint64_t left_out;        /* (lock) changes */
} waiting = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* Adds a name as bytes that no terminal acts on, up to four for one. */
static char *put_name(char *to, const char *name, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)name[i];
        bool high = c == 0xc2 && i + 1 < len && (unsigned char)name[i + 1] < 0xa0; /* C1 */
        bool plain = c >= ' ' && c != '"' && c != '\\' && c != 0x7f && !high;
        to += sprintf(to, plain ? "%c" : "\\x%02x", c);
    }
    return to;
}

/* Writes "14:03:07.123 node 41a0 key users \"user:1\"". */
static size_t put_change(char *line, const struct nigh_change *c)
{
    static const char *const kinds[] = {"", "key", "tag", "space", "all"};
    struct timespec t;
    struct tm local;
    clock_gettime(CLOCK_REALTIME, &t);
    localtime_r(&t.tv_sec, &local);
    char *to = line + strftime(line, 16, "%H:%M:%S", &local);
    to += sprintf(to, ".%03ld node %04x %s%s", t.tv_nsec / 1000000, (unsigned)(c->node >> 48),
                  c->soft ? "soft " : "", kinds[c->kind]);
    to = put_name(stpcpy(to, c->space_len > 0 ? " " : ""), c->space, c->space_len);
    to = put_name(stpcpy(to, c->name_len > 0 ? " \"" : ""), c->name, c->name_len);
    to = stpcpy(to, c->name_len > 0 ? "\"\n" : "\n");
    return (size_t)(to - line);
}

static void hear_change(void *arg, const struct nigh_change *c)
{
    char line[LINE_BYTES];
    size_t len = put_change(line, c);
    (void)arg;
    pthread_mutex_lock(&waiting.lock);
    if (len <= sizeof(waiting.text) - waiting.len && waiting.left_out == 0) {
        memcpy(waiting.text + waiting.len, line, len);
        waiting.len += len;
    } else {
        waiting.left_out++;
    }
    pthread_mutex_unlock(&waiting.lock);
}

/* Writes for as long as the terminal takes, or until a signal ends the program: that is why no more
 * is written at a time than a pipe takes without waiting. */
static bool write_out(const char *text, size_t len)
{
    struct pollfd out = {.fd = STDOUT_FILENO, .events = POLLOUT};
    while (len > 0 && !ended) {
        if (poll(&out, 1, PAUSE_MS) <= 0)
            continue;
        ssize_t n = write(STDOUT_FILENO, text, len < PIPE_BUF ? len : PIPE_BUF);
        bool later = n < 0 && (errno == EINTR || errno == EAGAIN); /* who shares it made it so */
        if (n < 0 && !later)
            fail("what was to be written is lost", strerror(errno));
        if (n < 0 && !later)
            return false;
        text += n > 0 ? n : 0;
        len -= n > 0 ? (size_t)n : 0;
    }
    return len == 0;
}

/* Writes what waits. False: that cannot be done any more. */
static bool write_waiting(void)
{
    static char text[WAITING_BYTES];
    char more[80] = "";
    pthread_mutex_lock(&waiting.lock);
    size_t len = waiting.len;
    uint64_t left_out = waiting.left_out;
    memcpy(text, waiting.text, len);
    waiting.len = 0;
    waiting.left_out = 0;
    pthread_mutex_unlock(&waiting.lock);
    if (left_out > 0)
        sprintf(more, "%" PRIu64 " changes are left out: the output was too slow\n", left_out);
    return write_out(text, len) && write_out(more, strlen(more));
}

/* Says when changes were lost that the log in Redis has no more. */
static bool look_for_loss(const struct node *n, int64_t *resyncs)
{
    static const char lost[] = "changes were lost: anything may have changed\n";
    int64_t now = nigh_stats_value(n->cache, NULL, "resync");
    bool any = now > *resyncs;
    *resyncs = now;
    return !any || write_out(lost, strlen(lost));
}

/* Says when Redis is not there, for then nothing comes, and when it is again. */
static void look_for_redis(const struct node *n, bool *there)
{
    bool now = nigh_health(n->cache) == NIGH_FRESH;
    if (now && !*there)
        fprintf(stderr, "nigh: note: Redis is back\n");
    if (!now && *there)
        say_problem(n);
    *there = now;
}

/* Looks whether a node has come to the prefix. Its first changes may have come before this program
 * knew of it, which then says so. False: that cannot be written. */
static bool look_for_node(const struct node *n, bool *waits)
{
    char line[100];
    int64_t count = nigh_stats_value(n->cache, NULL, "sequence");
    *waits = nigh_health(n->cache) != NIGH_FRESH;
    if (*waits)
        return true;
    fprintf(stderr, "nigh: note: a node uses the prefix %s now\n", n->prefix);
    sprintf(line, "changes before this program could hear them: up to %" PRId64 "\n", count);
    return count == 0 || write_out(line, strlen(line));
}

/* Asks a process for an option. Returns 0 and the value, to be freed, NULL: it has none; or a
 * status. A process of another version may not know all options: such a one is left out. */
static int ask_option(const struct tool_args *args, const char *name, char **ret)
{
    char line[80];
    snprintf(line, sizeof(line), "get %s", name);
    char *value = line_ask(args->sockets[0], line, args->timeout_ms);
    if (!value)
        return TOOL_NOBODY;
    value[strcspn(value, "\n")] = '\0';
    if (line_is_error(value))
        fprintf(stderr, "nigh: note: %s: no %s: %s\n", args->sockets[0], name,
                value + strlen("error: "));
    bool none = line_is_error(value) || strcmp(value, "-") == 0;
    *ret = none ? NULL : value;
    if (none)
        free(value);
    return 0;
}

/* Whether a URI is what a process shows of one that has a password. */
static bool is_shown_as(const char *uri, const char *shown)
{
    const char *at = uri ? strrchr(uri, '@') : NULL;
    return at && strcmp(at, strrchr(shown, '@')) == 0;
}

/* Finds what the process does not tell in what NIGH_CONF says. NULL: neither does that. */
static const char *secret_of(const char *name, const char *shown, const struct nigh_options *said)
{
    if (strcmp(name, "redis.sentinel_password") == 0)
        return said->redis_sentinel_password;
    return is_shown_as(said->redis_uri, shown) ? said->redis_uri : NULL;
}

static bool is_secret(const char *name, const char *shown)
{
    return strcmp(name, "redis.sentinel_password") == 0 || strstr(shown, "://...@");
}

/* Takes an option over from a process, if it has it. 0, or a status. */
static int take_option(const struct tool_args *args, const char *name,
                       const struct nigh_options *said, struct nigh_options *o)
{
    char *shown = NULL;
    int rc = ask_option(args, name, &shown);
    bool secret = shown && is_secret(name, shown);
    const char *value = secret ? secret_of(name, shown, said) : shown;
    if (secret && !value)
        rc = fail("the process logs in with a password, which it does not tell",
                  strcmp(name, "redis.uri") == 0
                      ? "NIGH_CONF=redis.uri=URI, the same with its password, does"
                      : "NIGH_CONF=redis.sentinel_password=PASSWORD does");
    else if (value && nigh_options_set(o, name, value) < 0)
        rc = fail(args->sockets[0], nigh_options_error());
    free(shown);
    return rc;
}

/* Takes from a process how it uses Redis. A password it never tells: files that have one it names,
 * and they are read here; one in an option has to be in NIGH_CONF. */
static int take_from_process(const struct tool_args *args, struct nigh_options *o)
{
    static const char *const names[] = {
        "redis.uri", "redis.prefix", "coherence.group_slots", "redis.password_file",
        "redis.tls_ca", "redis.tls_cert", "redis.tls_key", "redis.tls_name", "redis.tls_verify",
        "redis.tls_min", "redis.sentinel_user", "redis.sentinel_password",
        "redis.sentinel_password_file", "redis.sentinel_tls", "redis.sentinel_tls_ca",
        "redis.sentinel_tls_verify",
    };
    struct nigh_options said = NIGH_OPTIONS_INIT;
    int rc = read_conf(&said);
    for (size_t i = 0; rc == 0 && i < sizeof(names) / sizeof(names[0]); i++)
        rc = take_option(args, names[i], &said, o);
    if (rc == 0 && !o->redis_uri)
        rc = fail("the process has no redis.uri", "nobody else hears of its changes");
    if (args->prefix)
        o->redis_prefix = args->prefix;
    return rc;
}

/* Says which node each process is that the sockets lead to: changes bear the node alone. */
static void say_nodes(const struct tool_args *args)
{
    struct line_answer answers[TOOL_SOCKETS_MAX];
    lines_ask(args->sockets, args->socket_count, "version", args->timeout_ms, answers);
    for (size_t i = 0; i < args->socket_count; i++) {
        unsigned node, process;
        if (answers[i].text &&
            sscanf(answers[i].text, "nigh %*[^,], process %u, node %x", &process, &node) == 2)
            fprintf(stderr, "nigh: node %04x is process %u, %s\n", node, process, args->sockets[i]);
        free(answers[i].text);
    }
}

/* Returns what may be shown of a URI: the part behind a login. */
static const char *place_of(const char *uri)
{
    const char *at = strrchr(uri, '@');
    return at ? at + 1 : uri;
}

/* Returns how long to watch yet. */
static unsigned left_ms(const struct tool_args *args, long long began_ms)
{
    long long left = args->once ? began_ms + args->timeout_ms - line_now_ms() : UINT_MAX;
    return left > 0 ? (unsigned)left : 0;
}

/* Opens the node, again and again where nobody uses the prefix: whoever watches may come first. It
 * is nobody's still where the time is over. */
static int open_patiently(const struct tool_args *args, long long began_ms, struct nigh_options *o,
                          struct node *n)
{
    int status = open_with(args, o, n);
    n->waits = status == 0 && is_nobodys(n);
    if (status == 0)
        look_at_prefix(n);
    while (status == 0 && is_nobodys(n) && !ended && left_ms(args, began_ms) > NOBODYS_MS) {
        nigh_close(n->cache);
        *n = (struct node){.waits = true};
        status = open_with(args, o, n);
    }
    return status;
}

/* Opens the node at the Redis that is named, or at that of the first process. */
static int open_watch(const struct tool_args *args, long long began_ms, struct node *n)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    int status = args->redis ? take_conf(args, &o) : take_from_process(args, &o);
    if (status == 0)
        status = open_patiently(args, began_ms, &o, n);
    if (status != 0 || args->redis)
        return status;
    fprintf(stderr, "nigh: watching %s, prefix %s\n", place_of(o.redis_uri), o.redis_prefix);
    say_nodes(args);
    return 0;
}

int redis_watch(const struct tool_args *args)
{
    struct node n = {.cache = NULL};
    const struct timespec pause = {.tv_nsec = LOOK_MS * 1000000L};
    long long began_ms = line_now_ms();
    end_by_signals();
    int status = open_watch(args, began_ms, &n);
    if (status != 0)
        return status;
    int64_t resyncs = nigh_stats_value(n.cache, NULL, "resync");
    bool there = true;
    bool writes = true;
    int rc = nigh_watch(n.cache, hear_change, NULL);
    if (rc != 0)
        status = fail(nigh_strerror(rc), "");
    while (rc == 0 && writes && !ended && left_ms(args, began_ms) > 0) {
        nanosleep(&pause, NULL);
        if (n.waits)
            writes = look_for_node(&n, &n.waits);
        if (n.waits)
            continue;
        look_for_redis(&n, &there);
        writes = writes && look_for_loss(&n, &resyncs) && write_waiting();
    }
    nigh_close(n.cache);
    return writes || ended ? status : TOOL_REFUSED;
}
