// SPDX-License-Identifier: MIT
/*
 * Secrets from getrandom, ids by SipHash, jitter from xorshift64* (Vigna, "An experimental
 * exploration of Marsaglia's xorshift generators, scrambled", 2016).
 *
 * The generator's word is loaded and stored without a read-modify-write: two threads may draw the
 * same number, which for jitter is no worse than chance.
 */
#include "base/random.h"

#include <errno.h>
#include <pthread.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/check.h"
#include "base/clock.h"
#include "base/siphash.h"

/* Tells a child's ids from its parent's, and from its siblings': they have keys and counts in
 * common. 0: no child. */
static _Atomic uint64_t fork_word;

/* A bijection that spreads every bit (Steele, Lea, Flood: SplitMix, 2014). */
static uint64_t mix(uint64_t x)
{
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

/* An id where seccomp denies getrandom: unique by process, instant and place, though not secret. */
static uint64_t guess(void)
{
    uint64_t here = (uintptr_t)&here;
    return mix(clock_kernel_ns(CLOCK_MONOTONIC)) ^ mix(clock_kernel_ns(CLOCK_REALTIME)) ^
           mix(here + (uint64_t)getpid());
}

static uint64_t kernel_random(void)
{
    uint64_t id;
    for (;;) {
        ssize_t got = getrandom(&id, sizeof(id), 0);
        if (got == (ssize_t)sizeof(id))
            return id;
        if (got < 0 && errno != EINTR)
            return guess();
    }
}

static uint64_t draw(struct random *r)
{
    uint64_t x = atomic_load_explicit(&r->state, memory_order_relaxed);
    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    atomic_store_explicit(&r->state, x, memory_order_relaxed);
    return x * 0x2545F4914F6CDD1Dull;
}

/* Runs in a child of fork, where there is one thread. */
static void draw_fork_word(void)
{
    atomic_store_explicit(&fork_word, kernel_random(), memory_order_relaxed);
}

static void install(void)
{
    pthread_atfork(NULL, NULL, draw_fork_word);
}

void random_init(struct random *r, uint64_t fixed_seed)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    uint64_t state = fixed_seed ? mix(fixed_seed) : kernel_random();
    r->fixed_seed = fixed_seed;
    atomic_init(&r->state, state ? state : 1); /* 0 is the one state that xorshift never leaves */
    atomic_init(&r->drawn, 0);
    for (size_t i = 0; i < ARRAY_COUNT(r->key) && !fixed_seed; i++)
        r->key[i] = kernel_random();
}

static uint64_t numbered_id(struct random *r)
{
    uint64_t words[] = {
        atomic_fetch_add_explicit(&r->drawn, 1, memory_order_relaxed),
        atomic_load_explicit(&fork_word, memory_order_relaxed),
    };
    return siphash_1_3(r->key, words, sizeof(words));
}

uint64_t random_id(struct random *r)
{
    uint64_t id;
    do
        id = r->fixed_seed ? draw(r) : numbered_id(r);
    while (id == 0);
    return id;
}

uint64_t random_secret(struct random *r)
{
    uint64_t secret;
    do
        secret = r->fixed_seed ? draw(r) : kernel_random();
    while (secret == 0);
    return secret;
}

static uint64_t scale(uint64_t number, uint64_t bound)
{
    return (uint64_t)(((unsigned __int128)number * bound) >> 64);
}

uint64_t random_below(struct random *r, uint64_t bound)
{
    return scale(draw(r), bound);
}

uint64_t random_jitter_by(uint64_t noise, uint64_t value, unsigned percent)
{
    uint64_t room = u64_min(value, UINT64_MAX - value); /* the result stays within 64 bits */
    uint64_t wanted;
    if (NIGH_UNLIKELY(__builtin_mul_overflow(value, (uint64_t)percent, &wanted)))
        wanted = value / 100 * percent; /* rounding is nothing in a number so large */
    else
        wanted /= 100;
    uint64_t spread = u64_min(wanted, room);
    return value - spread + scale(noise, 2 * spread + 1);
}

uint64_t random_jitter(struct random *r, uint64_t value, unsigned percent)
{
    return random_jitter_by(draw(r), value, percent);
}
