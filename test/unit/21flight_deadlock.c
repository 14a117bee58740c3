// SPDX-License-Identifier: MIT
// Loaders that fetch: circles are refused at once, everything else waits. Real threads, no sleeps.

#include <semaphore.h>
#include <string.h>

#include "worlds/flight.h"

#define FAR_NS (60 * NS_PER_S) /* a wait that reaches it has hung */
#define KEYS 4

/*
 * The loader of key 'a' + i fetches key wants[i]. Before that it announces itself and waits for its
 * go, so that a test decides who is inside its loader when. What the fetch returned is kept.
 */
struct loader {
    const char *wants; /* "": nothing */
    int result;
    sem_t inside;
    sem_t go;
};

struct story {
    struct world w;
    struct loader loaders[KEYS];
    uint64_t patience_ns; /* of the fetch inside a loader */
};

/* Who is about to sleep for a landing has drawn its edge: this tells a test that it is there. */
static _Atomic(_Atomic uint32_t *) watched;
static _Atomic unsigned parked;
static _Atomic bool muted; /* wakes of the watched word are held back */

static int park_watched(void *arg, _Atomic uint32_t *word, uint32_t expected, uint64_t deadline_ns)
{
    if (word == watched)
        parked++;
    return park_futex.wait(arg, word, expected, deadline_ns);
}

static void wake_unless_muted(void *arg, _Atomic uint32_t *word, int count)
{
    if (word != watched || !muted)
        park_futex.wake(arg, word, count);
}

/* Count those that wait for the flight of `key` from now on. */
static void watch(struct story *s, const char *key)
{
    struct flight *f = world_join(&s->w, key, FLIGHT_FOLLOWER);
    parked = 0;
    watched = &f->landed;
    flight_leave(f);
}

static int fetch(struct world *w, const char *key, uint64_t patience_ns)
{
    struct flight_join join = world_join_of(key);
    struct flight *f;
    int role = flight_join(w->table, &join, &f);
    if (role < 0)
        return role;
    uint64_t deadline_ns = clock_now_ns(w->env->clock) + patience_ns;
    int result = role == FLIGHT_LEADER ? flight_lead(f, deadline_ns) : flight_wait(f, deadline_ns);
    if (result == 0)
        result = f->outcome;
    flight_leave(f);
    return result;
}

static void load(struct world *w, struct flight *f, uint32_t events)
{
    if (!(events & FLIGHT_EV_START))
        return;
    struct story *s = w->arg;
    struct loader *l = &s->loaders[f->key[0] - 'a'];
    flight_load_begin(f);
    sem_post(&l->inside);
    sem_wait(&l->go);
    l->result = *l->wants ? fetch(w, l->wants, s->patience_ns) : NIGH_FRESH;
    flight_load_end(f);
    if (f->state != FLIGHT_LAND)
        world_land(f, l->result < 0 ? NIGH_ELOADER : NIGH_FRESH);
}

static void story_init(struct story *s, const char *wants[KEYS])
{
    world_init_real(&s->w, load);
    s->w.real.park->wait = park_watched;
    s->w.real.park->wake = wake_unless_muted;
    muted = false;
    s->w.arg = s;
    s->patience_ns = FAR_NS;
    for (int i = 0; i < KEYS; i++) {
        s->loaders[i].wants = wants[i] ? wants[i] : "";
        s->loaders[i].result = 1000;
        sem_init(&s->loaders[i].inside, 0, 0);
        sem_init(&s->loaders[i].go, 0, 0);
    }
}

static void story_fini(struct story *s)
{
    world_fini_real(&s->w);
    for (int i = 0; i < KEYS; i++) {
        sem_destroy(&s->loaders[i].inside);
        sem_destroy(&s->loaders[i].go);
    }
}

static struct loader *loader(struct story *s, char key)
{
    return &s->loaders[key - 'a'];
}

struct call {
    struct story *story;
    char key[2];
    int result;
    pthread_t thread;
};

static void *call_thread(void *arg)
{
    struct call *c = arg;
    c->result = fetch(&c->story->w, c->key, FAR_NS);
    return NULL;
}

/* A thread fetches `key` as its leader, and is inside the loader when this returns. */
static void call_begin(struct story *s, struct call *c, char key)
{
    *c = (struct call){.story = s, .key = {key, 0}};
    REQUIRE_EQ(pthread_create(&c->thread, NULL, call_thread, c), 0);
    sem_wait(&loader(s, key)->inside);
}

static int call_end(struct call *c)
{
    pthread_join(c->thread, NULL);
    return c->result;
}

/* ---- circles ---- */

/* caffeine#712, #771, guava#2743: a recursive load hung. */
TEST(loader_of_its_own_key_is_refused)
{
    struct story s;
    story_init(&s, (const char *[KEYS]){"a"});
    sem_post(&loader(&s, 'a')->go);
    CHECK_EQ(fetch(&s.w, "a", FAR_NS), NIGH_ELOADER);
    CHECK_EQ(loader(&s, 'a')->result, NIGH_EDEADLK);
    story_fini(&s);
}

