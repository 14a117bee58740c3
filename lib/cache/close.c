// SPDX-License-Identifier: MIT
/*
 * Closing a cache: lets what has begun come to its end, but waits for no loader for ever.
 *
 * First nothing begins any more; then the flights land, and what they have sent reaches Redis; then
 * log hooks are refused; then the tiers close. Callbacks that have not returned by then are left
 * (caller.h): what their threads touch when they return is freed by the last of them.
 */
#include "cache/close.h"

#include <inttypes.h>

#include "cache/cache.h"
#include "cache/caller.h"
#include "cache/commands/commands.h"
#include "cache/load/load.h"
#include "cache/queue/keep.h"
#include "cache/recording.h"

#define CLOSE_NAMES_MAX 16u                 /* callbacks named in the log; then only counted */
#define CLOSE_CONNECT_TRIES 50              /* 5 ms each, for a connection that the queue needs */
#define CLOSE_PATIENCE_NS (900 * NS_PER_MS) /* after the last deadline of what runs */
#define CLOSE_LAST_NS (100 * NS_PER_MS)     /* then for what is on its way to Redis */

/* ---- the tiers ---- */

/* Whether callbacks have been left, or queues are open: they have references. */
static bool is_shared(struct nigh *cache)
{
    return atomic_load_explicit(&cache->refs, memory_order_relaxed) > 1;
}

/* Reports changes that no other node has heard of, and none will. */
static void note_untold(struct nigh *cache, uint32_t count)
{
    struct log_site always = {0};
    if (count > 0)
        log_write(cache->env.log, NIGH_LOG_WARN, &always,
                  "closed while changes waited for redis (%" PRIu32 "): other nodes do not learn "
                  "of them, and may serve what was before", count);
}

/* Closes what talks to Redis. Fills that are behind may be answered until L2 is closed, and their
 * answers are noted in the coherence. */
static void close_redis(struct nigh *cache)
{
    struct coherence *c = cache->coherence;
    if (c) {
        coherence_ref(c);
        note_untold(cache, coherence_close(c));
    }
    drive_unlink(cache);
    if (cache->l2)
        l2_close(cache->l2);
    if (c)
        coherence_unref(c);
}

/*
 * The workers end before L2. A flight that has landed at the close may have an answer under way,
 * and the worker that steps it for that may be about to give a lease back: it would look whether L2
 * has closed, and then use what l2_close() has freed meanwhile. What comes with the last answers is
 * done here, by the thread that has closed L2: it finds `l2_closed`, and touches neither L2 nor the
 * coherence.
 */
void close_tiers(struct nigh *cache)
{
    service_stop(&cache->keeper);
    workers_stop(&cache->workers);
    atomic_store_explicit(&cache->l2_closed, true, memory_order_relaxed);
    close_redis(cache);
    workers_turn(&cache->workers);
    recording_close(cache);
    service_stop(&cache->reclaimer);
    if (cache->l1 && is_shared(cache))
        l1_empty(cache->l1); /* but for what callbacks and completions hold */
    log_close(cache->env.log);
}

/* ---- callbacks that have not returned ---- */

/* Prints a key as part of a message: bytes that are no printable ASCII become points. */
static void print_key(char *text, size_t size, struct bytes key)
{
    size_t n = u64_min(key.len, size - 1);
    for (size_t i = 0; i < n; i++) {
        unsigned char c = ((const unsigned char *)key.data)[i];
        text[i] = c >= ' ' && c < 0x7f ? (char)c : '.';
    }
    text[n] = 0;
}

/* Names in the log a callback that nigh_close() does not wait for any longer: each is a fault by
 * itself. */
static void note_left(struct nigh *cache, struct callback *c, uint32_t before)
{
    struct log_site always = {0};
    char key[64];
    workers_leave(&cache->workers, c->thread);
    if (before >= CLOSE_NAMES_MAX)
        return;
    print_key(key, sizeof(key), c->key);
    log_write(cache->env.log, NIGH_LOG_ERROR, &always,
              "closed while the %s of space \"%s\", key \"%s\" has not returned: its memory is "
              "left", c->what, c->space->name, key);
}

/* Refuses calls from here on: loaders that return late may make some. Calls that have begun come to
 * their end, with the tiers there. */
