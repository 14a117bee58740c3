// SPDX-License-Identifier: MIT
// Two nodes, one Redis, an origin whose truth the test knows: no read answered FRESH may be older
// than what had been accepted a trust time before it began, and no node may serve below what it
// applied itself.
//
// How a read is judged without a lock. Per key the history holds, for each version v, when the
// invalidation that ended v - 1 was accepted (its call returned 0, so acceptance was earlier: the
// judgement is lenient by the call's own time, never strict). A read that began at t and was
// answered FRESH with version v is late by t - accepted(v + 1). It must not be later than trust
// (t by the clock that hits read: however late that one is, they hold to it).
//
// A writer commits first (the origin's version goes up), then invalidates by key or by tag, each
// key by one writer only, so that versions are dense. After its own call returned, whatever it
// answered, no read on that node that begins later may be FRESH and below it.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/origin.h"
#include "support/relay.h"

enum {
    KEYS = 48,
    KEYS_MAX = 64, /* for cases that do not count loads */
    WRITERS_MAX = 32,
    READERS_MAX = 24, /* per node */
    VERSIONS_MAX = 200000,
    SLACK_MS = 5, /* of rounding: hits read the coarse clock, and so does who judges them */
    VALUE_BYTES = 200,
};

/* Keys: (w) its writer  (a) atomic */
struct row {
    _Atomic uint64_t version;                 /* (a) committed */
    _Atomic uint64_t applied[2];              /* (a) by a call on that node that has returned */
    _Atomic uint32_t *accepted_ms;            /* (a) by version: when, 0: not yet known */
    _Atomic unsigned loads;                   /* (a) */
};

/* The cases differ in this. */
struct plan {
    uint32_t trust_ms;
    uint32_t l2_deadline_ms;
    uint32_t lease_ms;
    unsigned keys;
    unsigned writers;      /* 0: 2; each has so many keys of its own */
    unsigned readers;      /* per node */
    uint32_t load_ms_max;  /* half of the loads take up to so long, the others less; 0: no time */
    uint32_t write_ms_max; /* writers rest up to so long between two writes; 0: now and then 1 ms */
    bool redis_fails;      /* then calls may be queued and loads may repeat */
    bool relayed;          /* node 0 is behind a relay */
};

struct torture {
    struct plan plan;
    struct redis server;
    struct relay relay;
    struct world nodes[2];
    struct row rows[KEYS_MAX];
    uint64_t start_ms;
    _Atomic bool stop;
    _Atomic uint64_t reads, fresh, stale, errors, writes, queued, latest_ms;
};

static struct torture t;

static uint32_t since_start(uint64_t ms)
{
    return (uint32_t)(ms > t.start_ms ? ms - t.start_ms : 0) + 1; /* never 0 */
}

static void rest(uint64_t ms)
{
    uint64_t end_ms = check_now_ms() + ms;
    while (check_now_ms() < end_ms && !atomic_load(&t.stop))
        check_pause();
}

/* ---- origin ---- */

struct payload {
    uint64_t version;
    uint32_t key;
    char fill[VALUE_BYTES];
};

static int load_row(struct origin *o, struct nigh_fill *fill)
{
    (void)o;
    size_t len;
    char name[16], tag[16];
    const char *key = nigh_fill_key(fill, &len);
    struct payload p = {0};
    snprintf(name, sizeof(name), "%.*s", (int)len, key);
    p.key = (uint32_t)atoi(name);
    struct row *row = &t.rows[p.key];
    p.version = atomic_load(&row->version);
    memset(p.fill, (int)(p.version + p.key), sizeof(p.fill));
    unsigned turn = atomic_fetch_add(&row->loads, 1);
    if (t.plan.load_ms_max) { /* the row is read, and gets old on its way */
        uint64_t random = check_seed() + p.key + 7919ull * turn;
        uint32_t max_ms = t.plan.load_ms_max / (check_random(&random) % 2 ? 1 : 20);
        rest(check_random(&random) % max_ms);
    }
    snprintf(tag, sizeof(tag), "tag%u", p.key);
    CHECK_EQ(nigh_fill_add_tag(fill, tag), 0);
    if (p.key % 3 == 0) /* some have versions, most have none */
        CHECK_EQ(nigh_fill_set_version(fill, p.version), 0);
    return nigh_fill_value(fill, &p, sizeof(p));
}

