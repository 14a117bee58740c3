// SPDX-License-Identifier: MIT
/*
 * Threads that are cancelled inside any call: what they leave behind must be whole. Named after
 * what went wrong: a thread that ended at the write to the eventfd which wakes nigh-io had already
 * said that it would, and nobody ever woke nigh-io again.
 *
 * A cancelled thread ends when its call has returned, or inside its loader or writer.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "support/origin.h"

#define VICTIMS 6
#define KEYS 40u
#define SOON_MS 1000 /* deadlines of a space in which loaders die */

struct scene {
    struct world w;
    _Atomic unsigned ended;     /* victims that ended by their cancellation */
    _Atomic uint64_t seeds;
};

/* Cancellation points of loaders and writers. No call that blocks is one: ThreadSanitizer loses
 * sight of the locks of a thread that was cancelled in what it intercepts. */
static void meet_cancellation(void)
{
    for (int i = 0; i < 50; i++) {
        sched_yield();
        pthread_testcancel();
    }
}

static int slow_load(void *arg, struct nigh_fill *const fills[], size_t n)
{
    (void)arg, (void)n;
    meet_cancellation();
    return nigh_fill_value(fills[0], "value", 5);
}

static int slow_write(void *arg, const struct nigh_write_op *op)
{
    (void)arg, (void)op;
    meet_cancellation();
    return 0;
}

static struct nigh_space *open_space(struct scene *s)
{
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh_space *space;
    so.load_deadline_ms = SOON_MS;
    so.soft_ttl_ms = 1; /* so that hits leave refreshes, too */
    so.stale_ms = 100 * SOON_MS;
    so.error_ttl_ms = NIGH_NONE;
    REQUIRE_EQ(nigh_space_open(s->w.cache, "cancelled", &so, slow_load, slow_write, NULL, &space),
               0);
    return space;
}

/* ---- one call of any kind ---- */

static void call_read(struct nigh_space *space, const char *key, unsigned kind)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    size_t len = strlen(key);
    call.flags = kind % 2 ? NIGH_REFRESH : 0;
    int rc = kind < 4 ? nigh_fetch(space, key, len, &call, &value)
                      : nigh_get(space, key, len, &call, &value);
    if (rc >= 0)
        nigh_release(&value);
}

static void call_read_many(struct nigh_space *space)
{
    struct nigh_key keys[8];
    struct nigh_value values[8];
    int outcomes[8];
    char names[8][8];
    for (unsigned i = 0; i < 8; i++)
        keys[i] = (struct nigh_key){names[i], (size_t)snprintf(names[i], 8, "k%u", i * 5)};
    if (nigh_get_many(space, keys, 8, NULL, values, outcomes) == 0)
        for (unsigned i = 0; i < 8; i++)
            nigh_release(&values[i]);
}

static void call_any(struct scene *s, struct nigh_space *space, uint64_t chance)
{
    char key[16], text[4096];
    size_t len = (size_t)snprintf(key, sizeof(key), "k%u", (unsigned)(chance % KEYS));
    unsigned kind = (unsigned)(chance >> 32) % 16;
    struct nigh_space *other;
    if (kind < 6)
        call_read(space, key, kind);
    else if (kind < 8)
        (void)nigh_put(space, key, len, "put", 3, NULL);
    else if (kind < 10)
        (void)nigh_write(space, key, len, "written", 7, NULL);
    else if (kind < 12)
        (void)nigh_invalidate(space, key, len, NULL);
    else if (kind == 12)
        call_read_many(space);
    else if (kind == 13)
        (void)nigh_stats(s->w.cache, NIGH_STATS_JSON, text, sizeof(text));
    else if (kind == 14)
        (void)nigh_set(s->w.cache, "lease.time", "2s");
    else if (nigh_space_open(s->w.cache, "cancelled", NULL, slow_load, slow_write, NULL, &other))
        (void)nigh_drain(s->w.cache, 1);
}

/* ---- victims ---- */

static void note_end(void *scene)
{
    ((struct scene *)scene)->ended++;
}

static void *victim(void *arg)
{
    struct scene *s = arg;
    uint64_t state = atomic_fetch_add(&s->seeds, 1);
    pthread_cleanup_push(note_end, s);
    for (;;) {
        struct nigh_space *space = s->w.space;
        if (check_random(&state) % 4 == 0)
            pthread_cancel(pthread_self()); /* due at the first cancellation point */
        call_any(s, space, check_random(&state));
        pthread_testcancel();
    }
    pthread_cleanup_pop(0);
    return NULL;
}

static void cancel_for_a_while(struct scene *s)
{
    pthread_t threads[VICTIMS];
    uint64_t end = check_now_ms() + check_seconds(5) * 1000u;
    uint64_t state = check_seed();
    unsigned begun = 0;
    s->seeds = check_random(&state);
    while (check_now_ms() < end) {
        for (int i = 0; i < VICTIMS; i++, begun++)
            REQUIRE_EQ(pthread_create(&threads[i], NULL, victim, s), 0);
        (void)nigh_tick(s->w.cache); /* does nothing with own threads */
        usleep((unsigned)(check_random(&state) % 2000));
        for (int i = 0; i < VICTIMS; i++)
            pthread_cancel(threads[i]);
        for (int i = 0; i < VICTIMS; i++)
            pthread_join(threads[i], NULL);
    }
    CHECK_EQ(s->ended, begun);
    check_note("%u threads cancelled", begun);
}

/* Nothing is stuck: every key can be read, changed and read again. */
static void check_whole(struct scene *s)
{
    struct nigh_call anew = NIGH_CALL_INIT;
    anew.flags = NIGH_REFRESH;
    for (unsigned i = 0; i < KEYS; i++) {
        char key[16];
        snprintf(key, sizeof(key), "k%u", i);
        CHECK_WITHIN(WORLD_PATIENCE_MS, ask_fetch(s->w.space, key, &anew).outcome == NIGH_FRESH);
        CHECK_EQ(nigh_invalidate(s->w.space, key, strlen(key), NULL), 0);
        CHECK_WITHIN(WORLD_PATIENCE_MS, ask_fetch(s->w.space, key, NULL).outcome == NIGH_FRESH);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS,
                 (nigh_tick(s->w.cache), world_count(&s->w, "flights") == 0));
}

static void cancel_in(enum nigh_threads threads)
{
    struct scene s = {.ended = 0};
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.l1_memory = 8u << 20;
    o.threads = threads;
    world_open(&s.w, &o, NULL);
    s.w.space = open_space(&s);
    cancel_for_a_while(&s);
    check_whole(&s);
    world_close(&s.w);
}

TEST(threads_cancelled_inside_any_call_leave_it_whole)
{
    cancel_in(NIGH_THREADS_OWN);
}

TEST(threads_cancelled_where_calls_do_all_the_work_leave_it_whole)
{
    cancel_in(NIGH_THREADS_NONE);
}

TEST(threads_cancelled_inside_any_call_leave_the_link_whole)
{
    struct scene s = {.ended = 0};
    struct redis server;
    redis_start(&server, NULL);
    origin_init(&s.w.origin);
    patient_open(&s.w, &server, NULL, NULL);
    s.w.space = open_space(&s);
    cancel_for_a_while(&s);
    CHECK_EQ(nigh_drain(s.w.cache, WORLD_PATIENCE_MS), 0);
    CHECK_EQ(nigh_health(s.w.cache), NIGH_FRESH);
    check_whole(&s);
    CHECK_EQ(world_count(&s.w, "l2_connect"), 1);
    world_close(&s.w);
    redis_stop(&server);
}
