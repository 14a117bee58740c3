// SPDX-License-Identifier: MIT
/*
 * Misses that cost something: each name is asked for once, no tier has it, and the origin takes 50
 * us of a processor, as a query to an embedded database does. Beside nigh the cache that people
 * write first (GET, the origin, SET with a lifetime; no lease, no single flight, no word of
 * changes), and none. What is warm is asked for again: of L1, and of Redis.
 *
 * A sleeping origin would ask for nothing that nigh needs, too: two processors serve as many
 * sleepers as there are threads.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "link/plain.h"
#include "support/fail.h"

#define NAMES      63000u
#define ORIGIN_NS  (50 * PERF_NS_PER_US)
#define NAME_BYTES 48u

struct aside {
    const struct row *row;
    struct nigh *cache; /* NULL: not nigh */
    struct nigh_space *space;
    struct plain *plain; /* NULL: not hiredis */
    _Atomic uint64_t loads;
};

static void ask_origin(struct aside *s)
{
    uint64_t until_ns = thread_cpu_ns() + ORIGIN_NS;
    while (thread_cpu_ns() < until_ns)
        ;
    atomic_fetch_add_explicit(&s->loads, 1, memory_order_relaxed);
}

static int load(void *arg, struct nigh_fill *const *fills, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        ask_origin(arg);
        nigh_fill_value(fills[i], link_world.value, LINK_VALUE_BYTES);
    }
    return 0;
}

static size_t name(char text[NAME_BYTES], const char *before, unsigned thread, uint64_t n)
{
    return (size_t)snprintf(text, NAME_BYTES, "%s%02u:%010lu", before, thread, (unsigned long)n);
}

/* Names that a thread asks for again. */
static uint64_t again(const struct aside *s, uint64_t n)
{
    return n % (NAMES / s->row->threads);
}

/* ---- life ---- */

static struct aside *open_aside(const struct row *row)
{
    struct aside *s = must_alloc(1, sizeof(*s));
    s->row = row;
    return s;
}

static void *open_none(const struct row *row)
{
    return open_aside(row);
}

static void *open_hiredis(const struct row *row)
{
    struct aside *s = open_aside(row);
    s->plain = plain_open(row);
    return s;
}

static void *open_nigh(const struct row *row)
{
    struct aside *s = open_aside(row);
    struct nigh_options options = link_options("aside");
    options.l1_memory = 256u << 20; /* room for what all rounds bring */
    s->cache = link_cache_open_with(&options);
    s->space = link_space_open(s->cache, row->name[0] == 'c' ? "cold" : "warm", load, s);
    return s;
}

static void close_aside(void *self)
{
    struct aside *s = self;
    if (s->plain)
        plain_close(s->plain);
    nigh_close(s->cache);
    free(s);
}

static uint64_t names_of_thread(void *self)
{
    struct aside *s = self;
    return NAMES / s->row->threads;
}

static uint64_t loads_of(void *self)
{
    struct aside *s = self;
    return atomic_load(&s->loads);
}

/* ---- cold ---- */

static void ask_none(void *self, unsigned thread, uint64_t n)
{
    (void)thread, (void)n;
    ask_origin(self);
}

static void fetch_named(struct aside *s, unsigned thread, uint64_t n)
{
    char text[NAME_BYTES];
    struct nigh_value value = NIGH_VALUE_INIT;
    int rc = nigh_fetch(s->space, text, name(text, "", thread, n), NULL, &value);
    if (rc != NIGH_FRESH || value.len != LINK_VALUE_BYTES)
        fail("nigh: a miss was: %s", nigh_strerror(rc));
    nigh_release(&value);
}

static void fetch_new(void *self, unsigned thread, uint64_t n)
{
    fetch_named(self, thread, n);
}

static bool get_plain(struct aside *s, unsigned thread, const char *text, size_t len)
{
    struct plain_args args = {.count = 0};
    plain_word(&args, "GET");
    plain_add(&args, text, len);
    plain_send(s->plain, thread, &args);
    void *reply = NULL;
    redisGetReply(s->plain->connections[thread], &reply);
    redisReply *r = reply;
    bool found = r && r->type == REDIS_REPLY_STRING && r->len == LINK_VALUE_BYTES;
    if (!r || (!found && r->type != REDIS_REPLY_NIL))
        fail("hiredis: GET is not answered");
    freeReplyObject(r);
    return found;
}

static void set_plain(struct aside *s, unsigned thread, const char *text, size_t len)
{
    struct plain_args args = {.count = 0};
    plain_word(&args, "SET");
    plain_add(&args, text, len);
    plain_add(&args, link_world.value, LINK_VALUE_BYTES);
    plain_word(&args, "PX");
    plain_word(&args, "3600000");
    freeReplyObject(plain_ask(s->plain, thread, &args, REDIS_REPLY_STATUS));
}

static void ask_plain(struct aside *s, unsigned thread, const char *before, uint64_t n)
{
    char text[NAME_BYTES];
    size_t len = name(text, before, thread, n);
    if (get_plain(s, thread, text, len))
        return;
    ask_origin(s);
    set_plain(s, thread, text, len);
}

static void get_new(void *self, unsigned thread, uint64_t n)
{
    ask_plain(self, thread, "plain:!2:cold:1:", n);
}

/* ---- warm ---- */

static void fetch_again(void *self, unsigned thread, uint64_t n)
{
    fetch_named(self, thread, again(self, n));
}

static void get_again(void *self, unsigned thread, uint64_t n)
{
    ask_plain(self, thread, "plain:!2:warm:1:", again(self, n));
}

/* One thread of the row brings what all its calls ask for. */
static void warm_nigh(void *self, unsigned thread)
{
    struct aside *s = self;
    for (uint64_t n = 0; n < names_of_thread(s); n++)
        fetch_named(s, thread, n);
}

static void warm_hiredis(void *self, unsigned thread)
{
    for (uint64_t n = 0; n < names_of_thread(self); n++)
        get_again(self, thread, n);
}

static void *open_nigh_warm(const struct row *row)
{
    struct aside *s = open_nigh(row);
    team_run(row->threads, warm_nigh, s);
    return s;
}

static void *open_hiredis_warm(const struct row *row)
{
    struct aside *s = open_hiredis(row);
    team_run(row->threads, warm_hiredis, s);
    return s;
}

/* clang-format off */
const struct side side_no_cache = {
    "no cache", NULL, .open = open_none, .call = ask_none, .close = close_aside,
    .prepare = names_of_thread, .loads = loads_of};
const struct side side_hiredis_aside = {
    "hiredis", "get set", .open = open_hiredis, .call = get_new, .close = close_aside,
    .prepare = names_of_thread, .loads = loads_of};
const struct side side_nigh_aside = {
    "nigh", "get evalsha", .open = open_nigh, .call = fetch_new, .close = close_aside,
    .prepare = names_of_thread, .loads = loads_of};
const struct side side_hiredis_warm = {
    "hiredis", "get", .open = open_hiredis_warm, .call = get_again, .close = close_aside,
    .loads = loads_of};
const struct side side_nigh_warm = {
    "nigh", NULL, .open = open_nigh_warm, .call = fetch_again, .close = close_aside,
    .loads = loads_of};
/* clang-format on */
