// SPDX-License-Identifier: MIT
/*
 * Loaders that defer, threads that answer in any order, twice, or too late; callers that wait,
 * cancel, give up and invalidate; and caches that close in the middle of it.
 *
 * The judge counts. A key is loaded once for each generation: as often as it was invalidated, as a
 * load of it has failed, and once more. Now and then twice: a caller that takes its ticket before
 * an invalidation, and begins its flight after it, loads what nobody may have. Of the answers to a
 * fill one is accepted, or none, if its cache has closed. A caller sees nothing older than what was
 * invalidated before its call. Each call that is pending completes once, or was cancelled.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/async.h"

#define KEYS 24u
#define QUERIES 40000u
#define CALLERS 3
#define ANSWERERS 3
#define PENDING_MAX 500 /* of each loop */
#define ROUND_MS 300
#define LOAD_MS (10 * WORLD_PATIENCE_MS) /* passes for no load */

/* Keys: (c) constant once it has begun */
struct query {
    struct nigh_fill *fill;    /* (c) */
    unsigned key;              /* (c) */
    unsigned generation;       /* (c) of the row that was read */
    bool fails;                /* (c) */
    _Atomic unsigned accepted;
};

struct row {
    _Atomic unsigned committed;   /* what the origin says */
    _Atomic unsigned invalidated; /* and what every caller sees */
    _Atomic unsigned loads;
    _Atomic unsigned failed;      /* errors that were, or may be, accepted */
    _Atomic unsigned changes;     /* invalidations that were, or may be, made ... */
    _Atomic unsigned changed;     /* ... and that have returned */
};

/* One cache, from its opening to its closing. Keys: (l) lock */
struct scene {
    struct nigh *cache;
    struct nigh_space *space;
    struct row rows[KEYS];
    struct query *queries;
    _Atomic unsigned begun;
    pthread_mutex_t lock;
    struct query *waiting[2 * QUERIES]; /* (l) to be answered, some of them twice */
    unsigned waiting_count;             /* (l) */
    struct query *forgotten[QUERIES];   /* (l) to be answered when the cache has closed */
    unsigned forgotten_count;           /* (l) */
    _Atomic bool stop_calls;
    _Atomic bool stop_answers;
};

/* Kept for ever: larger than a stack. */
static struct scene scene;

static uint64_t chance_of(uint64_t salt)
{
    uint64_t state = check_seed() ^ salt * 0x9e3779b97f4a7c15u;
    return check_random(&state);
}

/* ---- the origin ---- */

static void hand_over(struct scene *s, struct query *q, uint64_t chance)
{
    pthread_mutex_lock(&s->lock);
    if (chance % 256 == 0)
        s->forgotten[s->forgotten_count++] = q;
    else
        s->waiting[s->waiting_count++] = q;
    if (chance % 5 == 0)
        s->waiting[s->waiting_count++] = q;
    pthread_mutex_unlock(&s->lock);
}

static int answer_at_once(struct nigh_fill *fill, unsigned key, unsigned generation)
{
    char text[32];
    int len = snprintf(text, sizeof(text), "%u=%u", key, generation);
    return nigh_fill_value(fill, text, (size_t)len);
}

static int load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct scene *s = arg;
    size_t len;
    const char *name = nigh_fill_key(fills[0], &len);
    unsigned key = (unsigned)(name[0] - 'a');
    (void)n;
    atomic_fetch_add(&s->rows[key].loads, 1);
    unsigned generation = atomic_load(&s->rows[key].committed);
    unsigned i = atomic_fetch_add(&s->begun, 1);
    uint64_t chance = chance_of(i);
    if (i >= QUERIES || chance % 17 == 0)
        return answer_at_once(fills[0], key, generation);
    struct query *q = &s->queries[i];
    *q = (struct query){.key = key, .generation = generation, .fails = chance % 19 == 0};
    int rc = nigh_fill_defer(fills[0], &q->fill);
    REQUIRE_EQ(rc, 0);
    hand_over(s, q, chance >> 8);
    if (chance % 7 == 0)
        sched_yield(); /* it may be answered before this returns */
    return 0;
}

/* Answers as all who have the query do. */
static void answer(struct scene *s, struct query *q)
{
    int rc;
    struct row *row = &s->rows[q->key];
    if (q->fails) {
        atomic_fetch_add(&row->failed, 1);
        rc = nigh_fill_error(q->fill, 1);
    } else {
        rc = answer_at_once(q->fill, q->key, q->generation);
    }
    if (q->fails && rc != 0)
        atomic_fetch_sub(&row->failed, 1);
    CHECK(rc == 0 || rc == NIGH_EINVAL || rc == NIGH_ECLOSED);
    if (rc == 0)
        atomic_fetch_add(&q->accepted, 1);
}

static struct query *take(struct scene *s, uint64_t chance)
{
    struct query *q = NULL;
    pthread_mutex_lock(&s->lock);
    if (s->waiting_count > 0) {
        unsigned i = (unsigned)(chance % s->waiting_count);
        q = s->waiting[i];
        s->waiting[i] = s->waiting[--s->waiting_count];
    }
    pthread_mutex_unlock(&s->lock);
    return q;
}