/* ---- writers ---- */

static int invalidate(struct world *w, unsigned k, bool by_tag)
{
    char name[16];
    int len = snprintf(name, sizeof(name), by_tag ? "tag%u" : "%u", k);
    struct nigh_target target = {
        .kind = by_tag ? NIGH_TARGET_TAG : NIGH_TARGET_KEY,
        .space = w->space,
        .name = name,
        .name_len = (size_t)len,
    };
    return nigh_invalidate_many(w->cache, &target, 1, NULL);
}

static void *run_writer(void *arg)
{
    unsigned id = (unsigned)(uintptr_t)arg;
    uint64_t random = check_seed() + id;
    while (!atomic_load(&t.stop)) {
        unsigned writers = t.plan.writers;
        unsigned k = (unsigned)(check_random(&random) % (t.plan.keys / writers)) * writers + id;
        unsigned node = check_random(&random) % 2;
        struct row *row = &t.rows[k];
        uint64_t v = atomic_load(&row->version) + 1;
        if (v >= VERSIONS_MAX)
            break;
        atomic_store(&row->version, v);
        int rc = invalidate(&t.nodes[node], k, check_random(&random) % 3 == 0);
        CHECK(rc == 0 || rc == NIGH_QUEUED);
        if (rc == 0)
            atomic_store(&row->accepted_ms[v], since_start(check_now_ms()));
        else
            atomic_fetch_add(&t.queued, 1);
        if (!CHECK(rc == 0 || t.plan.redis_fails))
            check_note("invalidation queued though Redis was there all the time");
        atomic_store(&row->applied[node], v);
        atomic_fetch_add(&t.writes, 1);
        if (t.plan.write_ms_max)
            rest(check_random(&random) % t.plan.write_ms_max);
        else if (check_random(&random) % 4 == 0)
            check_pause();
    }
    return NULL;
}

/* ---- readers ---- */

static void judge(unsigned node, unsigned k, const struct payload *p, size_t len,
                  uint64_t applied, uint32_t began_ms)
{
    struct row *row = &t.rows[k];
    CHECK_EQ(len, sizeof(*p));
    CHECK_EQ(p->key, k);
    for (unsigned i = 0; i < VALUE_BYTES; i += 40)
        CHECK_EQ((uint8_t)p->fill[i], (uint8_t)(p->version + k));
    CHECK_LE(p->version, atomic_load(&row->version));
    if (!CHECK_GE(p->version, applied))
        check_note("node %u served key %u below what it had applied itself", node, k);
    uint64_t last = atomic_load(&row->version);
    for (uint64_t v = p->version + 1; v <= last; v++) {
        uint32_t accepted = atomic_load(&row->accepted_ms[v]);
        if (accepted == 0 || accepted >= began_ms)
            continue;
        uint64_t late = began_ms - accepted;
        uint64_t latest = atomic_load(&t.latest_ms);
        while (late > latest && !atomic_compare_exchange_weak(&t.latest_ms, &latest, late))
            continue;
        if (!CHECK_LE(late, t.plan.trust_ms + SLACK_MS))
            check_note("node %u key %u version %llu, %llu accepted %llu ms before", node, k,
                       (unsigned long long)p->version, (unsigned long long)v,
                       (unsigned long long)late);
        break;
    }
}