static void fetch_own_key_after_invalidation(struct world *w, struct flight *f, uint32_t events)
{
    (void)events;
    flight_load_begin(f);
    struct flight_join join = world_join_of("a");
    join.ticket = join.key_floor_ok = f->ticket + 1;
    struct flight *again = NULL;
    CHECK_EQ(flight_join(w->table, &join, &again), NIGH_EDEADLK);
    flight_load_end(f);
    world_land(f, NIGH_FRESH);
}

TEST(loader_of_its_own_key_is_refused_also_when_its_flight_was_forgotten)
{
    struct world w;
    world_init(&w, fetch_own_key_after_invalidation);
    struct flight *f = world_join(&w, "a", FLIGHT_LEADER);
    CHECK_EQ(flight_lead(f, WORLD_LATER), 0);
    flight_leave(f);
    world_fini(&w);
}

TEST(circle_on_one_thread_is_refused)
{
    struct story s;
    story_init(&s, (const char *[KEYS]){"b", "c", "a"});
    for (char key = 'a'; key <= 'c'; key++)
        sem_post(&loader(&s, key)->go);
    CHECK_EQ(fetch(&s.w, "a", FAR_NS), NIGH_ELOADER);
    CHECK_EQ(loader(&s, 'c')->result, NIGH_EDEADLK);
    CHECK_EQ(loader(&s, 'b')->result, NIGH_ELOADER);
    story_fini(&s);
}

/* `count` threads, each inside the loader of one key that wants the next one's key. */
static void circle(unsigned count)
{
    static const char *const next[] = {"b", "c", "d", "a"};
    const char *wants[KEYS] = {NULL};
    struct call calls[KEYS];
    struct story s;
    for (unsigned i = 0; i < count; i++)
        wants[i] = i + 1 < count ? next[i] : "a";
    story_init(&s, wants);
    for (unsigned i = 0; i < count; i++)
        call_begin(&s, &calls[i], (char)('a' + i));
    for (unsigned i = 0; i < count; i++) /* all at once: any of them may be the one refused */
        sem_post(&s.loaders[i].go);
    unsigned refused = 0;
    for (unsigned i = 0; i < count; i++) {
        CHECK_EQ(call_end(&calls[i]), NIGH_ELOADER); /* the failure goes round */
        refused += s.loaders[i].result == NIGH_EDEADLK;
    }
    CHECK_EQ(refused, 1);
    story_fini(&s);
}

TEST(circle_of_two_threads_refuses_exactly_one)
{
    for (int i = 0; i < 200; i++)
        circle(2);
}

TEST(circle_of_four_threads_refuses_exactly_one)
{
    for (int i = 0; i < 200; i++)
        circle(4);
}

static void *work(void *arg)
{
    struct world *w = arg;
    while (!world_work(w))
        sched_yield();
    return NULL;
}

/* The loader of b runs on a worker, its leader only waits: the edge is between flights. */
TEST(circle_through_a_worker_is_refused)
{
    struct story s;
    story_init(&s, (const char *[KEYS]){"b", "a"});
    struct flight *b = world_join(&s.w, "b", FLIGHT_LEADER);
    flight_hand_over(b);
    struct call a;
    call_begin(&s, &a, 'a');
    watch(&s, "b");
    sem_post(&loader(&s, 'a')->go);
    CHECK_WITHIN(10000, parked == 1);
    pthread_t worker;
    REQUIRE_EQ(pthread_create(&worker, NULL, work, &s.w), 0);
    sem_post(&loader(&s, 'b')->go);
    CHECK_EQ(call_end(&a), NIGH_ELOADER);
    pthread_join(worker, NULL);
    CHECK_EQ(loader(&s, 'b')->result, NIGH_EDEADLK);
    flight_leave(b);
    story_fini(&s);
}

/* ---- no circle ---- */

TEST(line_of_loaders_is_not_refused)
{
    struct story s;
    struct call a, b, c;
    story_init(&s, (const char *[KEYS]){"b", "c", ""});
    call_begin(&s, &a, 'a');
    call_begin(&s, &b, 'b');
    call_begin(&s, &c, 'c');
    watch(&s, "c");
    sem_post(&loader(&s, 'b')->go);
    CHECK_WITHIN(10000, parked == 1);
    watch(&s, "b");
    sem_post(&loader(&s, 'a')->go);
    CHECK_WITHIN(10000, parked == 1);
    sem_post(&loader(&s, 'c')->go);
    CHECK_EQ(call_end(&a), NIGH_FRESH);
    CHECK_EQ(call_end(&b), NIGH_FRESH);
    CHECK_EQ(call_end(&c), NIGH_FRESH);
    story_fini(&s);
}

