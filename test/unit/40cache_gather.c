// SPDX-License-Identifier: MIT
// space.batch_wait: misses of several threads become one call of the loader.

#include "support/batches.h"

static void start_askers(struct asker *askers, unsigned count, struct world *w)
{
    int64_t led = world_count(w, "flight_led");
    char key[16];
    for (unsigned i = 0; i < count; i++) {
        snprintf(key, sizeof(key), "k-%u", i);
        asker_start(&askers[i], w->space, key, NULL);
    }
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(w, "flight_led") == led + count);
}

/* Lets the time of the gathering come, and of what enters it late, on a busy machine. */
static void end_gathering(struct world *w)
{
    while (world_count(w, "flights") > 0) {
        world_advance(w, 60);
        check_pause();
    }
}

static void join_askers(struct asker *askers, unsigned count)
{
    char text[16];
    for (unsigned i = 0; i < count; i++) {
        asker_join(&askers[i]);
        snprintf(text, sizeof(text), "k-%u=1", i);
        CHECK_ANSWER(askers[i].answer, NIGH_FRESH, text);
    }
}

TEST(misses_of_several_threads_are_one_call_when_it_is_full)
{
    static struct asker askers[8];
    struct world w;
    open_gathering(&w, 8);
    start_askers(askers, 8, &w);
    join_askers(askers, 8);
    CHECK_EQ(w.origin.loads, 1);
    CHECK_EQ(w.origin.rows, 8);
    world_close(&w);
}

/* Returns the calls of the loader. */
static unsigned gather_in_time(void)
{
    static struct asker askers[5];
    struct world w;
    open_gathering(&w, 8);
    start_askers(askers, 5, &w);
    CHECK_EQ(w.origin.loads, 0);
    end_gathering(&w);
    join_askers(askers, 5);
    CHECK_EQ(w.origin.rows, 5);
    world_close(&w);
    return w.origin.loads;
}

/* Several times: a thread that has begun a flight may be kept from entering the gathering. */
TEST(misses_of_several_threads_are_one_call_when_its_time_has_come)
{
    unsigned calls = 0;
    for (int tries = 0; tries < 20 && calls != 1; tries++)
        calls = gather_in_time();
    CHECK_EQ(calls, 1);
}

static unsigned gather_twice(void)
{
    static struct asker full[4], late[2];
    struct world w;
    open_gathering(&w, 4);
    start_askers(full, 4, &w);
    join_askers(full, 4);
    world_advance(&w, 40);
    asker_start(&late[0], w.space, "x", NULL);
    asker_start(&late[1], w.space, "y", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flight_led") == 6);
    CHECK_EQ(w.origin.loads, 1);
    end_gathering(&w);
    asker_join(&late[0]);
    asker_join(&late[1]);
    CHECK_ANSWER(late[1].answer, NIGH_FRESH, "y=1");
    world_close(&w);
    return w.origin.loads;
}

TEST(a_later_gathering_has_its_own_time)
{
    unsigned calls = 0;
    for (int tries = 0; tries < 20 && calls != 2; tries++)
        calls = gather_twice();
    CHECK_EQ(calls, 2);
}

TEST(all_kinds_of_misses_are_gathered_together)
{
    static struct bunch b, unwaited;
    static struct asker single;
    struct world w;
    struct nigh_queue *queue;
    struct nigh_call call = with_flags(NIGH_NO_WAIT);
    uint64_t id;
    open_gathering(&w, 64);
    REQUIRE_EQ(nigh_queue_open(w.cache, &queue), 0);
    CHECK_EQ(nigh_put(w.space, "old", 3, "old=0", 5, NULL), 0);
    world_advance(&w, 1200);
    CHECK_ANSWER(ask_fetch(w.space, "old", NULL), NIGH_STALE, "old=0");
    CHECK_EQ(begin_fetch(queue, w.space, "async", NULL, 1, &id).outcome, NIGH_PENDING);
    asker_start(&single, w.space, "single", NULL);
    bunch_init(&b, "a b c");
    bunch_start(&b, w.space, NULL);
    bunch_init(&unwaited, "d e");
    bunch_fetch(&unwaited, w.space, &call);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 8);
    end_gathering(&w);
    bunch_join(&b);
    asker_join(&single);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_ANSWER(single.answer, NIGH_FRESH, "single=1");
    CHECK_ANSWER(poll_one(queue, WORLD_PATIENCE_MS).answer, NIGH_FRESH, "async=1");
    CHECK_EQ(w.origin.rows, 8);
    CHECK(w.origin.loads < 8);
    nigh_queue_close(queue);
    world_close(&w);
}