static void read_once(unsigned node, uint64_t *random)
{
    unsigned k = (unsigned)(check_random(random) % t.plan.keys);
    struct world *w = &t.nodes[node];
    struct nigh_value v = NIGH_VALUE_INIT;
    char name[16];
    int len = snprintf(name, sizeof(name), "%u", k);
    bool get = check_random(random) % 4 == 0;
    uint64_t applied = atomic_load(&t.rows[k].applied[node]);
    uint32_t began_ms = since_start(check_coarse_ms());
    int rc = (get ? nigh_get : nigh_fetch)(w->space, name, (size_t)len, NULL, &v);
    atomic_fetch_add(&t.reads, 1);
    if (rc == NIGH_FRESH) {
        atomic_fetch_add(&t.fresh, 1);
        struct payload p = {0};
        memcpy(&p, v.data, v.len < sizeof(p) ? v.len : sizeof(p));
        judge(node, k, &p, v.len, applied, began_ms);
    } else if (rc == NIGH_STALE) {
        atomic_fetch_add(&t.stale, 1);
    } else if (rc < 0) {
        atomic_fetch_add(&t.errors, 1);
        if (!CHECK(get && t.plan.redis_fails)) /* the origin never fails */
            check_note("%s: %s", get ? "get" : "fetch", nigh_result_name(rc));
    } else {
        CHECK(get && rc == NIGH_MISS);
    }
    nigh_release(&v);
}

static void *run_reader(void *arg)
{
    unsigned id = (unsigned)(uintptr_t)arg;
    uint64_t random = check_seed() + 1000 + id;
    while (!atomic_load(&t.stop))
        read_once(id % 2, &random);
    return NULL;
}

/* ---- cases ---- */

static void set_up(const struct plan *plan)
{
    struct nigh_options o;
    t.plan = *plan;
    t.plan.writers = plan->writers ? plan->writers : 2;
    memset(&t.rows, 0, sizeof(t.rows));
    t.reads = t.fresh = t.stale = t.errors = t.writes = t.queued = t.latest_ms = 0;
    t.stop = false;
    t.start_ms = check_now_ms();
    for (unsigned i = 0; i < KEYS_MAX; i++) {
        t.rows[i].version = 1;
        REQUIRE(t.rows[i].accepted_ms = calloc(VERSIONS_MAX, sizeof(uint32_t)));
    }
    redis_start(&t.server, NULL);
    if (plan->relayed)
        relay_open(&t.relay, &t.server);
    o = node_options(&t.server);
    o.trust_ms = plan->trust_ms;
    o.beat_ms = plan->trust_ms / 5;
    o.group_slots = 65536; /* where none of our tags collide: a collision ends a generation, too */
    /* Else well below the load deadline: a lease whose fill a stopped Redis has lost must run out
     * before those who wait for it do. */
    o.lease_ms = plan->lease_ms ? plan->lease_ms : 1000;
    o.space.load_deadline_ms = 2 * plan->lease_ms; /* of which a lease takes half at most */
    o.l2_deadline_ms = plan->l2_deadline_ms;
    for (int i = 0; i < 2; i++) {
        o.redis_uri = plan->relayed && i == 0 ? t.relay.uri : t.server.uri;
        origin_init(&t.nodes[i].origin);
        t.nodes[i].origin.script = load_row;
        world_open_with(&t.nodes[i], &o, NULL, &t.nodes[i].origin);
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(t.nodes[i].cache) == NIGH_FRESH &&
                                            world_count(&t.nodes[i], "listening") == 1);
    }
}

static void tear_down(void)
{
    check_note("%llu reads: %llu fresh, %llu stale, %llu errors; %llu writes, %llu queued; "
               "latest %llu ms",
               (unsigned long long)t.reads, (unsigned long long)t.fresh,
               (unsigned long long)t.stale, (unsigned long long)t.errors,
               (unsigned long long)t.writes, (unsigned long long)t.queued,
               (unsigned long long)t.latest_ms);
    for (int i = 0; i < 2; i++)
        world_close(&t.nodes[i]);
    if (t.plan.relayed)
        relay_close(&t.relay);
    redis_stop(&t.server);
    for (unsigned i = 0; i < KEYS_MAX; i++)
        free(t.rows[i].accepted_ms);
}

