// SPDX-License-Identifier: MIT
/*
 * Everybody at once through the public API, against a shadow model: under each policy, with caps
 * that move, of all and of a space, values that are held, threads that come and go, and time that
 * the test drives.
 *
 * Keys are numbered across the spaces. Each has one owner, who changes it, so what a key's values
 * say counts up, and per key the model has
 *
 *   begun   the last number whose change has begun
 *   done    the last number that was stored for sure
 *   gone    below it nothing may be read any more: raised after a change, or invalidation, returned
 *   stale   the same for what is called fresh: soft invalidations raise it alone
 *
 * A read is right when its number lies between what `gone` (or `stale`) was before it and what
 * `begun` is after it; not to find anything is always right. Who invalidates a tag, a space or all
 * notes `done` before: what was stored by then is gone when the call returns. In the last space
 * values come from a loader: `begun` is the truth, and only the owner's own changes raise `gone`.
 *
 * The bytes of a value follow from its key, number and length, so torn, freed or mixed-up memory
 * shows; each is looked at when it is read and again before it is released. When it ends fresh, and
 * when altogether, is in a record beside the key: time stands still during a put.
 */
#include <nigh/nigh.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/check.h"
#include "support/raise.h"

#define SPACES 4u
#define CAPPED 2u /* the space whose space.memory moves */
#define LOADED 3u /* the one with a loader; gets one once */
#define KEYS_EACH 3000u /* so many that all together need more than the largest cap */
#define KEYS (SPACES * KEYS_EACH)
#define TAGS 16u
#define OWNERS 2u
#define READERS 3u
#define RECORDS 16u /* of a key's last numbers */
#define HELD_MAX 700u /* more than a thread has places for */
#define HELD_LARGE 64u /* beyond these only small ones */
#define HELD_BYTES_MAX (192u << 10) /* of those */
#define POOL_MAX 64u
#define POOL_BYTES 4096u /* of each: all that is held has to fit into the smallest cap */
#define SMALL_BYTES 300u
#define LARGE_BYTES (40u << 10)
#define SOFT_MS 2000u
#define STALE_MS 1000u
#define TIME_FACTOR 4u /* of the test's time, compared with the wall's */
#define PATIENCE_MS 20000u

static const char *const space_names[SPACES] = {"plain", "versions", "capped", "loaded"};

/* When number `seq` ends. Keys: (o) by the owner, before the put; readers look at seq twice */
struct record {
    _Atomic uint64_t seq;      /* (o) */
    _Atomic uint64_t fresh_ns; /* (o) */
    _Atomic uint64_t stale_ns; /* (o) */
};

struct row {
    _Atomic uint64_t begun, done, gone, stale;
    struct record records[RECORDS];
};

/* A value and who may have it: its first word says what it is. */
struct hold {
    struct nigh_value value;
    uint64_t head;
};

struct world {
    struct nigh *cache;
    struct nigh_space *spaces[SPACES];
    struct row rows[KEYS];
    _Atomic uint64_t now_ns;
    pthread_rwlock_t time; /* held by puts: the clock stands still */
    _Atomic bool stop;
    pthread_mutex_t pool_lock;
    struct hold pool[POOL_MAX];
    unsigned pool_count;
    _Atomic uint64_t reads, found, stale, puts, refused, caps, held_most;
};

struct actor {
    struct world *w;
    uint64_t random;
    unsigned number;
    struct nigh_queue *queue;
    struct hold held[HELD_MAX];
    unsigned held_count;
    size_t held_bytes;
    char buffer[LARGE_BYTES];
};

static struct world world;
static struct actor actors[OWNERS + READERS + 2];

static uint64_t chance(struct actor *a, uint64_t below)
{
    return check_random(&a->random) % below;
}

static uint64_t read_clock(void *arg)
{
    return atomic_load(&((struct world *)arg)->now_ns);
}

/* ---- values ---- */

#define HEAD_KEY_BITS 16

static uint64_t word_of(uint64_t head, size_t len, size_t at)
{
    return (head ^ at) * 0x9e3779b97f4a7c15u ^ (len + at) * 0xbf58476d1ce4e5b9u;
}

