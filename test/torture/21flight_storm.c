// SPDX-License-Identifier: MIT
/*
 * Flights under everything at once: callers with random patience, loaders that nest, circle and
 * take their thread with them, replies and notices at any moment, deadlines, refreshes.
 *
 * What must hold, whatever the order:
 *   - one stepper at a time; what it keeps in plain fields is seen by the next (TSan judges)
 *   - no event is lost: each request's reply is stepped, also after the landing
 *   - keys without invalidations and deadlines: one flight at a time, and one load for each
 *   - a call that returns 0 sees the complete result of its key; nobody patient ever times out
 *   - in the end every record is freed, once
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "base/base.h"
#include "flight/flight.h"
#include "support/check.h"

#define KEYS 6
#define STEADY_KEYS 3 /* the first ones: no floors, no deadlines */
#define CALLERS 8
#define WORKERS 2
#define DEPTH_MAX 3
#define PATIENT_NS (60 * NS_PER_S)
#define SHORT_NS (300 * 1000ull)

struct result {
    int key;
    uint64_t ticket;
};

/* A stepper keeps this, in plain fields, because HELD orders them. */
struct work {
    int key;
    bool steady;
    unsigned asked;
    unsigned replied;
    unsigned loaded;
    unsigned answer; /* left by the I/O thread before it posts */
    _Atomic bool inside;
};

static struct env env;
static struct flight_table *table;
static _Atomic bool stop;
static _Atomic unsigned callers, begun, freed;
static _Atomic unsigned loads, exits, taken_over, refused, timeouts, busy, landed_late;
static _Atomic int flying[STEADY_KEYS];
static _Atomic uint64_t floors[KEYS];
static const char names[KEYS + 1] = "abcdef";

static _Thread_local uint64_t seed;
static _Thread_local unsigned depth;
static _Thread_local bool is_worker;

static bool one_in(unsigned n)
{
    return check_random(&seed) % n == 0;
}

/* ---- the queue of the workers, and the requests on their way ---- */

struct flyers {
    pthread_mutex_t lock;
    struct flight *flights[4096];
    unsigned count;
};
static struct flyers queue = {.lock = PTHREAD_MUTEX_INITIALIZER};
static struct flyers requests = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void list_put(struct flyers *l, struct flight *f)
{
    pthread_mutex_lock(&l->lock);
    REQUIRE(l->count < ARRAY_COUNT(l->flights));
    l->flights[l->count++] = f;
    pthread_mutex_unlock(&l->lock);
}

static struct flight *list_take_any(struct flyers *l)
{
    struct flight *f = NULL;
    pthread_mutex_lock(&l->lock);
    if (l->count > 0) {
        unsigned i = check_random(&seed) % l->count;
        f = l->flights[i];
        l->flights[i] = l->flights[--l->count];
    }
    pthread_mutex_unlock(&l->lock);
    return f;
}

static void give_to_workers(void *arg, struct flight *f)
{
    (void)arg;
    list_put(&queue, f);
}

/* ---- the stepper ---- */

static int fetch(int key, uint64_t patience_ns);

static void ask(struct flight *f)
{
    struct work *w = f->work;
    w->asked++;
    flight_ref(f);
    list_put(&requests, f);
}

static void land(struct flight *f, int outcome)
{
    struct work *w = f->work;
    struct result *r = malloc(sizeof(*r));
    REQUIRE(r);
    *r = (struct result){w->key, f->ticket};
    f->result = r;
    f->outcome = outcome;
    if (w->steady) /* before it leaves the table: the next one may begin at once */
        flying[w->key]--;
    flight_land(f);
}

static void lost(void *arg)
{
    struct flight *f = arg;
    struct work *w = f->work;
    exits++;
    w->inside = false;
    if (f->replaced > 0 && w->steady)
        flying[w->key]--; /* it lands in there */
    flight_abandon(f);
}

static void load(struct flight *f)
{
    struct work *w = f->work;
    flight_load_begin(f);
    pthread_cleanup_push(lost, f);
    if (depth < DEPTH_MAX && one_in(3)) {
        depth++;
        fetch((int)(check_random(&seed) % KEYS),
              is_worker || one_in(2) ? SHORT_NS : PATIENT_NS);
        depth--;
    }
    if (one_in(40))
        pthread_exit(NULL);
    pthread_cleanup_pop(0);
    flight_load_end(f);
    loads++;
    w->loaded++;
    land(f, NIGH_FRESH);
}

