// SPDX-License-Identifier: MIT
// The probe: two words, and a time after which a change that was not heard is given up, for its
// script may have failed, or found other schemas and done nothing, or the channel be away. Nothing
// but this measurement asks for the nonce of such a script: chains and own calls are compared where
// a change was accepted (change.c) or comes back (apply.c). So what is lost is samples, for that
// time.

#include "coherence/probe.h"

#include "coherence/change.h"

#define GIVEN_UP_NS (10 * NS_PER_S)

void coherence_probe_begin(struct coherence *c, uint64_t nonce)
{
    struct coherence_probe *p = &c->changes->probe;
    uint64_t now_ns = clock_now_ns(c->config.env->clock);
    uint64_t made_ns = atomic_load_explicit(&p->made_ns, memory_order_relaxed);
    bool follows = atomic_load_explicit(&p->nonce, memory_order_relaxed) != 0;
    if (follows && now_ns - made_ns < GIVEN_UP_NS)
        return;
    atomic_store_explicit(&p->made_ns, now_ns, memory_order_relaxed);
    /* pair(coherence.probe): its time is written */
    atomic_store_explicit(&p->nonce, nonce, memory_order_release);
}

void coherence_probe_heard(struct coherence *c, uint64_t nonce)
{
    struct coherence_probe *p = &c->changes->probe;
    /* pair(coherence.probe) */
    if (nonce == 0 || atomic_load_explicit(&p->nonce, memory_order_acquire) != nonce)
        return;
    uint64_t now_ns = clock_now_ns(c->config.env->clock);
    uint64_t made_ns = atomic_load_explicit(&p->made_ns, memory_order_relaxed);
    atomic_store_explicit(&p->nonce, 0, memory_order_relaxed);
    stats_time(c->config.stats, STATS_LATENCY_HEARD, now_ns - u64_min(now_ns, made_ns));
}
