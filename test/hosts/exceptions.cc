// SPDX-License-Identifier: MIT
/*
 * A host in C++ whose loaders and writers throw: on the threads that call, on nigh's workers,
 * behind a stale read, inside one another, one by one and all at once, with and without Redis.
 *
 * An exception goes on to who called, if it is on the caller's thread, and ends at the worker if
 * not; either way the load has failed for who waits, and nothing stays behind: no lease, no flight,
 * no lock on the key.
 */
#include <atomic>
#include <exception>
#include <random>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include <string.h>

#include <nigh/nigh.h>

extern "C" {
#include "support/check.h"
#include "support/redis.h"
}

namespace {

const int PATIENCE_MS = 20000; /* of a condition that must come */
const uint32_t SOON_MS = 5000; /* below the load deadline, which is what nobody is to wait for */
const uint32_t LOAD_MS = 60000;
const uint32_t CLOSE_MS = 2000; /* of a load that a close waits for: it has to begin within it */

/* What a loader that throws holds: it must be destroyed. */
struct Guard {
    static std::atomic<int> alive;
    Guard() { alive++; }
    ~Guard() { alive--; }
};
std::atomic<int> Guard::alive;

/* The database: it is away now and then. */
struct Database {
    std::atomic<int> loads{0};
    std::atomic<int> throws{0};        /* so many loads throw; -1: all */
    std::atomic<unsigned> one_in{0};   /* or one in so many, loads and writes */
    std::atomic<bool> held{false};
    std::atomic<bool> running{false};
    std::atomic<int> uncaught{0};      /* seen at the beginning of a load */
    bool defers = false;               /* loads that do not throw are answered through `fill` */
    std::atomic<struct nigh_fill *> fill{nullptr};
    struct nigh_space *inner = nullptr; /* the space whose loader this one asks */

    bool fails()
    {
        static thread_local std::minstd_rand chance(
            (unsigned)(check_seed() + std::hash<std::thread::id>()(std::this_thread::get_id())));
        unsigned n = one_in;
        int left = throws;
        while (left > 0 && !throws.compare_exchange_weak(left, left - 1))
            continue;
        return left != 0 || (n && chance() % n == 0);
    }
};

int load(void *arg, struct nigh_fill *const fills[], size_t)
{
    Database *db = static_cast<Database *>(arg);
    Guard guard;
    std::vector<std::string> rows(3, std::string(100, 'r')); /* memory that must be freed */
    db->loads++;
    db->uncaught += std::uncaught_exceptions();
    db->running = true;
    while (db->held)
        check_pause();
    struct nigh_fill *fill = nullptr;
    if (db->defers)
        CHECK_EQ(nigh_fill_defer(fills[0], &fill), 0);
    db->fill = fill;
    if (db->fails())
        throw std::runtime_error("the database is away");
    return db->defers ? 0 : nigh_fill_value(fills[0], "v", 1);
}

int write(void *arg, const struct nigh_write_op *)
{
    Database *db = static_cast<Database *>(arg);
    Guard guard;
    if (db->fails())
        throw std::runtime_error("constraint violated");
    return 0;
}

const int THROWN = 1000; /* beside what calls return */

int fetch(struct nigh_space *space, const std::string &key, uint32_t flags = 0)
{
    struct nigh_value value = NIGH_VALUE_INIT;
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = flags;
    try {
        int rc = nigh_fetch(space, key.data(), key.size(), &call, &value);
        if (rc >= 0)
            nigh_release(&value);
        return rc;
    } catch (std::runtime_error &) {
        return THROWN;
    }
}

int change(struct nigh_space *space, const std::string &key)
{
    try {
        return nigh_write(space, key.data(), key.size(), "new", 3, nullptr);
    } catch (std::runtime_error &) {
        return THROWN;
    }
}

/* A loader that asks for another key, whose loader may throw; and for its own, which is refused. */
int load_both(void *arg, struct nigh_fill *const fills[], size_t n)
{
    Database *db = static_cast<Database *>(arg);
    int rc = fetch(db->inner, "inner");
    if (rc == THROWN)
        return nigh_fill_value(fills[0], "without", 7);
    return rc < 0 ? nigh_fill_error(fills[0], rc) : load(arg, fills, n);
}

struct Node {
    struct nigh *cache = nullptr;
    struct nigh_space *space = nullptr;
    Database db;