TEST(two_loaders_may_wait_for_the_same_key)
{
    struct story s;
    struct call a, b, c;
    story_init(&s, (const char *[KEYS]){"c", "c", ""});
    call_begin(&s, &c, 'c');
    call_begin(&s, &a, 'a');
    call_begin(&s, &b, 'b');
    watch(&s, "c");
    sem_post(&loader(&s, 'a')->go);
    sem_post(&loader(&s, 'b')->go);
    CHECK_WITHIN(10000, parked == 2);
    sem_post(&loader(&s, 'c')->go);
    CHECK_EQ(call_end(&a) | call_end(&b) | call_end(&c), NIGH_FRESH);
    story_fini(&s);
}

/* b led by a loader of a, and fetched by a bystander: no circle, whoever asks first. */
TEST(caller_outside_loaders_is_never_refused)
{
    struct story s;
    story_init(&s, (const char *[KEYS]){"b", ""});
    struct call a;
    call_begin(&s, &a, 'a');
    sem_post(&loader(&s, 'a')->go);
    sem_wait(&loader(&s, 'b')->inside); /* on the thread of a */
    struct flight *f = world_join(&s.w, "a", FLIGHT_FOLLOWER);
    CHECK_EQ(flight_wait(f, clock_now_ns(s.w.env->clock)), NIGH_ETIMEDOUT);
    sem_post(&loader(&s, 'b')->go);
    CHECK_EQ(flight_wait(f, CLOCK_NEVER_NS), 0);
    flight_leave(f);
    CHECK_EQ(call_end(&a), NIGH_FRESH);
    story_fini(&s);
}

TEST(wait_that_timed_out_leaves_no_edge)
{
    struct story s;
    struct call b;
    story_init(&s, (const char *[KEYS]){NULL, "a"});
    call_begin(&s, &b, 'b');
    struct flight *a = world_join(&s.w, "a", FLIGHT_LEADER);
    watch(&s, "a");
    flight_load_begin(a);
    CHECK_EQ(fetch(&s.w, "b", 1), NIGH_ETIMEDOUT);
    sem_post(&loader(&s, 'b')->go);
    CHECK_WITHIN(10000, parked == 1);
    flight_load_end(a);
    world_land(a, NIGH_FRESH);
    flight_leave(a);
    CHECK_EQ(call_end(&b), NIGH_FRESH);
    story_fini(&s);
}

/* The leader of b has not begun to load: that a waits for it keeps nothing from anything. */
TEST(flight_that_is_not_loading_yet_has_no_edge)
{
    struct story s;
    story_init(&s, (const char *[KEYS]){"b", "c", ""});
    struct call a, c;
    struct flight *b = world_join(&s.w, "b", FLIGHT_LEADER);
    call_begin(&s, &a, 'a');
    watch(&s, "b");
    sem_post(&loader(&s, 'a')->go);
    CHECK_WITHIN(10000, parked == 1);
    struct flight *fa = world_join(&s.w, "a", FLIGHT_FOLLOWER);
    CHECK_EQ(flight_wait(fa, clock_now_ns(s.w.env->clock)), NIGH_ETIMEDOUT); /* b's leader may */
    call_begin(&s, &c, 'c');
    sem_post(&loader(&s, 'c')->go);
    sem_post(&loader(&s, 'c')->go); /* should it have landed before b wants it */
    sem_post(&loader(&s, 'b')->go);
    CHECK_EQ(flight_lead(b, CLOCK_NEVER_NS), 0);
    CHECK_EQ(flight_wait(fa, CLOCK_NEVER_NS), 0);
    CHECK_EQ(fa->outcome, NIGH_FRESH);
    flight_leave(b);
    flight_leave(fa);
    CHECK_EQ(call_end(&a) | call_end(&c), NIGH_FRESH);
    story_fini(&s);
}

/* The deadline landed a while a worker (here: this thread) still loads for it. That loader then
 * wants b, whose loader had been waiting for a and has just not woken yet. */
TEST(loader_that_overran_may_wait_for_those_that_waited_for_it)
{
    struct story s;
    story_init(&s, (const char *[KEYS]){NULL, "a"});
    struct flight *a = world_join(&s.w, "a", FLIGHT_LEADER);
    struct call b;
    call_begin(&s, &b, 'b');
    struct flight *fb = world_join(&s.w, "b", FLIGHT_FOLLOWER);
    watch(&s, "a");
    flight_load_begin(a);
    sem_post(&loader(&s, 'b')->go);
    CHECK_WITHIN(10000, parked == 1);
    CHECK_EQ(flight_wait(fb, CLOCK_NEVER_NS), NIGH_EDEADLK);
    muted = true;
    a->outcome = NIGH_ETIMEDOUT;
    flight_land(a);
    CHECK_EQ(flight_wait(fb, 0), NIGH_ETIMEDOUT); /* waited, was not refused */
    muted = false;
    park_wake(s.w.env->park, &a->landed, PARK_ALL);
    CHECK_EQ(flight_wait(fb, CLOCK_NEVER_NS), 0);
    CHECK_EQ(fb->outcome, NIGH_ELOADER);
    flight_load_end(a);
    flight_leave(fb);
    flight_leave(a);
    CHECK_EQ(call_end(&b), NIGH_ELOADER);
    story_fini(&s);
}
