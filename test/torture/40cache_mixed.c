// SPDX-License-Identifier: MIT
/*
 * Callers of all kinds on the same few keys: loops that fetch without waiting, cancel and poll,
 * threads that block, calls that want no answer, and a writer that invalidates. Judged:
 *
 *   each pending call is completed once, or cancelled, and not both;
 *   nobody gets a value older than the last invalidation before the call;
 *   the origin is asked once per key and generation: not more often than the key was invalidated.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>

#include "support/async.h"
#include "support/rows.h"

#define KEYS 12u
#define LOOPS 2u
#define BLOCKERS 2u
#define CALLS 64u

struct scene {
    struct world w;
    struct row rows[KEYS];
    struct nigh_queue *shared; /* which all loops poll, too */
    _Atomic bool over;
    _Atomic uint64_t seeds;
    _Atomic uint64_t completed, cancelled;
};

enum call_state { FREE, PENDING, ENDED };

struct call {
    struct nigh_queue *queue;
    uint64_t id;
    unsigned key;
    unsigned least; /* the generation that its answer has at least */
    _Atomic int state;
};

static struct scene scene;

static int load_row(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct scene *s = arg;
    size_t len;
    const char *key = nigh_fill_key(fills[0], &len);
    struct row *row = &s->rows[key[0] - 'a'];
    (void)n;
    if (row_load(row, fills[0]) % 4 == 0)
        check_pause();
    return 0;
}

/* ---- loops ---- */

struct loop {
    struct scene *s;
    struct nigh_queue *queue;
    struct call calls[CALLS];
};

static void begin(struct loop *l, struct call *c, uint64_t chance)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    uint64_t id = 0;
    char key = (char)('a' + chance % KEYS);
    c->queue = chance >> 40 & 1 ? l->s->shared : l->queue;
    c->key = (unsigned)(chance % KEYS);
    c->least = l->s->rows[c->key].told;
    c->state = PENDING; /* another loop may take it from here on */
    int rc = nigh_fetch_async(c->queue, l->s->w.space, &key, 1, NULL, c, &value, &id);
    if (rc == NIGH_PENDING) {
        c->id = id;
        return;
    }
    row_judge(rc, &value, c->key, c->least);
    CHECK_EQ(c->state, PENDING);
    c->state = FREE;
}

static void take(struct scene *s, struct nigh_completion *done)
{
    struct call *c = done->arg;
    row_judge(done->outcome, &done->value, c->key, c->least);
    CHECK_EQ(atomic_exchange(&c->state, ENDED), PENDING);
    s->completed++;
}

static int poll_queue(struct scene *s, struct nigh_queue *queue, uint32_t timeout_ms)
{
    struct nigh_completion done[8];
    int n = nigh_queue_poll(queue, done, 8, timeout_ms);
    for (int i = 0; i < n; i++)
        take(s, &done[i]);
    return n;
}

static void end(struct loop *l, struct call *c)
{
    int rc = nigh_cancel(c->queue, c->id);
    if (rc == 0) {
        CHECK_EQ(atomic_exchange(&c->state, FREE), PENDING);
        l->s->cancelled++;
        CHECK_EQ(nigh_cancel(c->queue, c->id), NIGH_MISS);
        return;
    }
    CHECK_EQ(rc, NIGH_MISS);
    CHECK_WITHIN(WORLD_PATIENCE_MS, c->state == ENDED); /* another loop has it in its hands */
    c->state = FREE;
}

static void turn(struct loop *l, uint64_t chance)
{
    struct call *c = &l->calls[chance >> 48 & (CALLS - 1)];
    if (c->state == ENDED)
        c->state = FREE;
    if (c->state == FREE)
        begin(l, c, chance);
    else if (chance >> 32 & 1)
        end(l, c);
    if (chance >> 33 & 1)
        poll_queue(l->s, chance >> 34 & 1 ? l->s->shared : l->queue, chance >> 35 & 1);
}

static void *run_loop(void *arg)
{
    struct loop *l = arg;
    uint64_t state = atomic_fetch_add(&l->s->seeds, 1);
    while (!l->s->over)
        turn(l, check_random(&state));
    return NULL;
}

static bool has_pending(struct loop *loops)
{
    for (unsigned i = 0; i < LOOPS * CALLS; i++)
        if (loops[i / CALLS].calls[i % CALLS].state == PENDING)
            return true;
    return false;
}

/* ---- others ---- */

static void *block(void *arg)
{
    struct scene *s = arg;
    uint64_t state = atomic_fetch_add(&s->seeds, 1);
    struct nigh_call no_wait = NIGH_CALL_INIT;
    no_wait.flags = NIGH_NO_WAIT;
    while (!s->over) {
        struct nigh_value value = NIGH_VALUE_INIT;
        uint64_t chance = check_random(&state);
        unsigned key = (unsigned)(chance % KEYS);
        char name = (char)('a' + key);
        bool waits = chance >> 32 & 1;
        unsigned least = s->rows[key].told;
        int rc = nigh_fetch(s->w.space, &name, 1, waits ? NULL : &no_wait, &value);
        if (rc != NIGH_PENDING || waits)
            row_judge(rc, &value, key, least);
    }
    return NULL;
}

static void *invalidate(void *arg)
{
    struct scene *s = arg;
    uint64_t state = atomic_fetch_add(&s->seeds, 1);
    while (!s->over) {
        unsigned key = (unsigned)(check_random(&state) % KEYS);
        row_change(&s->rows[key], s->w.space, (char)('a' + key));
        if (check_random(&state) % 8 == 0)
            check_pause();
    }
    return NULL;
}

TEST(calls_of_all_kinds_share_loads_and_each_ends_once)
{
    static struct loop loops[LOOPS];
    struct scene *s = &scene;
    pthread_t threads[LOOPS + BLOCKERS + 1];
    uint64_t state = check_seed();
    world_open(&s->w, NULL, NULL);
    REQUIRE_EQ(nigh_space_open(s->w.cache, "rows", NULL, load_row, NULL, s, &s->w.space), 0);
    REQUIRE_EQ(nigh_queue_open(s->w.cache, &s->shared), 0);
    s->seeds = check_random(&state);
    unsigned n = 0;
    for (unsigned i = 0; i < LOOPS; i++) {
        loops[i].s = s;
        REQUIRE_EQ(nigh_queue_open(s->w.cache, &loops[i].queue), 0);
        REQUIRE_EQ(pthread_create(&threads[n++], NULL, run_loop, &loops[i]), 0);
    }
    for (unsigned i = 0; i < BLOCKERS; i++)
        REQUIRE_EQ(pthread_create(&threads[n++], NULL, block, s), 0);
    REQUIRE_EQ(pthread_create(&threads[n++], NULL, invalidate, s), 0);
    uint64_t end_ms = check_now_ms() + check_seconds(5) * 1000u;
    while (check_now_ms() < end_ms)
        check_pause();
    s->over = true;
    while (n > 0)
        pthread_join(threads[--n], NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (poll_queue(s, s->shared, 0), poll_queue(s, loops[0].queue, 0),
                  poll_queue(s, loops[1].queue, 0), !has_pending(loops)));
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&s->w, "async") == 0);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_LE(s->rows[i].loads, s->rows[i].invalidated + 1);
    CHECK_GT(s->completed, 0);
    CHECK_GT(s->cancelled, 0);
    check_note("%llu completed, %llu cancelled", (unsigned long long)s->completed,
               (unsigned long long)s->cancelled);
    nigh_queue_close(s->shared);
    for (unsigned i = 0; i < LOOPS; i++)
        nigh_queue_close(loops[i].queue);
    world_close(&s->w);
}