    explicit Node(const char *uri, enum nigh_run_on run_on = NIGH_RUN_CALLER,
                  uint32_t soft_ttl_ms = 3600 * 1000)
    {
        struct nigh_options o = NIGH_OPTIONS_INIT;
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        o.l1_memory = 8u << 20;
        o.redis_uri = uri;
        o.lease_ms = 30000; /* one that is not given back would be noticed */
        o.l2_deadline_ms = SOON_MS;
        o.trust_ms = PATIENCE_MS;
        so.run_on = run_on;
        so.load_deadline_ms = LOAD_MS;
        so.error_ttl_ms = NIGH_NONE;
        so.soft_ttl_ms = soft_ttl_ms;
        so.jitter_percent = NIGH_NONE;
        REQUIRE_EQ(nigh_open(&o, &cache), 0);
        REQUIRE_EQ(nigh_space_open(cache, "s", &so, load, write, &db, &space), 0);
        REQUIRE(CHECK_WITHIN(PATIENCE_MS, nigh_health(cache) == NIGH_FRESH));
    }
    ~Node()
    {
        nigh_close(cache);
        CHECK_EQ(Guard::alive, 0);
    }
    int64_t count(const char *name) { return nigh_stats_value(cache, nullptr, name); }
};

struct Redis {
    struct redis server;
    Redis() { redis_start(&server, nullptr); }
    ~Redis() { redis_stop(&server); }
};

/* Runs it with no Redis, and with one. */
template <typename Case> void in_both(Case run)
{
    Redis redis;
    run(nullptr);
    run(redis.server.uri);
}

} // namespace

TEST(an_exception_goes_on_to_who_loads_and_fails_who_waits)
{
    in_both([](const char *uri) {
        Node node(uri);
        int waiting = 0, loading = 0;
        uint64_t began = check_now_ms();
        node.db.held = true;
        node.db.throws = 1;
        std::thread loader([&] { loading = fetch(node.space, "k"); });
        CHECK_WITHIN(PATIENCE_MS, node.db.running);
        std::thread waiter([&] { waiting = fetch(node.space, "k"); });
        CHECK_WITHIN(PATIENCE_MS, node.count("flight_joined") == 1);
        node.db.held = false;
        loader.join();
        waiter.join();
        CHECK_EQ(loading, THROWN);
        CHECK_EQ(waiting, NIGH_ELOADER);
        CHECK_EQ(node.count("load_failed"), 1);
        CHECK_EQ(fetch(node.space, "k"), NIGH_FRESH);
        CHECK_EQ(node.count("flights"), 0);
        CHECK_LT(check_now_ms() - began, LOAD_MS);
    });
}

TEST(a_thread_whose_loader_threw_loads_again)
{
    in_both([](const char *uri) {
        Node node(uri);
        for (int i = 0; i < 10; i++) {
            node.db.throws = 1;
            CHECK_EQ(fetch(node.space, "k" + std::to_string(i)), THROWN);
            CHECK_EQ(fetch(node.space, "k" + std::to_string(i)), NIGH_FRESH);
        }
        CHECK_EQ(node.db.loads, 20);
    });
}

TEST(an_exception_on_a_worker_is_a_failed_load)
{
    in_both([](const char *uri) {
        Node node(uri, NIGH_RUN_WORKER);
        for (int i = 0; i < 20; i++) { /* more than there are workers */
            node.db.throws = 1;
            CHECK_EQ(fetch(node.space, "k" + std::to_string(i)), NIGH_ELOADER);
            CHECK_EQ(nigh_load_error(), 0);
            CHECK_EQ(fetch(node.space, "k" + std::to_string(i)), NIGH_FRESH);
        }
        CHECK_EQ(node.count("load_failed"), 20);
        CHECK_EQ(node.db.uncaught, 0);
    });
}

