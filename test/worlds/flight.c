// SPDX-License-Identifier: MIT
// A host of flights whose steps are scripted.

#include "worlds/flight.h"

static void world_run(void *arg, struct flight *f)
{
    struct world *w = arg;
    pthread_mutex_lock(&w->lock);
    f->run_next = w->queue;
    w->queue = f;
    w->queued++;
    pthread_mutex_unlock(&w->lock);
}

static void world_step(void *arg, struct flight *f, uint32_t events)
{
    struct world *w = arg;
    w->steps++;
    w->events |= events;
    w->script(w, f, events);
}

static void world_free(void *arg, struct flight *f)
{
    struct world *w = arg;
    CHECK_EQ(f->landed, 1);
    w->freed++;
}

static void world_open(struct world *w, struct env *env, void (*script)(struct world *,
                       struct flight *, uint32_t))
{
    w->env = env;
    w->script = script;
    pthread_mutex_init(&w->lock, NULL);
    struct flight_table_config config = {env, {world_run, world_step, world_free, w, 0}};
    REQUIRE_EQ(flight_table_create(&config, &w->table), 0);
}

void world_init(struct world *w, void (*script)(struct world *, struct flight *, uint32_t))
{
    *w = (struct world){.script = NULL};
    fake_env_init(&w->fake, check_seed());
    world_open(w, &w->fake.env, script);
}

void world_fini(struct world *w)
{
    CHECK_EQ(flight_count(w->table), 0);
    CHECK_EQ(w->queued, 0);
    flight_table_destroy(w->table);
    pthread_mutex_destroy(&w->lock);
    fake_env_fini(&w->fake);
}

void world_init_real(struct world *w, void (*script)(struct world *, struct flight *, uint32_t))
{
    *w = (struct world){.script = NULL};
    REQUIRE_EQ(env_init_real(&w->real, true), 0);
    world_open(w, &w->real, script);
}

void world_fini_real(struct world *w)
{
    CHECK_EQ(flight_count(w->table), 0);
    flight_table_destroy(w->table);
    pthread_mutex_destroy(&w->lock);
    env_fini(&w->real);
}

bool world_work(struct world *w)
{
    pthread_mutex_lock(&w->lock);
    struct flight *f = w->queue;
    if (f) {
        w->queue = f->run_next;
        w->queued--;
    }
    pthread_mutex_unlock(&w->lock);
    if (f)
        flight_run(f);
    return f != NULL;
}

struct flight_join world_join_of(const char *key)
{
    return (struct flight_join){
        .key = {.space = NULL, .space_id = 1, .hash = 7, .data = key, .len = 1},
        .ticket = 10,
        .key_floor_ok = 0,
        .deadline_ns = CLOCK_NEVER_NS,
        .waiters_max = 100,
    };
}

struct flight *world_join(struct world *w, const char *key, int role)
{
    struct flight_join join = world_join_of(key);
    struct flight *f = NULL;
    REQUIRE_EQ(flight_join(w->table, &join, &f), role);
    return f;
}

void world_land(struct flight *f, int outcome)
{
    f->outcome = outcome;
    flight_land(f);
}

void world_script_load(struct world *w, struct flight *f, uint32_t events)
{
    if (!(events & FLIGHT_EV_START))
        return;
    w->loads++;
    world_land(f, NIGH_FRESH);
}

void world_script_ask(struct world *w, struct flight *f, uint32_t events)
{
    if (events & FLIGHT_EV_START) {
        flight_ref(f);
        w->target = f;
    }
    if ((events & (FLIGHT_EV_REPLY | FLIGHT_EV_DEADLINE)) && f->state != FLIGHT_LAND)
        world_land(f, (events & FLIGHT_EV_REPLY) ? NIGH_FRESH : NIGH_ETIMEDOUT);
}

void world_reply(struct world *w)
{
    flight_post(w->target, FLIGHT_EV_REPLY);
    flight_unref(w->target);
}