/* 16 bytes at least: the head, and a word that depends on it and on the length. */
static void write_value(char *to, size_t len, unsigned key, uint64_t seq)
{
    uint64_t head = seq << HEAD_KEY_BITS | key;
    memcpy(to, &head, sizeof(head));
    for (size_t at = sizeof(head); at < len; at += sizeof(uint64_t)) {
        uint64_t word = word_of(head, len, at);
        memcpy(to + at, &word, len - at < sizeof(word) ? len - at : sizeof(word));
    }
}

/* Its head; ends the program when these are no value's bytes. */
static uint64_t check_value(const struct nigh_value *v)
{
    uint64_t head;
    REQUIRE(v->len >= 16 && v->len <= LARGE_BYTES);
    memcpy(&head, v->data, sizeof(head));
    for (size_t at = sizeof(head); at < v->len; at += sizeof(uint64_t)) {
        uint64_t word = word_of(head, v->len, at);
        size_t rest = v->len - at < sizeof(word) ? v->len - at : sizeof(word);
        REQUIRE(memcmp((const char *)v->data + at, &word, rest) == 0);
    }
    return head;
}

static size_t any_size(struct actor *a)
{
    uint64_t kind = chance(a, 100);
    size_t below = kind < 70 ? SMALL_BYTES : kind < 97 ? 4096 : LARGE_BYTES;
    return 16 + chance(a, below - 16);
}

/* ---- what is held ---- */

static void let_go(struct hold *h)
{
    REQUIRE_EQ(check_value(&h->value), h->head); /* still as it was read */
    nigh_release(&h->value);
}

static void let_go_of(struct actor *a, unsigned i)
{
    a->held_bytes -= a->held[i].value.len;
    let_go(&a->held[i]);
    a->held[i] = a->held[--a->held_count];
}

static void let_all_go(struct actor *a)
{
    while (a->held_count)
        let_go_of(a, a->held_count - 1);
}

/* Gives a value to whoever comes next, and takes one that another thread has read. */
static void exchange(struct actor *a, unsigned i)
{
    struct world *w = a->w;
    if (a->held[i].value.len > POOL_BYTES) {
        let_go_of(a, i);
        return;
    }
    struct hold given = a->held[i], taken = {.head = 0};
    pthread_mutex_lock(&w->pool_lock);
    unsigned at = (unsigned)chance(a, POOL_MAX);
    bool full = at < w->pool_count;
    if (full)
        taken = w->pool[at];
    else
        at = w->pool_count++;
    w->pool[at] = given;
    pthread_mutex_unlock(&w->pool_lock);
    a->held_bytes -= given.value.len;
    a->held[i] = a->held[--a->held_count];
    if (full)
        let_go(&taken);
}

static void keep(struct actor *a, struct nigh_value *v, uint64_t head)
{
    struct hold h = {*v, head};
    size_t left = a->held_bytes < HELD_BYTES_MAX ? HELD_BYTES_MAX - a->held_bytes : 0;
    size_t most = a->held_count < HELD_LARGE ? left : SMALL_BYTES;
    bool room = a->held_count < HELD_MAX && v->len <= most;
    if (!room || chance(a, 4) == 0) {
        let_go(&h);
        return;
    }
    a->held_bytes += v->len;
    a->held[a->held_count++] = h;
    raise_to(&a->w->held_most, a->held_count);
    while (a->held_count && chance(a, 8) == 0)
        let_go_of(a, (unsigned)chance(a, a->held_count));
    if (a->held_count && chance(a, 16) == 0)
        exchange(a, (unsigned)chance(a, a->held_count));
    if (chance(a, 4000) == 0)
        let_all_go(a);
}

/* ---- reading ---- */

/* The model knew this before a read. */
struct before {
    unsigned key;
    uint64_t gone, stale, now_ns;
};

static struct before look(const struct world *w, unsigned key)
{
    const struct row *row = &w->rows[key];
    return (struct before){key, atomic_load(&row->gone), atomic_load(&row->stale),
                           atomic_load(&w->now_ns)};
}

static bool check_time(const struct row *row, uint64_t seq, const struct before *b, int outcome)
{
    const struct record *r = &row->records[seq % RECORDS];
    uint64_t first = atomic_load(&r->seq);
    uint64_t fresh_ns = atomic_load(&r->fresh_ns), stale_ns = atomic_load(&r->stale_ns);
    if (first != seq || atomic_load(&r->seq) != seq)
        return true; /* overwritten since: an old one, of which the rest is judged */
    return CHECK_LE(b->now_ns, outcome == NIGH_FRESH ? fresh_ns : stale_ns);
}