TEST(an_exception_behind_a_stale_read_keeps_the_stale_value)
{
    in_both([](const char *uri) {
        Node node(uri, NIGH_RUN_CALLER, 20);
        CHECK_EQ(fetch(node.space, "k"), NIGH_FRESH);
        node.db.throws = 3;
        CHECK_WITHIN(PATIENCE_MS, fetch(node.space, "k") >= 0 && node.db.throws == 0);
        CHECK_WITHIN(PATIENCE_MS, fetch(node.space, "k") == NIGH_FRESH);
        CHECK_EQ(node.count("load_failed"), 3);
    });
}

TEST(an_exception_takes_back_what_the_loader_has_deferred)
{
    in_both([](const char *uri) {
        for (enum nigh_run_on run_on : {NIGH_RUN_CALLER, NIGH_RUN_WORKER}) {
            Node node(uri, run_on);
            std::string key = run_on == NIGH_RUN_CALLER ? "caller" : "worker";
            node.db.defers = true;
            node.db.throws = 1;
            CHECK_EQ(fetch(node.space, key), run_on == NIGH_RUN_CALLER ? THROWN : (int)NIGH_ELOADER);
            struct nigh_fill *thrown = node.db.fill;
            CHECK_EQ(nigh_fill_value(thrown, "late", 4), NIGH_EINVAL);
            int rc = 0;
            std::thread loader([&] { rc = fetch(node.space, key); });
            CHECK_WITHIN(PATIENCE_MS, node.count("load_deferred") == 1);
            CHECK_EQ(nigh_fill_value(thrown, "late", 4), NIGH_EINVAL);
            CHECK_EQ(nigh_fill_value(node.db.fill, "v", 1), 0);
            loader.join();
            CHECK_EQ(rc, NIGH_FRESH);
            CHECK_EQ(node.count("deferred"), 0);
        }
    });
}

TEST(a_loader_may_catch_what_the_loader_it_asked_has_thrown)
{
    in_both([](const char *uri) {
        Node node(uri);
        struct nigh_space *outer;
        node.db.inner = node.space;
        REQUIRE_EQ(nigh_space_open(node.cache, "outer", nullptr, load_both, nullptr, &node.db,
                                   &outer), 0);
        node.db.throws = 1; /* the inner one */
        CHECK_EQ(fetch(outer, "a"), NIGH_FRESH);
        CHECK_EQ(fetch(node.space, "inner"), NIGH_FRESH);
        node.db.throws = 1; /* now the outer one */
        CHECK_EQ(fetch(outer, "b"), THROWN);
        CHECK_EQ(node.count("flights"), 0);
    });
}

TEST(a_writer_that_throws_may_have_committed)
{
    in_both([](const char *uri) {
        Node node(uri);
        for (int i = 0; i < 3; i++) {
            CHECK_EQ(fetch(node.space, "k"), NIGH_FRESH);
            int loads = node.db.loads;
            node.db.throws = 1;
            CHECK_EQ(change(node.space, "k"), THROWN);
            CHECK_EQ(fetch(node.space, "k"), NIGH_FRESH); /* at once: the key is not locked */
            CHECK_EQ(node.db.loads, loads + 1);           /* but not believed any more */
            CHECK_EQ(nigh_invalidate(node.space, "k", 1, nullptr), 0);
            CHECK_EQ(change(node.space, "k"), 0);
        }
    });
}

TEST(another_node_loads_at_once_after_an_exception)
{
    Redis redis;
    Node a(redis.server.uri), b(redis.server.uri);
    for (int i = 0; i < 20; i++) {
        std::string key = "k" + std::to_string(i);
        uint64_t began = check_now_ms();
        a.db.throws = 1;
        CHECK_EQ(fetch(a.space, key), THROWN);
        CHECK_EQ(fetch(b.space, key), NIGH_FRESH);
        int loads = b.db.loads;
        a.db.throws = 1;
        CHECK_EQ(change(a.space, key), THROWN);
        /* What it had is not believed any more. */
        CHECK_WITHIN(PATIENCE_MS, fetch(b.space, key) == NIGH_FRESH && b.db.loads > loads);
        CHECK_LT(check_now_ms() - began, 30000); /* of the lease */
    }
}

