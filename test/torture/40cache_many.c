// SPDX-License-Identifier: MIT
/*
 * Calls for many keys and for one, blocking, waiting for nothing and cancelled, on the same few
 * keys, with loaders that are called for many; and a writer that invalidates. Judged:
 *
 *   each pending call is completed once, or cancelled, and not both;
 *   each key has an outcome of its own, and no value older than the last invalidation before the
 *   call;
 *   the origin is asked once per key and generation: not more often than the key was invalidated.
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "support/async.h"
#include "support/rows.h"

#define KEYS 24u
#define MOST 16u  /* keys of a call; some occur twice */
#define CALLS 16u /* of a loop, at once */
#define LOOPS 2u
#define BLOCKERS 3u

struct scene {
    struct world w;
    struct row rows[KEYS];
    _Atomic bool over;
    _Atomic uint64_t seeds;
    _Atomic uint64_t completed, cancelled, blocked, largest;
};

/* The keys of a call, and the least that their answers may be. */
struct call {
    bool pending;
    uint64_t id;
    unsigned count;
    unsigned rows[MOST];
    unsigned least[MOST];
    char names[MOST];
    struct nigh_key keys[MOST];
    struct nigh_value values[MOST];
    int outcomes[MOST];
};

static int load_rows(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct scene *s = arg;
    bool slow = false;
    uint64_t largest = s->largest;
    while (n > largest && !atomic_compare_exchange_weak(&s->largest, &largest, n))
        continue;
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *key = nigh_fill_key(fills[i], &len);
        struct row *row = &s->rows[key[0] - 'A'];
        slow |= row_load(row, fills[i]) % 8 == 0;
    }
    if (slow)
        check_pause();
    return 0;
}

static void choose(struct scene *s, struct call *c, uint64_t *state)
{
    c->count = 1 + (unsigned)(check_random(state) % MOST);
    for (unsigned i = 0; i < c->count; i++) {
        c->rows[i] = (unsigned)(check_random(state) % KEYS);
        c->least[i] = s->rows[c->rows[i]].told;
        c->names[i] = (char)('A' + c->rows[i]);
        c->keys[i] = (struct nigh_key){&c->names[i], 1};
        c->values[i] = (struct nigh_value)NIGH_VALUE_INIT;
    }
}

static void judge_all(const struct call *c, struct nigh_value *values)
{
    for (unsigned i = 0; i < c->count; i++)
        row_judge(c->outcomes[i], &values[i], c->rows[i], c->least[i]);
}

/* ---- loops ---- */

struct loop {
    struct scene *s;
    struct nigh_queue *queue;
    struct call calls[CALLS];
};

static void begin(struct loop *l, struct call *c, uint64_t *state)
{
    choose(l->s, c, state);
    int rc = nigh_fetch_many_async(l->queue, l->s->w.space, c->keys, c->count, NULL, c, c->values,
                                   c->outcomes, &c->id);
    if (rc == NIGH_PENDING)
        c->pending = true;
    else if (CHECK_EQ(rc, 0))
        judge_all(c, c->values);
}

static void cancel(struct loop *l, struct call *c)
{
    CHECK_EQ(nigh_cancel(l->queue, c->id), 0); /* this thread polls, and has not seen its end */
    CHECK_EQ(nigh_cancel(l->queue, c->id), NIGH_MISS);
    for (unsigned i = 0; i < c->count; i++)
        nigh_release(&c->values[i]); /* what came at once */
    c->pending = false;
    l->s->cancelled++;
}

static int poll_some(struct loop *l, uint32_t timeout_ms)
{
    struct nigh_completion done[4];
    int n = nigh_queue_poll(l->queue, done, 4, timeout_ms);
    for (int i = 0; i < n; i++) {
        struct call *c = done[i].arg;
        CHECK_EQ(done[i].outcome, 0);
        CHECK(c->pending && c->id == done[i].id);
        c->pending = false;
        judge_all(c, c->values);
        l->s->completed++;
    }
    return n;
}

static bool has_pending(const struct loop *l)
{
    for (unsigned i = 0; i < CALLS; i++)
        if (l->calls[i].pending)
            return true;
    return false;
}

