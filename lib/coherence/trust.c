// SPDX-License-Identifier: MIT
// Trust (rule 9): extended by the beat, watched by the keeper, read by every hit.
//
// Nothing else moves `trusted_until`, and it only rises: a beat's answer vouches for the time at
// which the beat was sent, whatever has been answered since.

#include "coherence/trust.h"
#include "coherence/past.h"

#include <inttypes.h>

const _Atomic uint64_t *coherence_trusted_until(const struct coherence *c)
{
    return &c->trust->trusted_until;
}

void coherence_trust_extend(struct coherence *c, uint64_t sent_ns)
{
    struct coherence_trust *t = c->trust;
    uint64_t until_ns = sent_ns + c->config.trust_ms * NS_PER_MS;
    if (until_ns > atomic_load_explicit(&t->trusted_until, memory_order_relaxed))
        /* pair(coherence.trust): a hit that sees it sees the floors of all applied before */
        atomic_store_explicit(&t->trusted_until, until_ns, memory_order_release);
    uint64_t now_ns = clock_coarse_ns(c->config.env->clock);
    if (until_ns <= now_ns)
        return;
    uint64_t lost_ns = atomic_load_explicit(&t->lost_ns, memory_order_relaxed);
    if (lost_ns) {
        uint64_t away_ns = now_ns - lost_ns, away_ms = away_ns / NS_PER_MS;
        atomic_store_explicit(&t->lost_ns, 0, memory_order_relaxed);
        /* pair(coherence.doubt): this time is under way no more */
        atomic_fetch_add_explicit(&t->doubt_ns, away_ns, memory_order_release);
        past_trusted(c, away_ns);
        LOG(c->config.env->log, NIGH_LOG_WARN, "trust is back after %" PRIu64 ".%03" PRIu64 " s",
            away_ms / 1000, away_ms % 1000);
    }
    t->held = true;
}

uint64_t coherence_trust_watch(struct coherence *c)
{
    struct coherence_trust *t = c->trust;
    if (!t->held)
        return CLOCK_NEVER_NS;
    uint64_t until_ns = atomic_load_explicit(&t->trusted_until, memory_order_relaxed);
    if (clock_coarse_ns(c->config.env->clock) < until_ns)
        return until_ns;
    t->held = false;
    atomic_store_explicit(&t->lost_ns, until_ns, memory_order_relaxed);
    stats_count(c->config.stats, STATS_TRUST_LOST);
    USDT(doubt, 0, 0, until_ns);
    past_lost(c, until_ns);
    LOG(c->config.env->log, NIGH_LOG_WARN,
        "trust lost: nothing stored is fresh until redis answers");
    c->config.sink.lost(c->config.sink.arg);
    return CLOCK_NEVER_NS;
}

/* A time that is just ending may be missing for a moment, and counts a little less once it is over:
 * its end was read from the clock before. What was shown is not taken back for that. */
uint64_t coherence_trust_doubt_ns(struct coherence *c)
{
    struct coherence_trust *t = c->trust;
    /* pair(coherence.doubt): what is in it is not under way below, too */
    uint64_t doubt_ns = atomic_load_explicit(&t->doubt_ns, memory_order_acquire);
    uint64_t lost_ns = atomic_load_explicit(&t->lost_ns, memory_order_relaxed);
    uint64_t now_ns = clock_coarse_ns(c->config.env->clock);
    if (lost_ns && now_ns > lost_ns)
        doubt_ns += now_ns - lost_ns;
    uint64_t shown_ns = atomic_load_explicit(&t->shown_ns, memory_order_relaxed);
    while (shown_ns < doubt_ns &&
           !atomic_compare_exchange_weak_explicit(&t->shown_ns, &shown_ns, doubt_ns,
                                                  memory_order_relaxed, memory_order_relaxed))
        continue;
    return u64_max(shown_ns, doubt_ns);
}

/* Where both clocks agree (options.clock may be the wall clock) it is 1 ms too much: 0 is "never
 * told". */
void coherence_trust_learn_time(struct coherence *c, const struct l2_clock *clock,
                                uint64_t sent_ns)
{
    uint64_t offset_ms = clock->server_time_ms - sent_ns / NS_PER_MS;
    if (clock->server_time_ms)
        atomic_store_explicit(&c->trust->server_offset_ms, offset_ms ? offset_ms : 1,
                              memory_order_relaxed);
}

uint64_t coherence_server_time_ms(struct coherence *c)
{
    uint64_t offset_ms = atomic_load_explicit(&c->trust->server_offset_ms, memory_order_relaxed);
    return offset_ms ? clock_coarse_ns(c->config.env->clock) / NS_PER_MS + offset_ms : 0;
}