/* ---- after the close, in the log, without threads ---- */

TEST(an_exception_after_the_close_ends_quietly)
{
    for (enum nigh_run_on run_on : {NIGH_RUN_CALLER, NIGH_RUN_WORKER}) {
        Database db;
        struct nigh_options o = NIGH_OPTIONS_INIT;
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        struct nigh *cache;
        struct nigh_space *space;
        int rc = 0;
        o.l1_memory = 8u << 20;
        so.run_on = run_on;
        so.load_deadline_ms = CLOSE_MS;
        REQUIRE_EQ(nigh_open(&o, &cache), 0);
        REQUIRE_EQ(nigh_space_open(cache, "s", &so, load, nullptr, &db, &space), 0);
        db.held = true;
        db.throws = -1;
        std::thread loader([&] { rc = fetch(space, "k"); });
        CHECK_WITHIN(PATIENCE_MS, db.running);
        uint64_t began = check_now_ms();
        nigh_close(cache);
        CHECK_LT(check_now_ms() - began, PATIENCE_MS);
        db.held = false;
        loader.join();
        CHECK_EQ(rc, run_on == NIGH_RUN_CALLER ? THROWN : (int)NIGH_ETIMEDOUT);
        CHECK_WITHIN(PATIENCE_MS, Guard::alive == 0);
    }
}

/* A refresh that hangs is run by a tick, or by a call that waits for it: either goes on when it is
 * thrown out of. */
TEST(without_threads_an_exception_after_the_close_ends_in_the_call)
{
    for (bool waits : {false, true}) {
        Database db;
        struct nigh_options o = NIGH_OPTIONS_INIT;
        struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
        struct nigh *cache;
        struct nigh_space *space;
        o.l1_memory = 8u << 20;
        o.threads = NIGH_THREADS_NONE;
        so.soft_ttl_ms = 1;
        so.stale_ms = 3600 * 1000;
        so.load_deadline_ms = CLOSE_MS;
        REQUIRE_EQ(nigh_open(&o, &cache), 0);
        REQUIRE_EQ(nigh_space_open(cache, "s", &so, load, nullptr, &db, &space), 0);
        CHECK_EQ(fetch(space, "k"), NIGH_FRESH);
        db.held = true;
        db.throws = -1;
        db.running = false;
        CHECK_WITHIN(PATIENCE_MS, (check_pause(), fetch(space, "k") == NIGH_STALE));
        int rc = 0;
        std::thread runner([&] {
            if (waits)
                rc = fetch(space, "k", NIGH_REFRESH);
            else
                while (!db.running) { /* once more, should its time have passed in the queue */
                    fetch(space, "k");
                    nigh_tick(cache);
                }
        });
        CHECK_WITHIN(PATIENCE_MS, db.running);
        nigh_close(cache);
        db.held = false;
        runner.join();
        CHECK_EQ(rc, waits ? (int)NIGH_ECLOSED : 0);
        CHECK_EQ(Guard::alive, 0);
    }
}

static std::atomic<int> said;

static void throwing_log(void *, enum nigh_log_level, const char *)
{
    said++;
    throw std::runtime_error("the log is full");
}

TEST(a_log_hook_may_throw)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh *cache;
    o.l1_memory = 8u << 20;
    o.redis_uri = "unix:///nonexistent/redis.sock";
    o.log = throwing_log;
    for (enum nigh_threads threads : {NIGH_THREADS_OWN, NIGH_THREADS_NONE}) {
        o.threads = threads;
        said = 0;
        REQUIRE_EQ(nigh_open(&o, &cache), 0);
        REQUIRE_EQ(nigh_set(cache, "lease.time", "2s"), 0); /* is said */
        CHECK_WITHIN(PATIENCE_MS, (nigh_tick(cache), said >= 1));
        nigh_close(cache);
    }
}