static void *run_loop(void *arg)
{
    struct loop *l = arg;
    uint64_t state = atomic_fetch_add(&l->s->seeds, 1);
    while (!l->s->over) {
        uint64_t chance = check_random(&state);
        struct call *c = &l->calls[chance % CALLS];
        if (!c->pending)
            begin(l, c, &state);
        else if (chance >> 32 & 1)
            cancel(l, c);
        if (chance >> 33 & 1)
            poll_some(l, chance >> 34 & 1);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, (poll_some(l, 1), !has_pending(l)));
    return NULL;
}

/* ---- others ---- */

static void *block(void *arg)
{
    struct scene *s = arg;
    uint64_t state = atomic_fetch_add(&s->seeds, 1);
    struct call *c = calloc(1, sizeof(*c));
    REQUIRE(c);
    while (!s->over) {
        uint64_t chance = check_random(&state);
        choose(s, c, &state);
        if (chance % 4 == 0) {
            c->count = 1;
            c->outcomes[0] = nigh_fetch(s->w.space, c->keys[0].data, 1, NULL, &c->values[0]);
        } else {
            CHECK_EQ(nigh_fetch_many(s->w.space, c->keys, c->count, NULL, c->values, c->outcomes),
                     0);
        }
        judge_all(c, c->values);
        s->blocked++;
    }
    free(c);
    return NULL;
}

static void *invalidate(void *arg)
{
    struct scene *s = arg;
    uint64_t state = atomic_fetch_add(&s->seeds, 1);
    while (!s->over) {
        unsigned row = (unsigned)(check_random(&state) % KEYS);
        row_change(&s->rows[row], s->w.space, (char)('A' + row));
        if (check_random(&state) % 8 == 0)
            check_pause();
    }
    return NULL;
}

static void mix(uint32_t batch, uint32_t wait_us, enum nigh_run_on run_on)
{
    struct scene *s = calloc(1, sizeof(*s));
    struct loop *loops = calloc(LOOPS, sizeof(*loops));
    pthread_t threads[LOOPS + BLOCKERS + 1];
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    uint64_t state = check_seed();
    unsigned n = 0;
    REQUIRE(s && loops);
    so.batch = batch;
    so.batch_wait_us = wait_us;
    so.run_on = run_on;
    so.load_deadline_ms = 3 * WORLD_PATIENCE_MS;
    world_open(&s->w, NULL, NULL);
    REQUIRE_EQ(nigh_space_open(s->w.cache, "rows", &so, load_rows, NULL, s, &s->w.space), 0);
    s->seeds = check_random(&state);
    for (unsigned i = 0; i < LOOPS; i++) {
        loops[i].s = s;
        REQUIRE_EQ(nigh_queue_open(s->w.cache, &loops[i].queue), 0);
        REQUIRE_EQ(pthread_create(&threads[n++], NULL, run_loop, &loops[i]), 0);
    }
    for (unsigned i = 0; i < BLOCKERS; i++)
        REQUIRE_EQ(pthread_create(&threads[n++], NULL, block, s), 0);
    REQUIRE_EQ(pthread_create(&threads[n++], NULL, invalidate, s), 0);
    uint64_t end_ms = check_now_ms() + check_seconds(5) * 1000u / 4;
    while (check_now_ms() < end_ms)
        check_pause();
    s->over = true;
    while (n > 0)
        pthread_join(threads[--n], NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&s->w, "async") == 0);
    for (unsigned i = 0; i < KEYS; i++)
        CHECK_LE(s->rows[i].loads, s->rows[i].invalidated + 1);
    CHECK_LE(s->largest, batch);
    check_note("%llu completed, %llu cancelled, %llu blocked, at most %llu keys in a call",
               (unsigned long long)s->completed, (unsigned long long)s->cancelled,
               (unsigned long long)s->blocked, (unsigned long long)s->largest);
    for (unsigned i = 0; i < LOOPS; i++)
        nigh_queue_close(loops[i].queue);
    world_close(&s->w);
    free(loops);
    free(s);
}

TEST(a_key_is_loaded_once_a_generation_by_calls_for_many)
{
    mix(8, 0, NIGH_RUN_CALLER);
    mix(64, 0, NIGH_RUN_WORKER);
    mix(1, 0, NIGH_RUN_CALLER);
    mix(64, 100, NIGH_RUN_CALLER);
}