/* Judges what a read brought, and keeps it for a while. */
static void judge(struct actor *a, const struct before *b, int outcome, struct nigh_value *v)
{
    struct row *row = &a->w->rows[b->key];
    atomic_fetch_add_explicit(&a->w->reads, 1, memory_order_relaxed);
    if (outcome != NIGH_FRESH && outcome != NIGH_STALE) {
        CHECK(outcome == NIGH_MISS || outcome == NIGH_ENOMEM);
        return;
    }
    uint64_t head = check_value(v), seq = head >> HEAD_KEY_BITS;
    bool right = CHECK_EQ(head & ((1u << HEAD_KEY_BITS) - 1), b->key);
    right = CHECK_GE(seq, b->gone) && right;
    if (outcome == NIGH_FRESH)
        right = CHECK_GE(seq, b->stale) && right;
    right = CHECK_LE(seq, atomic_load(&row->begun)) && right;
    if (b->key / KEYS_EACH != LOADED)
        right = check_time(row, seq, b, outcome) && right;
    if (!right)
        check_note("key %u: number %llu was read as %s", b->key, (unsigned long long)seq,
                   nigh_result_name(outcome));
    atomic_fetch_add_explicit(&a->w->found, 1, memory_order_relaxed);
    if (outcome == NIGH_STALE)
        atomic_fetch_add_explicit(&a->w->stale, 1, memory_order_relaxed);
    keep(a, v, head);
}

/* Half of them of a tenth of the keys. */
static unsigned any_key(struct actor *a)
{
    unsigned space = (unsigned)chance(a, SPACES);
    return space * KEYS_EACH + (unsigned)chance(a, chance(a, 2) ? KEYS_EACH : KEYS_EACH / 10);
}

static void read_key(struct actor *a, unsigned key)
{
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_value v = NIGH_VALUE_INIT;
    struct nigh_space *space = a->w->spaces[key / KEYS_EACH];
    call.flags = chance(a, 8) == 0 ? NIGH_QUIET : 0;
    struct before b = look(a->w, key);
    int rc = (chance(a, 4) ? nigh_fetch : nigh_get)(space, &key, sizeof(key), &call, &v);
    judge(a, &b, rc, &v);
}

static void read_one(struct actor *a)
{
    read_key(a, any_key(a));
}

static void read_many(struct actor *a)
{
    enum { MANY = 24 };
    struct nigh_key keys[MANY];
    struct nigh_value values[MANY];
    struct before b[MANY];
    int outcomes[MANY];
    unsigned space = (unsigned)chance(a, SPACES), numbers[MANY];
    for (unsigned i = 0; i < MANY; i++) {
        numbers[i] = space * KEYS_EACH + (unsigned)chance(a, KEYS_EACH);
        keys[i] = (struct nigh_key){&numbers[i], sizeof(numbers[i])};
        b[i] = look(a->w, numbers[i]);
    }
    CHECK_EQ(nigh_get_many(a->w->spaces[space], keys, MANY, NULL, values, outcomes), 0);
    for (unsigned i = 0; i < MANY; i++)
        judge(a, &b[i], outcomes[i], &values[i]);
}

static void *read_on(void *arg)
{
    struct actor *a = arg;
    while (!atomic_load(&a->w->stop)) {
        for (unsigned i = 0; i < 30; i++)
            read_one(a);
        read_many(a);
    }
    let_all_go(a);
    return NULL;
}

/* A thread that reads a little, leaves some of it to others, and ends. */
static void *read_and_end(void *arg)
{
    struct actor *a = arg;
    for (unsigned i = 0; i < 40; i++)
        read_one(a);
    while (a->held_count > 4)
        exchange(a, 0);
    let_all_go(a);
    return NULL;
}

static void *breed(void *arg)
{
    struct actor *a = arg;
    while (!atomic_load(&a->w->stop)) {
        pthread_t thread;
        REQUIRE_EQ(pthread_create(&thread, NULL, read_and_end, a), 0);
        pthread_join(thread, NULL);
    }
    return NULL;
}

