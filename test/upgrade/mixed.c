// SPDX-License-Identifier: MIT
// Both versions change the same keys at a rate: no read answered FRESH may be older than what had
// been accepted a trust time before it began.
//
// Per key and number the history holds when the change that brought the number was accepted (its
// call had returned). Writers take turns on a key, so numbers are dense, and a read that shows v
// fresh is late by the time since v + 1 was accepted. Old nodes write in bursts: while they do, new
// ones call nothing fresh, and between them they must trust for the test to say anything.

#include <pthread.h>

#include "upgrade/sites.h"

enum {
    ROWS = 24,
    NUMBERS_MAX = 4096, /* of one row */
    BURST_MS = 1000,
    REST_MS = 5500, /* doubt ends 3 s after the burst, a beat later at most */
};

struct row {
    pthread_mutex_t lock; /* of its writers */
    uint64_t number;      /* REQUIRES lock */
    _Atomic uint64_t accepted_ms[NUMBERS_MAX];
};

struct worker {
    pthread_t thread;
    struct node node;
    bool in_bursts;
    uint64_t seed;
    unsigned long fresh, other, late, changes;
};

static struct site site;
static struct row rows[ROWS];
static _Atomic bool stop;
static uint64_t start_ms;

static void rest(uint64_t ms)
{
    uint64_t end_ms = check_now_ms() + ms;
    while (check_now_ms() < end_ms && !atomic_load(&stop))
        check_pause();
}

static void *read_on(void *arg)
{
    struct worker *w = arg;
    for (unsigned turn = 0; !atomic_load(&stop); turn++) {
        if (turn % 16 == 0)
            check_pause(); /* others test here, too */
        unsigned row = (unsigned)(check_random(&w->seed) % ROWS);
        const char *how = check_random(&w->seed) % 4 ? "fetch" : "look";
        uint64_t began_ms = check_now_ms();
        struct said said = node_ask(&w->node, "%s k%u", how, row);
        if (said.outcome != SAID_FRESH) {
            w->other++;
            continue;
        }
        w->fresh++;
        REQUIRE(said.number + 1 < NUMBERS_MAX);
        uint64_t next_ms = atomic_load(&rows[row].accepted_ms[said.number + 1]);
        if (next_ms == 0 || began_ms <= next_ms + BOUND_MS)
            continue;
        if (w->late++ < 5)
            check_note("%s: %s k%u is %llu, %llu ms after it was changed", w->node.log_path, how,
                       row, (unsigned long long)said.number,
                       (unsigned long long)(began_ms - next_ms));
    }
    return NULL;
}

/* Whether a change was told. A put of a version is refused, and told all the same, where a reader
 * has loaded that version since it was committed. */
static bool is_told(enum kind kind, unsigned row, long long outcome)
{
    return outcome == 0 || (kind == PUT && row % 2 == 0 && outcome == SAID_REFUSED);
}

static void change_one(struct worker *w)
{
    unsigned i = (unsigned)(check_random(&w->seed) % ROWS);
    enum kind kind = (enum kind)(check_random(&w->seed) % (TAG + 1));
    if (check_random(&w->seed) % 100 == 0)
        kind = check_random(&w->seed) % 2 ? SPACE : ALL;
    struct row *row = &rows[i];
    pthread_mutex_lock(&row->lock);
    uint64_t number = row->number + 1;
    if (number + 1 < NUMBERS_MAX) {
        row->number = number;
        CHECK(is_told(kind, i, site_change(&site, &w->node, kind, i, number)));
        atomic_store(&row->accepted_ms[number], check_now_ms());
        w->changes++;
    }
    pthread_mutex_unlock(&row->lock);
}

static void *change_on(void *arg)
{
    struct worker *w = arg;
    while (!atomic_load(&stop)) {
        uint64_t at_ms = (check_now_ms() - start_ms) % (BURST_MS + REST_MS);
        if (w->in_bursts && at_ms >= BURST_MS)
            rest(BURST_MS + REST_MS - at_ms);
        change_one(w);
        rest(check_random(&w->seed) % 40);
    }
    return NULL;
}

TEST(both_change_the_same_keys)
{
    enum { OLD_READER, NEW_READER, OLD_WRITER, NEW_WRITER, WORKERS };
    static struct worker workers[WORKERS];
    struct redis server;
    redis_start(&server, NULL);
    site_open(&site, &server, "mix");
    for (unsigned i = 0; i < ROWS; i++)
        pthread_mutex_init(&rows[i].lock, NULL);
    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i].seed = check_seed() + i;
        workers[i].in_bursts = i == OLD_WRITER;
        node_open(&workers[i].node, &site, i % 2 ? BUILD_NEW : BUILD_OLD, "1");
    }
    for (unsigned i = 0; i < WORKERS; i++)
        MUST_COME(is_trusted(&workers[i].node));
    site_settle(&site, &workers[NEW_READER].node);
    start_ms = check_now_ms();
    for (unsigned i = 0; i < WORKERS; i++)
        REQUIRE(pthread_create(&workers[i].thread, NULL, i < OLD_WRITER ? read_on : change_on,
                               &workers[i]) == 0);
    unsigned bursts = 1 + (check_seconds(5) + 6) / 7;
    rest(bursts * (BURST_MS + REST_MS));
    atomic_store(&stop, true);
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *w = &workers[i];
        pthread_join(w->thread, NULL);
        check_note("%s: %lu fresh, %lu other, %lu changes", w->node.log_path, w->fresh, w->other,
                   w->changes);
        CHECK_EQ(w->late, 0);
        CHECK_GT(i < OLD_WRITER ? w->fresh : w->changes, 0);
        node_close(&w->node);
    }
    CHECK_GT(workers[NEW_READER].other, 0); /* it doubted in the bursts */
    redis_stop(&server);
}