TEST(a_gathered_load_that_nobody_begins_times_out_alone)
{
    static struct bunch b;
    struct world w;
    struct asker stuck;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = batches(2);
    o.workers = 1;
    so.batch_wait_us = 10;
    world_open(&w, &o, &so);
    origin_hold(&w.origin);
    asker_start(&stuck, w.space, "stuck", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.held_loads == 1); /* by the only worker */
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = 50;
    bunch_init(&b, "a b c");
    bunch_fetch(&b, w.space, &call);
    for (unsigned i = 0; i < b.count; i++)
        CHECK_EQ(b.outcomes[i], NIGH_ETIMEDOUT);
    origin_let_go(&w.origin);
    asker_join(&stuck);
    bunch_fetch(&b, w.space, NULL);
    bunch_check_all(&b, NIGH_FRESH, 1);
    CHECK_EQ(w.origin.rows, 4);
    world_close(&w);
}

struct flood {
    struct nigh_queue *queue;
    struct nigh_space *space;
    _Atomic unsigned loads;
    _Atomic bool over;
};

static void flood_on(struct flood *f)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    char key[16];
    uint64_t id;
    int len = snprintf(key, sizeof(key), "f-%u", f->loads);
    if (CHECK_EQ(nigh_fetch_async(f->queue, f->space, key, (size_t)len, NULL, NULL, &value, &id),
                 NIGH_PENDING))
        nigh_cancel(f->queue, id);
}

/* Each load leaves another one to the workers. */
static int load_flood(void *arg, struct nigh_fill *const fills[], size_t n)
{
    struct flood *f = arg;
    f->loads++;
    if (!f->over)
        flood_on(f);
    CHECK_EQ(n, 1);
    return nigh_fill_absent(fills[0]);
}

TEST(a_gathering_has_its_turn_among_the_loads_of_another_space)
{
    struct flood f = {.queue = NULL};
    struct world w;
    struct asker asker;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = batches(2);
    o.workers = 1;
    so.batch_wait_us = 10;
    world_open(&w, &o, &so);
    so = batches(1);
    REQUIRE_EQ(nigh_space_open(w.cache, "flood", &so, load_flood, NULL, &f, &f.space), 0);
    REQUIRE_EQ(nigh_queue_open(w.cache, &f.queue), 0);
    flood_on(&f);
    CHECK_WITHIN(WORLD_PATIENCE_MS, f.loads > 0);
    asker_start(&asker, w.space, "a", NULL);
    CHECK_WITHIN(WORLD_PATIENCE_MS, w.origin.loads == 1);
    f.over = true;
    asker_join(&asker);
    CHECK_ANSWER(asker.answer, NIGH_FRESH, "a=1");
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&w, "flights") == 0);
    nigh_queue_close(f.queue);
    world_close(&w);
}

TEST(a_close_ends_what_is_gathered)
{
    struct world w;
    struct nigh_queue *queue;
    uint64_t id;
    open_gathering(&w, 64);
    REQUIRE_EQ(nigh_queue_open(w.cache, &queue), 0);
    CHECK_EQ(begin_fetch(queue, w.space, "k", NULL, 1, &id).outcome, NIGH_PENDING);
    nigh_close(w.cache);
    CHECK_EQ(poll_one(queue, 0).answer.outcome, NIGH_ECLOSED);
    nigh_queue_close(queue);
}