static void run(void (*meanwhile)(uint64_t end_ms))
{
    pthread_t threads[WRITERS_MAX + 2 * READERS_MAX];
    unsigned count = 0;
    for (unsigned i = 0; i < t.plan.writers; i++)
        REQUIRE_EQ(pthread_create(&threads[count++], NULL, run_writer, (void *)(uintptr_t)i), 0);
    for (unsigned i = 0; i < 2 * t.plan.readers; i++)
        REQUIRE_EQ(pthread_create(&threads[count++], NULL, run_reader, (void *)(uintptr_t)i), 0);
    uint64_t end_ms = check_now_ms() + 1000ull * check_seconds(5);
    meanwhile(end_ms);
    while (check_now_ms() < end_ms)
        check_pause();
    atomic_store(&t.stop, true);
    while (count > 0)
        REQUIRE_EQ(pthread_join(threads[--count], NULL), 0);
}

/* Once everything has been told and nobody writes, both nodes must come to the truth. */
static void converge(void)
{
    for (int i = 0; i < 2; i++)
        CHECK_EQ(nigh_drain(t.nodes[i].cache, WORLD_PATIENCE_MS), 0);
    CHECK_WITHIN(WORLD_PATIENCE_MS, world_count(&t.nodes[0], "sequence") ==
                                        world_count(&t.nodes[1], "sequence"));
    for (unsigned k = 0; k < t.plan.keys; k++) {
        for (int i = 0; i < 2; i++) {
            char name[16];
            struct nigh_value v;
            int rc, len = snprintf(name, sizeof(name), "%u", k);
            uint64_t end_ms = check_now_ms() + WORLD_PATIENCE_MS;
            do {
                rc = nigh_fetch(t.nodes[i].space, name, (size_t)len, NULL, &v);
                if (rc == NIGH_STALE) {
                    nigh_release(&v);
                    check_pause();
                }
            } while (rc == NIGH_STALE && check_now_ms() < end_ms);
            if (CHECK_EQ(rc, NIGH_FRESH)) {
                struct payload p;
                REQUIRE(v.len == sizeof(p));
                memcpy(&p, v.data, sizeof(p));
                CHECK_EQ(p.version, t.rows[k].version);
                nigh_release(&v);
            }
        }
    }
}

/* Else the machine has kept beats from being answered for longer than trust lasts, and what is
 * called stale then is loaded once more. */
static bool trusted_throughout(void)
{
    int64_t lost = world_count(&t.nodes[0], "trust_lost") + world_count(&t.nodes[1], "trust_lost");
    if (lost > 0)
        check_note("trust was lost %lld times: a busy machine", (long long)lost);
    return lost == 0;
}

/* One load per key and generation; a generation ends with an invalidation. A load that was voided
 * while it ran is the generation's before, so the sum is bounded by the versions. */
static void check_loads(void)
{
    CHECK_GT(t.fresh, t.stale);
    for (unsigned k = 0; k < KEYS; k++)
        if (!CHECK_LE(t.rows[k].loads, t.rows[k].version))
            check_note("key %u", k);
}

static void nothing(uint64_t end_ms)
{
    (void)end_ms;
}

TEST(with_redis_there_all_the_time)
{
    set_up(&(struct plan){
        .trust_ms = 1000,
        .l2_deadline_ms = WORLD_PATIENCE_MS, /* a slow machine is no lost Redis ... */
        .lease_ms = WORLD_PATIENCE_MS,       /* ... nor a lost loader */
        .keys = KEYS,
        .readers = 3,
    });
    run(nothing);
    CHECK_EQ(t.queued, 0);
    CHECK_EQ(t.errors, 0);
    CHECK_GT(t.fresh, 0);
    if (trusted_throughout())
        check_loads();
    converge();
    tear_down();
}

/* More than are sent one by one: most of their changes travel together. */
TEST(with_many_writers)
{
    set_up(&(struct plan){
        .trust_ms = 1000,
        .l2_deadline_ms = WORLD_PATIENCE_MS,
        .lease_ms = WORLD_PATIENCE_MS,
        .keys = KEYS_MAX,
        .writers = WRITERS_MAX,
        .readers = 3,
    });
    run(nothing);
    CHECK_EQ(t.queued, 0);
    CHECK_EQ(t.errors, 0);
    CHECK_GT(world_count(&t.nodes[0], "invalidate_combined"), 0);
    CHECK_GT(world_count(&t.nodes[1], "invalidate_combined"), 0);
    converge();
    tear_down();
}