/* ---- changing ---- */

static int load_row(void *arg, struct nigh_fill *const fills[], size_t n)
{
    static _Thread_local char buffer[LARGE_BYTES];
    struct world *w = arg;
    size_t len;
    unsigned key;
    (void)n;
    memcpy(&key, nigh_fill_key(fills[0], &len), sizeof(key));
    uint64_t seq = atomic_load(&w->rows[key].begun), random = key * 7919u + seq;
    len = check_random(&random) % 16 ? SMALL_BYTES : LARGE_BYTES - 16;
    len = 16 + check_random(&random) % len;
    write_value(buffer, len, key, seq);
    return nigh_fill_value(fills[0], buffer, len);
}

static int write_row(void *arg, const struct nigh_write_op *op)
{
    struct world *w = arg;
    unsigned key;
    memcpy(&key, op->key, sizeof(key));
    atomic_fetch_add(&w->rows[key].begun, 1);
    return 0;
}

static void note_times(struct record *r, uint64_t seq, uint64_t now_ns, const struct nigh_call *c)
{
    uint64_t soft_ms = c->soft_ttl_ms ? c->soft_ttl_ms : SOFT_MS;
    uint64_t stale_ms = c->stale_ms ? c->stale_ms : STALE_MS;
    uint64_t fresh_ns = now_ns + soft_ms * 1000000;
    atomic_store(&r->seq, 0);
    atomic_store(&r->fresh_ns, fresh_ns);
    atomic_store(&r->stale_ns, fresh_ns + (stale_ms == NIGH_NONE ? 0 : stale_ms * 1000000));
    atomic_store(&r->seq, seq);
}

/* Whether that number has no tags: if it is not a fenced fill either, it is put without options,
 * the way of its own that most puts take. Both kinds replace both. */
static bool is_bare(unsigned key, uint64_t seq)
{
    return key < KEYS_EACH && (key ^ seq) & 2;
}

/* `miss`: a fenced fill, which leaves what is there when it is refused. */
static void put_number(struct actor *a, unsigned key, uint64_t seq, struct nigh_miss *miss)
{
    struct world *w = a->w;
    struct row *row = &w->rows[key];
    struct nigh_call call = NIGH_CALL_INIT;
    char tag[16];
    const char *tags[] = {tag};
    bool bare = is_bare(key, seq), plain = bare && !miss;
    size_t len = any_size(a);
    write_value(a->buffer, len, key, seq);
    snprintf(tag, sizeof(tag), "tag%u", key % TAGS);
    call.tags = tags;
    call.tag_count = bare ? 0 : 1;
    call.miss = miss;
    call.version = key / KEYS_EACH == 1 ? seq : 0;
    call.soft_ttl_ms = !plain && chance(a, 8) == 0 ? 1 + (uint32_t)chance(a, SOFT_MS) : 0;
    call.stale_ms = !plain && chance(a, 8) == 0 ? NIGH_NONE : 0;
    raise_to(&row->begun, seq);
    pthread_rwlock_rdlock(&w->time);
    note_times(&row->records[seq % RECORDS], seq, atomic_load(&w->now_ns), &call);
    int rc = nigh_put(w->spaces[key / KEYS_EACH], &key, sizeof(key), a->buffer, len,
                      plain ? NULL : &call);
    pthread_rwlock_unlock(&w->time);
    CHECK(rc == 0 || rc == NIGH_REFUSED || rc == NIGH_EFULL || rc == NIGH_ENOMEM);
    atomic_fetch_add_explicit(rc == 0 ? &w->puts : &w->refused, 1, memory_order_relaxed);
    if (rc == 0)
        raise_to(&row->done, seq);
    if (rc == 0 || (!miss && rc != NIGH_ENOMEM))
        raise_to(&row->gone, seq);
}

static void put_one(struct actor *a, unsigned key, struct nigh_miss *miss)
{
    put_number(a, key, atomic_load(&a->w->rows[key].begun) + 1, miss);
}

/* A fenced fill of what its source said before a change, which is put meanwhile. */
static void put_too_late(struct actor *a, unsigned key, struct nigh_miss *miss)
{
    uint64_t seq = atomic_load(&a->w->rows[key].begun) + 1;
    put_number(a, key, seq + 1, NULL);
    put_number(a, key, seq, miss);
    read_key(a, key); /* not what came too late */
}