static void *answer_all(void *arg)
{
    struct scene *s = arg;
    uint64_t state = chance_of((uintptr_t)&state);
    while (!atomic_load(&s->stop_answers)) {
        struct query *q = take(s, check_random(&state));
        size_t len;
        if (!q) {
            check_pause();
            continue;
        }
        if (check_random(&state) % 4 == 0) {
            (void)nigh_fill_time_left_ms(q->fill);
            (void)nigh_fill_set_version(q->fill, 0);
            (void)nigh_fill_add_tag(q->fill, "t");
            CHECK(!nigh_fill_previous(q->fill, &len, &(uint64_t){0}) || len > 0);
        }
        answer(s, q);
    }
    return NULL;
}

/* ---- callers ---- */

/* Returns the row below which no call may come. */
static unsigned least_of(const struct scene *s, unsigned key)
{
    return atomic_load(&s->rows[key].invalidated);
}

static void judge(unsigned key, unsigned least, const struct nigh_value *value)
{
    char text[32];
    unsigned of = 0, generation = 0;
    REQUIRE(value->len < sizeof(text));
    memcpy(text, value->data, value->len);
    text[value->len] = 0;
    CHECK_EQ(sscanf(text, "%u=%u", &of, &generation), 2);
    CHECK_EQ(of, key);
    CHECK_GE(generation, least);
}

static void change(struct scene *s, unsigned key)
{
    struct row *row = &s->rows[key];
    char name = (char)('a' + key);
    atomic_fetch_add(&row->changes, 1);
    unsigned generation = atomic_fetch_add(&row->committed, 1) + 1;
    if (!CHECK_EQ(nigh_invalidate(s->space, &name, 1, NULL), 0))
        return;
    unsigned before = atomic_load(&row->invalidated);
    while (before < generation &&
           !atomic_compare_exchange_weak(&row->invalidated, &before, generation))
        continue;
    atomic_fetch_add(&row->changed, 1);
}

/* Whether a call may be answered so that began when so many changes of the key had returned. Stale
 * is what a load that fails has found in L1 while a change was about to remove it there: the floor
 * of the key had risen, so it is not L1's answer any more. Seldom seen, for a load looks twice, and
 * both looks must fall between the two steps of the change. */
static bool may_answer(const struct scene *s, unsigned key, unsigned changed, int outcome)
{
    bool changing = atomic_load(&s->rows[key].changes) > changed;
    return outcome == NIGH_FRESH || outcome == NIGH_ELOADER || (outcome == NIGH_STALE && changing);
}

static void fetch(struct scene *s, unsigned key, uint32_t deadline_ms)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    char name = (char)('a' + key);
    unsigned changed = atomic_load(&s->rows[key].changed), least = least_of(s, key);
    call.deadline_ms = deadline_ms;
    int rc = nigh_fetch(s->space, &name, 1, &call, &value);
    if (!CHECK(may_answer(s, key, changed, rc) || rc == NIGH_ETIMEDOUT))
        check_note("it answered %d: %s", rc, nigh_strerror(rc));
    if (rc >= 0)
        judge(key, least, &value);
    nigh_release(&value);
}

static void *call_all(void *arg)
{
    struct scene *s = arg;
    uint64_t state = chance_of((uintptr_t)&state);
    while (!atomic_load(&s->stop_calls)) {
        uint64_t chance = check_random(&state);
        unsigned key = (unsigned)(chance >> 32) % KEYS;
        if (chance % 16 == 0)
            change(s, key);
        else
            fetch(s, key, 1 + (unsigned)(chance >> 8) % 20);
    }
    return NULL;
}

/* A loop: calls that are pending, what each must not come below, and how it ended. */
struct loop {
    struct scene *s;
    struct nigh_queue *queue;
    unsigned begun, ended, cancelled;
    uint64_t ids[PENDING_MAX]; /* the last ones */
};

/* The argument of a call: its key, what it must not come below, and how many changes of the key had
 * returned. */
static void *arg_of(unsigned key, unsigned least, unsigned changed)
{
    REQUIRE(least < 1u << 24);
    return (void *)((uintptr_t)changed << 32 | (uintptr_t)least << 8 | key);
}

static void end_one(struct loop *l, struct nigh_completion *c)
{
    uintptr_t arg = (uintptr_t)c->arg;
    unsigned key = arg & 255, least = (arg >> 8) & 0xffffff;
    CHECK(may_answer(l->s, key, (unsigned)(arg >> 32), c->outcome) ||
          c->outcome == NIGH_ETIMEDOUT || c->outcome == NIGH_ECLOSED);
    if (c->outcome >= 0)
        judge(key, least, &c->value);
    nigh_release(&c->value);
    l->ended++;
}

static int poll_some(struct loop *l, uint32_t timeout_ms)
{
    struct nigh_completion done[16];
    int n = nigh_queue_poll(l->queue, done, 16, timeout_ms);
    for (int i = 0; i < n; i++)
        end_one(l, &done[i]);
    return n;
}

