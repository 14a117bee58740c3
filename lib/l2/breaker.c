// SPDX-License-Identifier: MIT
// The breaker's three states (see breaker.h).
//
// The history is a word: a shift per answer, a population count to judge. Eight samples at least,
// so that one slow answer after a quiet night opens nothing; half of them bad, so that a server
// that still answers most callers is used. Eight good ones in a row clear the history before them:
// nothing of a stall in the afternoon is left by night, however few calls there were meanwhile.

#include "l2/breaker.h"

#define SAMPLES_MIN 8u
#define SAMPLES_MAX 64u
#define PAUSE_MIN_NS (250 * NS_PER_MS)
#define PAUSE_MAX_NS (5 * NS_PER_S)

static void set_state(struct breaker *b, enum breaker_state state)
{
    atomic_store_explicit(&b->state, state, memory_order_relaxed);
}

enum breaker_state breaker_state(const struct breaker *b)
{
    return (enum breaker_state)atomic_load_explicit(&b->state, memory_order_relaxed);
}

void breaker_set_patience(struct breaker *b, uint64_t patience_ns)
{
    atomic_store_explicit(&b->patience_ns, patience_ns, memory_order_relaxed);
}

uint64_t breaker_slow_ns(const struct breaker *b)
{
    uint64_t patience_ns = atomic_load_explicit(&b->patience_ns, memory_order_relaxed);
    return u64_min(u64_max(BREAKER_SLOW_NS, patience_ns / 5 * 2), BREAKER_SLOW_MAX_NS);
}

void breaker_reset(struct breaker *b)
{
    b->history = 0;
    b->samples = 0;
    b->half_since_ns = 0;
    b->run = 0;
    b->pause_ns = 0;
    set_state(b, BREAKER_CLOSED);
}

bool breaker_allows(struct breaker *b, uint64_t now_ns)
{
    if (breaker_state(b) == BREAKER_CLOSED)
        return true;
    uint64_t at_ns = atomic_load_explicit(&b->retry_at_ns, memory_order_relaxed);
    if (now_ns < at_ns || !atomic_compare_exchange_strong_explicit(
                              &b->retry_at_ns, &at_ns, now_ns + BREAKER_PROBE_NS,
                              memory_order_relaxed, memory_order_relaxed))
        return false;
    uint32_t open = BREAKER_OPEN; /* else it is closed by now, or the last probe came to nothing */
    atomic_compare_exchange_strong_explicit(&b->state, &open, BREAKER_HALF_OPEN,
                                            memory_order_relaxed, memory_order_relaxed);
    return true;
}

static void trip(struct breaker *b, struct random *random, uint64_t now_ns)
{
    uint64_t pause_ns = u64_max(b->pause_ns, PAUSE_MIN_NS);
    atomic_store_explicit(&b->retry_at_ns, now_ns + random_jitter(random, pause_ns, 20),
                          memory_order_relaxed);
    b->pause_ns = u64_min(2 * pause_ns, PAUSE_MAX_NS);
    set_state(b, BREAKER_OPEN);
}

static bool is_half_bad(struct breaker *b, bool good, uint64_t now_ns)
{
    b->history = b->history << 1 | !good;
    if (b->samples < SAMPLES_MAX)
        b->samples++;
    if ((b->history & ((1u << SAMPLES_MIN) - 1)) == 0)
        b->history = 0;
    unsigned bad = (unsigned)__builtin_popcountll(b->history);
    if (2 * bad < b->samples)
        b->half_since_ns = 0;
    else if (b->half_since_ns == 0)
        b->half_since_ns = now_ns;
    return b->half_since_ns != 0 && b->samples >= SAMPLES_MIN &&
           now_ns - b->half_since_ns >= BREAKER_SUSTAIN_NS;
}

static bool is_run_bad(struct breaker *b, bool good, uint64_t now_ns)
{
    if (good)
        b->run = 0;
    else if (b->run++ == 0)
        b->run_since_ns = now_ns;
    return b->run >= BREAKER_RUN && now_ns - b->run_since_ns >= BREAKER_SUSTAIN_NS;
}

/* CLOSED: remember the answer; true when too many have been bad for too long. */
static bool too_many_bad(struct breaker *b, bool good, uint64_t now_ns)
{
    bool half = is_half_bad(b, good, now_ns), run = is_run_bad(b, good, now_ns);
    return !good && (half || run);
}

bool breaker_record(struct breaker *b, struct random *random, bool good, uint64_t now_ns)
{
    if (breaker_state(b) == BREAKER_CLOSED) {
        if (!too_many_bad(b, good, now_ns))
            return false;
        trip(b, random, now_ns);
        return true;
    }
    if (good) {
        breaker_reset(b);
        return true;
    }
    /* Old requests that fail while it is OPEN tell nothing new. */
    if (breaker_state(b) == BREAKER_HALF_OPEN)
        trip(b, random, now_ns);
    return false;
}