static void kill_now_and_then(uint64_t end_ms)
{
    uint64_t random = check_seed() + 77;
    while (check_now_ms() < end_ms) {
        uint64_t until_ms = check_now_ms() + 200 + check_random(&random) % 800;
        while (check_now_ms() < until_ms)
            check_pause();
        bool save = check_random(&random) % 2;
        if (save)
            redis_save(&t.server); /* comes back with what it had a while ago */
        until_ms = check_now_ms() + check_random(&random) % 300;
        while (check_now_ms() < until_ms)
            check_pause();
        redis_kill(&t.server);
        until_ms = check_now_ms() + check_random(&random) % 700;
        while (check_now_ms() < until_ms)
            check_pause();
        redis_restart(&t.server, save ? REDIS_SAVED : REDIS_EMPTY);
    }
}

TEST(with_redis_killed_and_restarted)
{
    set_up(&(struct plan){.trust_ms = 1000, .keys = KEYS, .readers = 3,
                          .redis_fails = true});
    run(kill_now_and_then);
    CHECK_GT(t.fresh, 0);
    for (int i = 0; i < 2; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(t.nodes[i].cache) == NIGH_FRESH);
    converge();
    tear_down();
}

static void stop_now_and_then(uint64_t end_ms)
{
    uint64_t random = check_seed() + 78;
    while (check_now_ms() < end_ms) {
        uint64_t until_ms = check_now_ms() + 100 + check_random(&random) % 900;
        while (check_now_ms() < until_ms)
            check_pause();
        redis_pause(&t.server);
        until_ms = check_now_ms() + check_random(&random) % ((2 * t.plan.trust_ms));
        while (check_now_ms() < until_ms)
            check_pause();
        redis_resume(&t.server);
    }
}

TEST(with_redis_stopped_now_and_then)
{
    set_up(&(struct plan){.trust_ms = 1000, .keys = KEYS, .readers = 3,
                          .redis_fails = true});
    run(stop_now_and_then);
    CHECK_GT(t.fresh, 0);
    for (int i = 0; i < 2; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(t.nodes[i].cache) == NIGH_FRESH);
    converge();
    tear_down();
}

TEST(with_many_writers_and_redis_stopped_now_and_then)
{
    set_up(&(struct plan){.trust_ms = 1000, .keys = KEYS_MAX, .writers = WRITERS_MAX,
                          .readers = 3, .redis_fails = true});
    run(stop_now_and_then);
    CHECK_GT(world_count(&t.nodes[0], "invalidate_combined"), 0);
    for (int i = 0; i < 2; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(t.nodes[i].cache) == NIGH_FRESH);
    converge();
    tear_down();
}

static void cut_off_now_and_then(uint64_t end_ms)
{
    uint64_t random = check_seed() + 79;
    while (check_now_ms() < end_ms) {
        rest(check_random(&random) % (2 * t.plan.trust_ms));
        relay_stop(&t.relay);
        rest(check_random(&random) % (8 * t.plan.trust_ms));
        if (check_random(&random) % 4 == 0)
            relay_cut(&t.relay);
        relay_go(&t.relay);
    }
}

/* Redis hears the other node all the while, so what that one changes is accepted; loads take longer
 * than trust, so that calls join loads that began in another state of knowledge; few keys, so that
 * they do. */
TEST(with_one_node_cut_off_now_and_then_and_loads_slower_than_trust)
{
    set_up(&(struct plan){
        .trust_ms = 200,
        .keys = 8,
        .readers = READERS_MAX,
        .load_ms_max = 1500,
        .write_ms_max = 200,
        .redis_fails = true,
        .relayed = true,
    });
    run(cut_off_now_and_then);
    relay_go(&t.relay);
    CHECK_GT(t.fresh, 0);
    for (int i = 0; i < 2; i++)
        CHECK_WITHIN(WORLD_PATIENCE_MS, nigh_health(t.nodes[i].cache) == NIGH_FRESH);
    converge();
    tear_down();
}
