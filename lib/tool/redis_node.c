// SPDX-License-Identifier: MIT
/*
 * The node that this program is while a command of Redis lasts: opened until it is trusted.
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
#include "tool/redis.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define BEAT_MS 250u /* to find soon what the nodes do that its beats rouse */
#define DEADLINE_MAX_MS 60000u /* of redis.deadline */

volatile sig_atomic_t redis_ended;

static void hear(void *arg, enum nigh_log_level level, const char *message)
{
    struct redis_node *n = arg;
    unsigned here, there;
    (void)level;
    if (sscanf(message, "coherence.group_slots is %u here but %u in redis", &here, &there) == 2)
        atomic_store_explicit(&n->slots, there, memory_order_relaxed);
    if (strstr(message, "NOCLOCK only nodes of wire version 1"))
        atomic_store_explicit(&n->old, true, memory_order_relaxed);
    if (strstr(message, "NOCLOCK "))
        atomic_store_explicit(&n->nobodys, true, memory_order_relaxed);
}

int redis_fail(const char *what, const char *why)
{
    fprintf(stderr, "nigh: %s%s%s\n", what, *why ? ": " : "", why);
    return TOOL_NOBODY;
}

static int open_cache(const struct tool_args *args, struct nigh_options *o, struct redis_node *n)
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
    return rc < 0 ? redis_fail(nigh_strerror(rc), nigh_options_error()) : 0;
}

bool redis_is_nobodys(const struct redis_node *n)
{
    return atomic_load_explicit(&n->nobodys, memory_order_relaxed);
}

bool redis_is_old(const struct redis_node *n)
{
    return atomic_load_explicit(&n->old, memory_order_relaxed);
}

/* Returns why Redis cannot be used, in its own words: "", or what is to be freed with `*ret`. */
static const char *problem_of(const struct redis_node *n, struct json **ret)
{
    static char text[65536];
    *ret = NULL;
    if (nigh_stats(n->cache, NIGH_STATS_JSON, text, sizeof(text)) < (long)sizeof(text))
        *ret = json_read(text);
    const char *why = *ret ? json_string(*ret, "redis_problem", NULL, NULL) : NULL;
    return why ? why : "";
}

int redis_say_problem(const struct redis_node *n)
{
    struct json *j;
    const char *why = problem_of(n, &j);
    redis_fail("Redis cannot be used", *why ? why : "it does not answer within the time");
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
static bool count_others(struct redis_node *n, struct listeners *l)
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
static bool is_deserted(struct redis_node *n, struct listeners *l, unsigned ms)
{
    if (ms < l->next_ms || !redis_is_nobodys(n))
        return false;
    l->next_ms = ms + BEAT_MS;
    if (count_others(n, l))
        n->deserted = n->others == 0 && ms >= REDIS_NOBODYS_MS;
    return n->deserted;
}

/* Waits until Redis vouches, or the time is over, or other slots are known, or nobody has used the
 * prefix for so long that no node is there. */
static bool wait_for_trust(struct redis_node *n, unsigned timeout_ms)
{
    const struct timespec pause = {.tv_nsec = REDIS_LOOK_MS * 1000000L};
    struct listeners l = {.own = false};
    long long began_ms = line_now_ms();
    for (unsigned ms = 0; ms < timeout_ms && !redis_ended && !is_deserted(n, &l, ms);
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

void redis_look_at_prefix(const struct redis_node *n)
{
    if (redis_is_nobodys(n))
        fprintf(stderr, "nigh: note: no node %suses the prefix %s in this database: is it the "
                        "right one?\n", redis_is_old(n) ? "but of wire version 1 " : "", n->prefix);
    else if (n->unused)
        fprintf(stderr, "nigh: note: nobody has ever changed anything under the prefix %s there: "
                        "is it the right one?\n", n->prefix);
}

int redis_open_with(const struct tool_args *args, struct nigh_options *o, struct redis_node *n)
{
    int rc = 0;
    for (int tries = 0; rc == 0 && tries < 2; tries++) {
        rc = open_cache(args, o, n);
        if (rc == 0 && wait_for_trust(n, args->timeout_ms)) {
            n->unused = nigh_stats_value(n->cache, NULL, "sequence") == 0;
            return 0;
        }
        o->group_slots = atomic_exchange_explicit(&n->slots, 0, memory_order_relaxed);
        if (rc == 0 && !o->group_slots && redis_is_nobodys(n))
            return 0;
        atomic_store_explicit(&n->nobodys, false, memory_order_relaxed);
        if (rc == 0 && (tries == 1 || !o->group_slots))
            rc = redis_say_problem(n);
        nigh_close(n->cache);
        n->cache = NULL;
    }
    return rc;
}

int redis_open(const struct tool_args *args, struct redis_node *n)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    int rc = redis_take_conf(args, &o);
    return rc == 0 ? redis_open_with(args, &o, n) : rc;
}

/* Reads a key's state, which tells what schemas are in use; those of spaces that store nothing in
 * Redis are in no list. */
void redis_look_at_space(const struct tool_args *args, struct redis_node *n, bool of_schema)
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