static void refuse_calls(struct nigh *cache)
{
    if (cache_is_gone(cache))
        return;
    uint32_t count = atomic_load_explicit(&cache->space_count, memory_order_relaxed);
    for (uint32_t i = 0; i < count; i++)
        cache_set_plain(cache->spaces[i], CACHE_LEFT);
    atomic_store_explicit(&cache->fork_count, CACHE_LEFT, memory_order_relaxed);
    rcu_wait(); /* hits that had begun */
}

static void leave_callbacks(struct nigh *cache)
{
    uint64_t deadline_ns = 0;
    if (!callbacks_running(&cache->callbacks, &deadline_ns))
        return;
    struct log_site always = {0};
    refuse_calls(cache);
    uint32_t count = callbacks_leave(cache, note_left);
    if (count > 1)
        log_write(cache->env.log, NIGH_LOG_ERROR, &always,
                  "closed while %u loaders and writers have not returned", count);
}

/* ---- flights ---- */

static bool is_landed(struct nigh *cache)
{
    uint64_t deadline_ns = 0;
    /* pair(cache.deferred): acquire what the answering threads did with the cache */
    return flight_count(cache->flights) == 0 && workers_idle(&cache->workers) &&
           !callbacks_running(&cache->callbacks, &deadline_ns) &&
           atomic_load_explicit(&cache->deferred, memory_order_acquire) == 0;
}

/*
 * Lands the flights: waits for loaders and writers that run, but not for ever; wakes flights that
 * wait for other nodes; and lets fills and leases given back reach Redis, lest the leases stay
 * behind. No loader begins any more, so the closer may take the workers' turns: all of them may be
 * inside one.
 */
static void drain_flights(struct nigh *cache)
{
    _Atomic uint32_t never = 0;
    uint64_t end_ns = clock_now_ns(&cache->clock);
    /* pair(cache.sent_behind): acquire what the answers touched, before it is freed */
    while (!is_landed(cache) ||
           atomic_load_explicit(&cache->sent_behind, memory_order_acquire) > 0) {
        load_end_deferred(cache);
        flight_notify_all(cache->flights, FLIGHT_EV_DEADLINE);
        workers_turn(&cache->workers);
        callbacks_running(&cache->callbacks, &end_ns);
        uint64_t now_ns = clock_now_ns(&cache->clock);
        if (now_ns >= end_ns + CLOSE_PATIENCE_NS) {
            leave_callbacks(cache);
            if (is_landed(cache) && now_ns >= end_ns + CLOSE_PATIENCE_NS + CLOSE_LAST_NS)
                return;
        }
        park_wait(cache->env.park, &never, 0, clock_deadline_ns(&cache->clock, 1));
    }
}

/* ---- the call ---- */

/* Reports values that are still held. Only hits are counted: what a load handed out has a
 * reference. */
static void check_released(struct nigh *cache)
{
    uint64_t pins;
    uint64_t bytes;
    l1_pins_read(cache->l1, &pins, &bytes);
    if (pins > 0)
        LOG(cache->env.log, NIGH_LOG_ERROR, "closed while values are held: %" PRIu64, pins);
}

/* Refuses the calls that a log hook makes from here on. Its earlier calls find the tiers whole: the
 * flush waits for them. */
static void end_log_calls(struct nigh *cache)
{
    atomic_store_explicit(&cache->closed, true, memory_order_relaxed); /* ordered by the flush */
    log_flush(cache->env.log);
}

/* Waits a moment for a connection that the queue needs: a host that has never ticked may be about
 * to have one. The tries are counted, for the host's clock may stand still. */
static void connect_for_queue(struct nigh *cache)
{
    _Atomic uint32_t never = 0;
    if (!cache->drive || !cache->coherence)
        return;
    for (int i = 0; i < CLOSE_CONNECT_TRIES && !l2_connected(cache->l2) &&
                    coherence_drain(cache->coherence, 0) != 0; i++)
        park_wait(cache->env.park, &never, 0, clock_deadline_ns(&cache->clock, 5));
}

void nigh_close(struct nigh *cache)
{
    if (!cache)
        return;
    if (cache_forked(cache))
        return; /* threads and sockets are the parent's; the child lets the memory be */
    struct caller caller;
    caller_enter(&caller);
    commands_close(cache);
    atomic_store_explicit(&cache->closing, true, memory_order_relaxed);
    queues_shut(cache);
    tickets_give_back_all(cache); /* no put can use them any more */
    drain_flights(cache);
    connect_for_queue(cache);
    check_released(cache);
    end_log_calls(cache);
    close_tiers(cache);
    cache_unref(cache);
    caller_leave(&caller);
}
