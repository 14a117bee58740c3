// SPDX-License-Identifier: MIT
/*
 * Spaces that get their first space.memory while everybody uses them: no value is read that was
 * replaced or invalidated before the read began.
 *
 * Few keys, so that threads meet. Each has one owner, who changes it: `truth` is the number that
 * the origin has, raised before each change; a load brings what it is then, a put a number of its
 * own. When a change has returned `gone` is raised: no read that begins later may bring less.
 *
 * A space moves once in its life, so there is a new one for each round, to which all turn.
 */
#include <nigh/nigh.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "support/check.h"
#include "support/raise.h"

#define ROUNDS 12u /* spaces of a cache */
#define KEYS 32u
#define OWNERS 2u
#define READERS 2u

struct row {
    _Atomic uint64_t truth, gone;
};

struct round {
    struct nigh_space *space;
    struct row rows[KEYS];
};

struct world {
    struct nigh *cache;
    struct round rounds[ROUNDS];
    _Atomic unsigned now; /* the round */
    _Atomic uint64_t reads, found;
    _Atomic bool stop;
};

struct actor {
    struct world *w;
    uint64_t random;
    unsigned number;
};

static struct world world;

static uint64_t chance(struct actor *a, uint64_t below)
{
    return check_random(&a->random) % below;
}

static int load_row(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct round *r = arg;
    size_t len;
    unsigned key;
    (void)n;
    memcpy(&key, nigh_fill_key(fills[0], &len), sizeof(key));
    uint64_t number = atomic_load(&r->rows[key].truth);
    return nigh_fill_value(fills[0], &number, sizeof(number));
}

/* ---- reading ---- */

static void judge(struct world *w, struct round *r, unsigned key, uint64_t gone, int outcome,
                  struct nigh_value *v)
{
    atomic_fetch_add_explicit(&w->reads, 1, memory_order_relaxed);
    if (outcome != NIGH_FRESH && outcome != NIGH_STALE) {
        CHECK(outcome == NIGH_MISS);
        return;
    }
    uint64_t number;
    REQUIRE_EQ(v->len, sizeof(number));
    memcpy(&number, v->data, sizeof(number));
    nigh_release(v);
    CHECK_GE(number, gone);
    CHECK_LE(number, atomic_load(&r->rows[key].truth));
    atomic_fetch_add_explicit(&w->found, 1, memory_order_relaxed);
}

static void read_one(struct actor *a, struct round *r)
{
    struct nigh_value v = NIGH_VALUE_INIT;
    unsigned key = (unsigned)chance(a, KEYS);
    uint64_t gone = atomic_load(&r->rows[key].gone);
    int rc = (chance(a, 4) ? nigh_fetch : nigh_get)(r->space, &key, sizeof(key), NULL, &v);
    judge(a->w, r, key, gone, rc, &v);
}

static void read_all(struct actor *a, struct round *r)
{
    struct nigh_key keys[KEYS];
    struct nigh_value values[KEYS];
    unsigned numbers[KEYS];
    uint64_t gone[KEYS];
    int outcomes[KEYS];
    for (unsigned i = 0; i < KEYS; i++) {
        numbers[i] = i;
        keys[i] = (struct nigh_key){&numbers[i], sizeof(numbers[i])};
        gone[i] = atomic_load(&r->rows[i].gone);
    }
    CHECK_EQ(nigh_get_many(r->space, keys, KEYS, NULL, values, outcomes), 0);
    for (unsigned i = 0; i < KEYS; i++)
        judge(a->w, r, i, gone[i], outcomes[i], &values[i]);
}

static struct round *present(struct world *w)
{
    return &w->rounds[atomic_load(&w->now)];
}

static void *read_on(void *arg)
{
    struct actor *a = arg;
    while (!atomic_load(&a->w->stop)) {
        struct round *r = present(a->w);
        for (unsigned i = 0; i < 40; i++)
            read_one(a, r);
        read_all(a, r);
    }
    return NULL;
}

/* ---- changing ---- */