static void begin_one(struct loop *l, uint64_t chance)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    unsigned key = (unsigned)(chance >> 32) % KEYS;
    unsigned changed = atomic_load(&l->s->rows[key].changed), least = least_of(l->s, key);
    char name = (char)('a' + key);
    uint64_t id = 0;
    call.deadline_ms = chance % 3 ? LOAD_MS : 1 + (unsigned)(chance >> 8) % 20;
    int rc = nigh_fetch_async(l->queue, l->s->space, &name, 1, &call,
                              arg_of(key, least, changed), &value, &id);
    if (rc == NIGH_PENDING)
        l->ids[l->begun++ % PENDING_MAX] = id;
    else if (CHECK(may_answer(l->s, key, changed, rc)) && rc >= 0)
        judge(key, least, &value);
    nigh_release(&value);
}

static void *loop_all(void *arg)
{
    struct loop *l = arg;
    uint64_t state = chance_of((uintptr_t)l->queue);
    while (!atomic_load(&l->s->stop_calls)) {
        uint64_t chance = check_random(&state);
        if (l->begun - l->ended - l->cancelled < PENDING_MAX)
            begin_one(l, chance);
        if (chance % 8 == 0 && nigh_cancel(l->queue, l->ids[(chance >> 16) % PENDING_MAX]) == 0)
            l->cancelled++;
        (void)poll_some(l, chance % 4 == 0);
    }
    return NULL;
}

/* ---- a round ---- */

static void open_scene(struct scene *s, uint64_t chance)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct query *queries = s->queries;
    memset(s, 0, sizeof(*s));
    s->queries = queries;
    pthread_mutex_init(&s->lock, NULL);
    o.l1_memory = 8u << 20;
    o.l1_policy = NIGH_POLICY_LRU; /* which refuses nobody */
    o.group_slots = 2048;
    o.workers = 2;
    so.run_on = chance % 2 ? NIGH_RUN_WORKER : NIGH_RUN_CALLER;
    so.load_deadline_ms = LOAD_MS;
    so.soft_ttl_ms = 3600 * 1000;
    so.error_ttl_ms = NIGH_NONE;
    REQUIRE_EQ(nigh_open(&o, &s->cache), 0);
    REQUIRE_EQ(nigh_space_open(s->cache, "s", &so, load, NULL, s, &s->space), 0);
}

static void judge_round(struct scene *s)
{
    unsigned begun = atomic_load(&s->begun);
    for (unsigned i = 0; i < s->forgotten_count; i++)
        answer(s, s->forgotten[i]);
    for (unsigned i = 0; i < begun && i < QUERIES; i++)
        CHECK_LE(atomic_load(&s->queries[i].accepted), 1);
    unsigned loads = 0, owed = 0;
    for (unsigned k = 0; k < KEYS; k++) {
        struct row *row = &s->rows[k];
        unsigned changes = atomic_load(&row->changes), failed = atomic_load(&row->failed);
        CHECK_LE(atomic_load(&row->loads), 1 + 2 * changes + failed);
        loads += atomic_load(&row->loads);
        owed += 1 + changes + failed;
    }
    CHECK_LE(loads, owed + owed / 4);
}

static void start_all(pthread_t *threads, unsigned count, void *(*run)(void *), void *arg)
{
    for (unsigned i = 0; i < count; i++)
        REQUIRE_EQ(pthread_create(&threads[i], NULL, run, arg), 0);
}

static void join_all(pthread_t *threads, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pthread_join(threads[i], NULL);
}

static unsigned run_round(struct scene *s, uint64_t chance)
{
    pthread_t answerers[ANSWERERS], callers[CALLERS], loop_thread;
    struct loop l = {.s = s};
    open_scene(s, chance);
    REQUIRE_EQ(nigh_queue_open(s->cache, &l.queue), 0);
    start_all(answerers, ANSWERERS, answer_all, s);
    start_all(callers, CALLERS, call_all, s);
    start_all(&loop_thread, 1, loop_all, &l);
    for (uint64_t end_ms = check_now_ms() + ROUND_MS; check_now_ms() < end_ms;)
        check_pause();
    atomic_store(&s->stop_calls, true);
    join_all(callers, CALLERS);
    join_all(&loop_thread, 1);
    nigh_close(s->cache); /* while they answer */
    while (poll_some(&l, 0) != NIGH_ECLOSED)
        continue;
    atomic_store(&s->stop_answers, true);
    join_all(answerers, ANSWERERS);
    CHECK_EQ(l.begun, l.ended + l.cancelled);
    nigh_queue_close(l.queue);
    judge_round(s);
    pthread_mutex_destroy(&s->lock);
    return atomic_load(&s->begun);
}

TEST(deferred_answers_from_everywhere)
{
    unsigned rounds = 0, loads = 0;
    uint64_t end_ms = check_now_ms() + 1000 * check_seconds(5);
    scene.queries = calloc(QUERIES, sizeof(*scene.queries));
    REQUIRE(scene.queries);
    do
        loads += run_round(&scene, chance_of(rounds));
    while (++rounds, check_now_ms() < end_ms);
    free(scene.queries);
    check_note("%u caches, %u loads", rounds, loads);
}