static void put_what_is_missed(struct actor *a, unsigned key)
{
    struct nigh_miss miss = NIGH_MISS_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    struct nigh_value v = NIGH_VALUE_INIT;
    call.miss = &miss;
    struct before b = look(a->w, key);
    int rc = nigh_get(a->w->spaces[key / KEYS_EACH], &key, sizeof(key), &call, &v);
    judge(a, &b, rc, &v);
    if (rc == NIGH_MISS)
        (chance(a, 2) ? put_one : put_too_late)(a, key, &miss);
}

static void invalidate_one(struct actor *a, unsigned key)
{
    struct row *row = &a->w->rows[key];
    uint64_t seq = atomic_load(&row->begun);
    CHECK_EQ(nigh_invalidate(a->w->spaces[key / KEYS_EACH], &key, sizeof(key), NULL), 0);
    raise_to(&row->gone, seq + 1);
}

/* Writes through, on this thread or on a worker that is waited for. */
static int write_through(struct actor *a, unsigned key, size_t len, const struct nigh_call *call)
{
    struct nigh_space *space = a->w->spaces[LOADED];
    struct nigh_completion done = {.outcome = NIGH_PENDING};
    if (chance(a, 2))
        return nigh_write(space, &key, sizeof(key), a->buffer, len, call);
    CHECK_EQ(nigh_write_async(a->queue, space, &key, sizeof(key), a->buffer, len, call, NULL,
                              NULL), NIGH_PENDING);
    CHECK_EQ(nigh_queue_poll(a->queue, &done, 1, NIGH_NONE), 1);
    return done.outcome;
}

/* Changes a row of the loader's space: the truth first. */
static void change_loaded(struct actor *a, unsigned key)
{
    struct world *w = a->w;
    struct row *row = &w->rows[key];
    struct nigh_call call = NIGH_CALL_INIT;
    uint64_t seq = atomic_load(&row->begun) + 1;
    if (chance(a, 2)) {
        atomic_store(&row->begun, seq);
        CHECK_EQ(nigh_invalidate(w->spaces[LOADED], &key, sizeof(key), NULL), 0);
    } else {
        size_t len = any_size(a);
        write_value(a->buffer, len, key, seq);
        call.version = seq;
        CHECK_EQ(write_through(a, key, len, &call), 0);
    }
    raise_to(&row->gone, seq);
}

static void *change_on(void *arg)
{
    struct actor *a = arg;
    while (!atomic_load(&a->w->stop)) {
        unsigned key = any_key(a) / OWNERS * OWNERS + a->number;
        uint64_t kind = chance(a, 16);
        if (key / KEYS_EACH == LOADED)
            change_loaded(a, key);
        else if (kind == 0)
            invalidate_one(a, key);
        else if (kind < 4)
            put_what_is_missed(a, key);
        else
            put_one(a, key, NULL);
    }
    let_all_go(a);
    return NULL;
}

/* ---- many at once ---- */

/* Whether it invalidates that number of the key. */
static bool covers(const struct nigh_target *t, const struct world *w, unsigned key, uint64_t seq)
{
    char tag[16];
    int len = snprintf(tag, sizeof(tag), "tag%u", key % TAGS);
    if (t->kind == NIGH_TARGET_TAG)
        return !is_bare(key, seq) && t->name_len == (size_t)len &&
               memcmp(t->name, tag, t->name_len) == 0;
    return t->kind == NIGH_TARGET_ALL || t->space == w->spaces[key / KEYS_EACH];
}

/* What has been stored by now is gone, or stale, when the call has returned. */
static void invalidate_many(struct actor *a, const struct nigh_target *target, bool soft)
{
    static uint64_t done[KEYS];
    struct world *w = a->w;
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = soft ? NIGH_SOFT : 0;
    for (unsigned key = 0; key < KEYS; key++)
        done[key] = atomic_load(&w->rows[key].done);
    CHECK_EQ(nigh_invalidate_many(w->cache, target, 1, &call), 0);
    for (unsigned key = 0; key < LOADED * KEYS_EACH; key++)
        if (done[key] && covers(target, w, key, done[key]))
            raise_to(soft ? &w->rows[key].stale : &w->rows[key].gone, done[key] + 1);
}