/* Of a put the number is read at once, too: it may have been evicted, or lost to the move. */
static void change_one(struct actor *a, struct round *r)
{
    struct nigh_value v = NIGH_VALUE_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    unsigned key = (unsigned)chance(a, KEYS) / OWNERS * OWNERS + a->number;
    struct row *row = &r->rows[key];
    uint64_t number = atomic_fetch_add(&row->truth, 1) + 1;
    uint64_t kind = chance(a, 4);
    int rc;
    call.version = kind == 1 ? number : 0;
    if (kind < 2)
        rc = nigh_put(r->space, &key, sizeof(key), &number, sizeof(number), kind ? &call : NULL);
    else
        rc = nigh_invalidate(r->space, &key, sizeof(key), NULL);
    CHECK(rc == 0 || rc == NIGH_EFULL);
    raise_to(&row->gone, number);
    rc = nigh_get(r->space, &key, sizeof(key), NULL, &v);
    judge(a->w, r, key, number, rc, &v);
}

static void *change_on(void *arg)
{
    struct actor *a = arg;
    while (!atomic_load(&a->w->stop))
        change_one(a, present(a->w));
    return NULL;
}

/* ---- the whole ---- */

/* Until readers have come some way: they may not run at all for a while. */
static void let_them(struct world *w, uint64_t reads)
{
    uint64_t until = atomic_load(&w->reads) + reads;
    while (atomic_load(&w->reads) < until)
        check_pause();
}

static void turn_to(struct world *w, unsigned number, uint64_t *random)
{
    static const char *const later[] = {"none", "1MiB", "3MiB"};
    struct round *r = &w->rounds[number];
    atomic_store(&w->now, number);
    let_them(w, check_random(random) % 3000);
    CHECK_EQ(nigh_space_set(r->space, "space.memory", "2MiB"), 0);
    let_them(w, check_random(random) % 3000);
    CHECK_EQ(nigh_space_set(r->space, "space.memory", later[check_random(random) % 3]), 0);
    let_them(w, check_random(random) % 300);
}

static void open_world(struct world *w, enum nigh_policy policy)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    memset(w, 0, sizeof(*w));
    o.l1_memory = 32u << 20;
    o.l1_policy = policy;
    o.l1_shards = 16; /* of more, the tables need more than the smallest cap */
    o.group_slots = 2048;
    o.workers = 1;
    o.space.load_deadline_ms = 120 * 1000;
    REQUIRE_EQ(nigh_open(&o, &w->cache), 0);
    for (unsigned i = 0; i < ROUNDS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "round%u", i);
        REQUIRE_EQ(nigh_space_open(w->cache, name, NULL, load_row, NULL, &w->rounds[i],
                                   &w->rounds[i].space), 0);
    }
}

static void live(enum nigh_policy policy, uint64_t *random)
{
    struct world *w = &world;
    struct actor actors[OWNERS + READERS];
    pthread_t threads[OWNERS + READERS];
    open_world(w, policy);
    for (unsigned i = 0; i < OWNERS + READERS; i++) {
        actors[i] = (struct actor){w, check_random(random), i};
        REQUIRE_EQ(pthread_create(&threads[i], NULL, i < OWNERS ? change_on : read_on,
                                  &actors[i]), 0);
    }
    for (unsigned i = 0; i < ROUNDS; i++)
        turn_to(w, i, random);
    atomic_store(&w->stop, true);
    for (unsigned i = 0; i < OWNERS + READERS; i++)
        REQUIRE_EQ(pthread_join(threads[i], NULL), 0);
    CHECK_GT(w->found, 0);
    nigh_close(w->cache);
}

TEST(nothing_that_is_gone_is_read)
{
    static const enum nigh_policy policies[] = {NIGH_POLICY_LFU, NIGH_POLICY_LRU, NIGH_POLICY_TTL,
                                                NIGH_POLICY_NONE};
    uint64_t end_ms = check_now_ms() + check_seconds(4) * 1000u;
    uint64_t random = check_seed();
    unsigned lives = 0;
    do
        live(policies[lives++ % 4], &random);
    while (check_now_ms() < end_ms);
    check_note("%u caches, %u moves", lives, lives * ROUNDS);
}