TEST(without_threads_an_exception_of_a_refresh_does_not_leave_the_tick)
{
    Database db;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    struct nigh_space_options so = NIGH_SPACE_OPTIONS_INIT;
    struct nigh *cache;
    struct nigh_space *space;
    o.l1_memory = 8u << 20;
    o.threads = NIGH_THREADS_NONE;
    so.soft_ttl_ms = 1;
    so.error_ttl_ms = NIGH_NONE;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    REQUIRE_EQ(nigh_space_open(cache, "s", &so, load, nullptr, &db, &space), 0);
    db.throws = 1;
    CHECK_EQ(fetch(space, "k"), THROWN); /* it is the caller's own */
    CHECK_EQ(fetch(space, "k"), NIGH_FRESH);
    CHECK_WITHIN(PATIENCE_MS, (check_pause(), fetch(space, "k") == NIGH_STALE));
    db.throws = 1;
    CHECK_WITHIN(PATIENCE_MS, (fetch(space, "k"), nigh_tick(cache) >= 0 && db.throws == 0));
    CHECK_WITHIN(PATIENCE_MS, nigh_tick(cache) >= 0 && fetch(space, "k") >= 0);
    CHECK_EQ(nigh_stats_value(cache, nullptr, "load_failed"), 2);
    // Nor does it reach a call that waits for the refresh, and runs it: it is not that call's own.
    struct nigh_call anew = NIGH_CALL_INIT;
    struct nigh_value value = NIGH_VALUE_INIT;
    anew.flags = NIGH_REFRESH;
    CHECK_WITHIN(PATIENCE_MS, (check_pause(), fetch(space, "k") == NIGH_STALE));
    db.throws = 1;
    int rc = nigh_fetch(space, "k", 1, &anew, &value);
    CHECK(rc >= 0 || rc == NIGH_ELOADER); /* it may load once more, itself */
    nigh_release(&value);
    CHECK_EQ(db.throws, 0);
    CHECK_EQ(nigh_stats_value(cache, nullptr, "load_failed"), 3);
    nigh_close(cache);
}

/* ---- all at once ---- */

static void work(Node *node, uint64_t seed, uint64_t end_ms)
{
    uint64_t state = seed;
    while (check_now_ms() < end_ms) {
        uint64_t chance = check_random(&state);
        std::string key = "k" + std::to_string(chance % 50);
        int rc = 0;
        if (chance >> 60 == 0)
            rc = change(node->space, key);
        else if (chance >> 60 == 1)
            rc = nigh_invalidate(node->space, key.data(), key.size(), nullptr);
        else
            rc = fetch(node->space, key, chance >> 60 < 8 ? NIGH_REFRESH : 0);
        CHECK(rc >= 0 || rc == NIGH_ELOADER);
    }
}

TEST(a_server_under_load_whose_database_throws)
{
    in_both([](const char *uri) {
        Node a(uri), b(uri, NIGH_RUN_WORKER, 5);
        std::vector<std::thread> threads;
        uint64_t state = check_seed(), end_ms = check_now_ms() + check_seconds(2) * 1000;
        a.db.one_in = b.db.one_in = 3;
        for (int i = 0; i < 4; i++)
            for (Node *node : {&a, &b})
                threads.emplace_back(work, node, check_random(&state), end_ms);
        for (std::thread &t : threads)
            t.join();
        a.db.one_in = b.db.one_in = 0;
        /* A refresh may have been told to throw, and would be joined. */
        CHECK_WITHIN(PATIENCE_MS, a.count("flights") == 0 && b.count("flights") == 0);
        check_note("%d loads on the callers' threads, %d on workers", (int)a.db.loads,
                   (int)b.db.loads);
        /* A refresh behind a call may have drawn its exception before, and would be joined. */
        CHECK_WITHIN(PATIENCE_MS, a.count("flights") == 0 && b.count("flights") == 0);
        for (int i = 0; i < 50; i++)
            for (Node *node : {&a, &b})
                CHECK_EQ(fetch(node->space, "k" + std::to_string(i), NIGH_REFRESH), NIGH_FRESH);
        CHECK_WITHIN(PATIENCE_MS, a.count("flights") == 0 && b.count("flights") == 0);
        CHECK_EQ(a.db.uncaught + b.db.uncaught, 0);
    });
}