static void *invalidate_on(void *arg)
{
    struct actor *a = arg;
    while (!atomic_load(&a->w->stop)) {
        char tag[16];
        int len = snprintf(tag, sizeof(tag), "tag%u", (unsigned)chance(a, TAGS));
        uint64_t kind = chance(a, 40);
        struct nigh_target t = {.kind = NIGH_TARGET_TAG, .name = tag, .name_len = (size_t)len};
        if (kind < 2)
            t = (struct nigh_target){.kind = kind ? NIGH_TARGET_SPACE : NIGH_TARGET_ALL,
                                     .space = a->w->spaces[chance(a, SPACES)]};
        invalidate_many(a, &t, chance(a, 3) == 0);
        for (uint64_t n = chance(a, 20); n > 0; n--)
            check_pause();
    }
    return NULL;
}

/* ---- time and caps ---- */

static int64_t gauge(const struct world *w, const char *name)
{
    int64_t value = nigh_stats_value(w->cache, NULL, name);
    CHECK_GE(value, 0);
    return value;
}

static void pass_time(struct world *w, uint64_t *last_ms)
{
    uint64_t now_ms = check_now_ms();
    pthread_rwlock_wrlock(&w->time);
    atomic_fetch_add(&w->now_ns, (now_ms - *last_ms) * TIME_FACTOR * 1000000);
    pthread_rwlock_unlock(&w->time);
    *last_ms = now_ms;
}

/* When the cache has come down to its cap the peak is counted anew, and stays below it from then:
 * whenever it is above, the cap is not in force yet, and will be. */
static bool is_below_cap(struct world *w, uint64_t *last_ms)
{
    pass_time(w, last_ms);
    return gauge(w, "memory_peak_bytes") <= gauge(w, "memory_cap_bytes");
}

static void move_cap(struct world *w, uint64_t *last_ms, unsigned mib)
{
    char text[16];
    CHECK_WITHIN(PATIENCE_MS, is_below_cap(w, last_ms)); /* it has been, since it was reached */
    snprintf(text, sizeof(text), "%uMiB", mib);
    CHECK_EQ(nigh_set(w->cache, "l1.memory", text), 0);
    CHECK_WITHIN(PATIENCE_MS, is_below_cap(w, last_ms));
    w->caps++;
}

static bool space_is_below(struct world *w, const char *space, uint64_t *last_ms, int64_t bytes)
{
    pass_time(w, last_ms);
    return nigh_stats_value(w->cache, space, "memory_bytes") <= bytes;
}

/* Its first cap may find a cache in which nobody makes room. */
static void move_space_cap(struct world *w, uint64_t *last_ms, unsigned space, unsigned mib)
{
    const char *name = space_names[space];
    char text[16] = "none";
    if (mib)
        snprintf(text, sizeof(text), "%uMiB", mib);
    bool first = nigh_stats_value(w->cache, name, "memory_bytes") < 0;
    int rc = nigh_space_set(w->spaces[space], "space.memory", text);
    CHECK(rc == 0 || (first && rc == NIGH_ENOMEM));
    if (rc == 0 && mib)
        CHECK_WITHIN(PATIENCE_MS, space_is_below(w, name, last_ms, (int64_t)mib << 20));
    w->caps++;
}

static void move_on(struct world *w, uint64_t *random)
{
    uint64_t end_ms = check_now_ms() + check_seconds(5) * 1000u, last_ms = check_now_ms();
    uint64_t next_ms = 0;
    while (check_now_ms() < end_ms) {
        if (check_now_ms() >= next_ms) {
            move_cap(w, &last_ms, 5 + (unsigned)(check_random(random) % 11));
            move_space_cap(w, &last_ms, CAPPED, (unsigned)(check_random(random) % 5));
            if (check_random(random) % 4 == 0)
                move_space_cap(w, &last_ms, LOADED, 1 + (unsigned)(check_random(random) % 8));
            next_ms = check_now_ms() + 50 + check_random(random) % 400;
        }
        pass_time(w, &last_ms);
        check_pause();
    }
}

/* ---- the whole ---- */