static void go_on(struct flight *f)
{
    switch (check_random(&seed) % 4) {
    case 0:
        ask(f);
        break;
    case 1:
        f->due_ns = clock_now_ns(env.clock) + check_random(&seed) % SHORT_NS;
        break;
    default:
        if (f->state == FLIGHT_GET)
            flight_enter(f, FLIGHT_LOAD);
        load(f);
    }
}

static void step(void *arg, struct flight *f, uint32_t events)
{
    (void)arg;
    struct work *w = f->work;
    CHECK(!atomic_exchange(&w->inside, true));
    if (f->replaced > 0 && (events & FLIGHT_EV_START))
        taken_over++;
    if (events & FLIGHT_EV_REPLY) {
        w->replied++;
        CHECK_EQ(w->answer, w->asked);
        landed_late += f->state == FLIGHT_LAND;
    }
    if (f->state == FLIGHT_LAND)
        ;
    else if (events & FLIGHT_EV_DEADLINE)
        land(f, NIGH_ETIMEDOUT);
    else if (events & (FLIGHT_EV_START | FLIGHT_EV_REPLY | FLIGHT_EV_TIMER))
        go_on(f);
    w->inside = false;
}

static void free_result(void *arg, struct flight *f)
{
    (void)arg;
    struct work *w = f->work;
    CHECK_EQ(w->replied, w->asked);
    CHECK_LE(w->loaded, 1);
    if (w->steady && f->outcome == NIGH_FRESH)
        CHECK_EQ(w->loaded, 1);
    free(f->result);
    free(w);
    freed++;
}

/* ---- callers ---- */

static void look_at_result(const struct flight *f, int key)
{
    if (f->outcome == NIGH_ELOADER) {
        CHECK_EQ(f->replaced, 2);
        return;
    }
    const struct result *r = f->result;
    CHECK_EQ(r->key, key);
    CHECK_EQ(r->ticket, f->ticket);
    CHECK(f->outcome == NIGH_FRESH || (f->outcome == NIGH_ETIMEDOUT && key >= STEADY_KEYS));
}

static void make_work(struct flight *f, int key)
{
    struct work *w = calloc(1, sizeof(*w));
    REQUIRE(w);
    *w = (struct work){.key = key, .steady = key < STEADY_KEYS};
    f->work = w;
    begun++;
    if (w->steady)
        CHECK_EQ(flying[key]++, 0);
}

static struct flight_join join_of(int key)
{
    uint64_t now_ns = clock_now_ns(env.clock), floor = floors[key];
    return (struct flight_join){
        .key = {.space_id = 1, .hash = 64ull * 16 * (unsigned)key, .data = &names[key], .len = 1},
        .ticket = floor,
        .key_floor_ok = floor,
        .deadline_ns = key < STEADY_KEYS ? CLOCK_NEVER_NS : now_ns + check_random(&seed) % SHORT_NS,
        .waiters_max = one_in(8) ? 2 : 100,
    };
}

static int bring(struct flight *f, int role, uint64_t patience_ns)
{
    uint64_t deadline_ns = clock_now_ns(env.clock) + patience_ns;
    if (role == FLIGHT_FOLLOWER)
        return flight_wait(f, deadline_ns);
    return flight_lead(f, deadline_ns);
}

static int fetch(int key, uint64_t patience_ns)
{
    struct flight_join join = join_of(key);
    struct flight *f;
    int role = flight_join(table, &join, &f);
    if (role == FLIGHT_LEADER)
        make_work(f, key);
    int result = role < 0 ? role : bring(f, role, patience_ns);
    if (result == 0)
        look_at_result(f, key);
    if (role >= 0)
        flight_leave(f);
    if (patience_ns == PATIENT_NS)
        CHECK_NE(result, NIGH_ETIMEDOUT);
    refused += result == NIGH_EDEADLK;
    timeouts += result == NIGH_ETIMEDOUT;
    busy += result == NIGH_EBUSY;
    CHECK(depth > 0 || result != NIGH_EDEADLK);
    return result;
}

static void refresh(int key)
{
    struct flight_join join = join_of(key);
    join.background = true;
    struct flight *f;
    if (flight_join(table, &join, &f) != FLIGHT_LEADER)
        return;
    make_work(f, key);
    flight_hand_over(f);
    flight_leave(f);
}

static void call_once(void)
{
    static const uint64_t patience[] = {0, 1000, 20 * 1000, SHORT_NS, PATIENT_NS, PATIENT_NS};
    int key = (int)(check_random(&seed) % KEYS);
    if (one_in(16))
        refresh(key);
    else
        fetch(key, patience[check_random(&seed) % ARRAY_COUNT(patience)]);
}

/* ---- threads: any of them may be gone after a load, and is then started anew ---- */