static void open_world(struct world *w, enum nigh_policy policy)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    memset(w, 0, sizeof(*w));
    w->now_ns = 1000000000;
    pthread_rwlockattr_t attr;
    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&w->time, &attr);
    pthread_mutex_init(&w->pool_lock, NULL);
    o.l1_memory = 8u << 20;
    o.l1_policy = policy;
    o.l1_shards = 16; /* of more, the tables need more than the smallest cap of a space */
    o.group_slots = 2048;
    o.workers = 1;
    o.clock = read_clock;
    o.clock_arg = w;
    o.space.soft_ttl_ms = SOFT_MS;
    o.space.stale_ms = STALE_MS;
    o.space.jitter_percent = NIGH_NONE;
    o.space.load_deadline_ms = TIME_FACTOR * 10 * PATIENCE_MS;
    REQUIRE_EQ(nigh_open(&o, &w->cache), 0);
    for (unsigned i = 0; i < SPACES; i++)
        REQUIRE_EQ(nigh_space_open(w->cache, space_names[i], NULL, i == LOADED ? load_row : NULL,
                                   i == LOADED ? write_row : NULL, w, &w->spaces[i]), 0);
}

/* Nothing is held any more, and nothing lives: nothing but the tables is left. */
static void check_all_is_freed(struct world *w)
{
    while (w->pool_count)
        let_go(&w->pool[--w->pool_count]);
    CHECK_EQ(gauge(w, "pins"), 0);
    CHECK_WITHIN(PATIENCE_MS, gauge(w, "flights") == 0); /* refreshes that nobody waits for */
    CHECK_WITHIN(PATIENCE_MS, (atomic_fetch_add(&w->now_ns, 1000000000), gauge(w, "entries") == 0));
    CHECK_WITHIN(PATIENCE_MS, (atomic_fetch_add(&w->now_ns, 1000000),
                               gauge(w, "limbo_bytes") + gauge(w, "unstored_bytes") == 0));
    CHECK_EQ(gauge(w, "pinned_bytes"), 0);
    CHECK_WITHIN(PATIENCE_MS, gauge(w, "memory_bytes") == gauge(w, "tables_bytes"));
}

static void say_what_happened(const struct world *w)
{
    check_note("%llu reads, %llu found, %llu stale; %llu puts, %llu refused; %lld evicted; "
               "%llu caps; %llu held by one", (unsigned long long)w->reads,
               (unsigned long long)w->found, (unsigned long long)w->stale,
               (unsigned long long)w->puts, (unsigned long long)w->refused,
               (long long)gauge(w, "l1_evict"), (unsigned long long)w->caps,
               (unsigned long long)w->held_most);
}

static void live(enum nigh_policy policy)
{
    struct world *w = &world;
    pthread_t threads[OWNERS + READERS + 2];
    unsigned count = 0;
    uint64_t random = check_seed() + (uint64_t)policy;
    open_world(w, policy);
    for (unsigned i = 0; i < OWNERS + READERS + 2; i++) {
        static void *(*const last[])(void *) = {breed, invalidate_on};
        void *(*run)(void *) = i < OWNERS ? change_on : read_on;
        run = i < OWNERS + READERS ? run : last[i - OWNERS - READERS];
        actors[i] = (struct actor){.w = w, .random = check_random(&random), .number = i};
        REQUIRE_EQ(nigh_queue_open(w->cache, &actors[i].queue), 0);
        REQUIRE_EQ(pthread_create(&threads[count++], NULL, run, &actors[i]), 0);
    }
    move_on(w, &random);
    atomic_store(&w->stop, true);
    while (count) {
        REQUIRE_EQ(pthread_join(threads[--count], NULL), 0);
        nigh_queue_close(actors[count].queue);
    }
    say_what_happened(w);
    CHECK_GT(w->found, 0);
    check_all_is_freed(w);
    nigh_close(w->cache);
    pthread_rwlock_destroy(&w->time);
    pthread_mutex_destroy(&w->pool_lock);
}

TEST(under_lfu)
{
    live(NIGH_POLICY_LFU);
}

TEST(under_lru)
{
    live(NIGH_POLICY_LRU);
}

TEST(under_ttl)
{
    live(NIGH_POLICY_TTL);
}

TEST(under_none)
{
    live(NIGH_POLICY_NONE);
}