struct slot {
    pthread_t thread;
    bool is_worker;
    uint64_t seed;
    _Atomic bool over;
};

static void mark_over(void *arg)
{
    struct slot *slot = arg;
    if (!slot->is_worker)
        callers--;
    slot->over = true;
}

static bool is_drained(void)
{
    return stop && callers == 0 && begun == freed;
}

static void *slot_main(void *arg)
{
    struct slot *slot = arg;
    seed = slot->seed;
    is_worker = slot->is_worker;
    pthread_cleanup_push(mark_over, slot);
    while (is_worker ? !is_drained() : !stop) {
        struct flight *f = is_worker ? list_take_any(&queue) : NULL;
        if (f)
            flight_run(f);
        else if (is_worker)
            sched_yield();
        else
            call_once();
    }
    pthread_cleanup_pop(1);
    return NULL;
}

static void slot_start(struct slot *slot)
{
    slot->over = false;
    if (!slot->is_worker)
        callers++;
    slot->seed = check_random(&seed);
    REQUIRE_EQ(pthread_create(&slot->thread, NULL, slot_main, slot), 0);
}

static void reply(struct flight *f)
{
    struct work *w = f->work;
    w->answer++;
    flight_post(f, FLIGHT_EV_REPLY);
    flight_unref(f);
}

/* The I/O thread and the listener: replies in any order, notices, floors. */
static void *post_main(void *arg)
{
    seed = *(uint64_t *)arg;
    while (!is_drained()) {
        struct flight *f = one_in(4) ? NULL : list_take_any(&requests);
        if (f)
            reply(f);
        struct flight_key key = join_of((int)(check_random(&seed) % KEYS)).key;
        if (one_in(8))
            flight_notify(table, &key, FLIGHT_EV_FILLED);
        if (one_in(64))
            flight_notify_all(table, FLIGHT_EV_INVALIDATED);
        if (one_in(16))
            floors[STEADY_KEYS + check_random(&seed) % (KEYS - STEADY_KEYS)]++;
        sched_yield();
    }
    return NULL;
}

static void *tick_main(void *arg)
{
    (void)arg;
    while (!is_drained()) {
        flight_tick(table);
        sched_yield();
    }
    return NULL;
}

static void start_anew(struct slot slots[], unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (!slots[i].over || (stop && !slots[i].is_worker))
            continue;
        pthread_join(slots[i].thread, NULL);
        slot_start(&slots[i]);
    }
    check_pause();
}

/* Until `end_ms`, and then until all is drained. */
static void watch(struct slot slots[], unsigned count, uint64_t end_ms)
{
    while (check_now_ms() < end_ms)
        start_anew(slots, count);
    stop = true;
    uint64_t give_up_ms = check_now_ms() + 60 * 1000;
    while (!is_drained() && check_now_ms() < give_up_ms)
        start_anew(slots, count);
    REQUIRE(is_drained());
}

TEST(flights)
{
    seed = check_seed();
    REQUIRE_EQ(env_init_real(&env, true), 0);
    struct flight_table_config config = {&env, {give_to_workers, step, free_result, NULL, 0}};
    REQUIRE_EQ(flight_table_create(&config, &table), 0);

    struct slot slots[CALLERS + WORKERS] = {0};
    uint64_t post_seed = check_random(&seed);
    pthread_t poster, ticker;
    REQUIRE_EQ(pthread_create(&poster, NULL, post_main, &post_seed), 0);
    REQUIRE_EQ(pthread_create(&ticker, NULL, tick_main, NULL), 0);
    for (unsigned i = 0; i < ARRAY_COUNT(slots); i++) {
        slots[i].is_worker = i >= CALLERS;
        slot_start(&slots[i]);
    }
    watch(slots, ARRAY_COUNT(slots), check_now_ms() + 1000ull * check_seconds(5));
    for (unsigned i = 0; i < ARRAY_COUNT(slots); i++)
        pthread_join(slots[i].thread, NULL);
    pthread_join(poster, NULL);
    pthread_join(ticker, NULL);

    check_note("%u flights, %u loads, %u exits, %u taken over, %u circles, %u timeouts, %u busy, "
               "%u replies after landing", begun, loads, exits, taken_over, refused, timeouts, busy,
               landed_late);
    CHECK_GT(loads, 0); /* a run in which these did not happen shows nothing */
    CHECK_GT(taken_over, 0);
    CHECK_GT(refused, 0);
    CHECK_GT(timeouts, 0);
    CHECK_GT(landed_late, 0);
    CHECK_EQ(flight_count(table), 0);
    CHECK_EQ(queue.count + requests.count, 0);
    flight_table_destroy(table);
    env_fini(&env);
}
