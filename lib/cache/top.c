// SPDX-License-Identifier: MIT
/*
 * Counters of the most frequent keys.
 *
 * Fading: every eighth of a half life all counts, and the time that they stand for, are multiplied
 * by the eighth root of a half. What is between two steps does not fade, so a rate is exact for a
 * steady stream at any moment.
 */
#include "cache/top.h"

#include <string.h>

#define STEPS 8u
#define STEP_NS (TOP_HALF_LIFE_S * NS_PER_S / STEPS)
#define STEP_FADES 0.91700404320467122 /* 0.5 ^ (1 / STEPS) */
#define STEPS_FOR_ALL (STEPS * 64u) /* after so many nothing is left */

static size_t bytes_of_counters(const struct top *t)
{
    return t->capacity * (sizeof(struct top_entry) + sizeof(uint16_t));
}

void top_fini(struct top *t, struct mem *mem)
{
    mem_free(mem, NULL, t->entries, bytes_of_counters(t));
    t->entries = NULL;
}

static bool begin(struct top *t, struct mem *mem, uint64_t now_ns) REQUIRES(t->latch)
{
    t->entries = mem_alloc_zero(mem, bytes_of_counters(t));
    if (!t->entries)
        return false;
    t->heads = (uint16_t *)(void *)(t->entries + t->capacity);
    t->step_ns = now_ns;
    return true;
}

static void fade_once(struct top *t) REQUIRES(t->latch)
{
    for (uint32_t i = 0; i < t->used; i++) {
        t->entries[i].count *= STEP_FADES;
        t->entries[i].error *= STEP_FADES;
        t->entries[i].squares *= STEP_FADES;
    }
    t->least *= STEP_FADES;
    t->total *= STEP_FADES;
    t->span_s = (t->span_s + (double)STEP_NS / NS_PER_S) * STEP_FADES;
}

/* A clock that goes back (options.clock) fades nothing. */
static void fade(struct top *t, uint64_t now_ns) REQUIRES(t->latch)
{
    uint64_t steps = now_ns > t->step_ns ? (now_ns - t->step_ns) / STEP_NS : 0;
    if (steps > STEPS_FOR_ALL) {
        memset(t->heads, 0, t->capacity * sizeof(*t->heads));
        t->used = t->hand = 0;
        t->least = t->total = t->span_s = 0;
        t->step_ns = now_ns;
        return;
    }
    for (; steps > 0; steps--) {
        fade_once(t);
        t->step_ns += STEP_NS;
    }
}

static uint16_t *head_of(struct top *t, uint64_t hash) REQUIRES(t->latch)
{
    return &t->heads[(uint32_t)hash % t->capacity];
}

static struct top_entry *find(struct top *t, uint64_t hash) REQUIRES(t->latch)
{
    for (uint32_t at = *head_of(t, hash); at > 0; at = t->entries[at - 1].next)
        if (t->entries[at - 1].hash == hash)
            return &t->entries[at - 1];
    return NULL;
}

/* Put a counter into its key's chain. */
static void chain(struct top *t, struct top_entry *e) REQUIRES(t->latch)
{
    uint16_t *head = head_of(t, e->hash);
    e->next = *head;
    *head = (uint16_t)(e - t->entries + 1);
}

/* Take it out. */
static void unchain(struct top *t, const struct top_entry *e) REQUIRES(t->latch)
{
    uint16_t *at = head_of(t, e->hash);
    while (&t->entries[*at - 1] != e)
        at = &t->entries[*at - 1].next;
    *at = e->next;
}

/* Find the lowest counter, of which there are many as a rule: from one to the next as long as there
 * are, and where there is none left by a look at all. */
static uint32_t lowest(struct top *t) REQUIRES(t->latch)
{
    uint32_t at = 0;
    for (; t->hand < t->used; t->hand++)
        if (t->entries[t->hand].count <= t->least)
            return t->hand;
    for (uint32_t i = 1; i < t->used; i++)
        if (t->entries[i].count < t->entries[at].count)
            at = i;
    t->hand = at;
    t->least = t->entries[at].count;
    return at;
}

/* Take a free counter, or the lowest. */
static struct top_entry *take(struct top *t, uint64_t hash, struct bytes key) REQUIRES(t->latch)
{
    struct top_entry *e;
    if (t->used == t->capacity) {
        e = &t->entries[lowest(t)];
        unchain(t, e);
    } else {
        e = &t->entries[t->used++];
        *e = (struct top_entry){0};
    }
    e->hash = hash;
    e->error = e->count;
    e->key_len = (uint16_t)key.len;
    memcpy(e->key, key.data, u64_min(key.len, TOP_KEY_BYTES));
    chain(t, e);
    return e;
}

void top_add(struct top *t, struct mem *mem, uint64_t hash, struct bytes key, double weight,
             uint64_t now_ns)
{
    if (t->capacity == 0 || !latch_try(&t->latch))
        return;
    if (t->entries || begin(t, mem, now_ns)) {
        fade(t, now_ns);
        struct top_entry *e = find(t, hash);
        if (!e)
            e = take(t, hash, key);
        e->count += weight;
        e->squares += weight * weight;
        t->total += weight;
    }
    latch_unlock(&t->latch);
}

/* ---- reading ---- */

static bool is_before(const struct top_entry *a, const struct top_entry *b)
{
    return a->count - a->error / 2 > b->count - b->error / 2;
}

/* Put an entry into its place among the first. Returns how many there are then. */
static uint32_t place(const struct top_entry *first[], uint32_t count, uint32_t most,
                      const struct top_entry *e)
{
    uint32_t at = count;
    while (at > 0 && is_before(e, first[at - 1]))
        at--;
    if (at == most)
        return count;
    uint32_t after = (count < most ? count : most - 1) - at;
    memmove(&first[at + 1], &first[at], after * sizeof(*first));
    first[at] = e;
    return count < most ? count + 1 : most;
}

/* Whether so many samples are sure: n alike of weight w add up to nw, and their squares to nww. The
 * squares are also those of keys that had the counter before, so there are rather more than this
 * finds: a single sample never passes for several. */
static bool is_sure(const struct top_entry *e, double least)
{
    double sure = e->count - e->error;
    return sure * sure >= least * e->squares;
}

/* Returns the time that the counts stand for. */
static double span_at(const struct top *t, uint64_t now_ns) REQUIRES(t->latch)
{
    uint64_t since_ns = now_ns > t->step_ns ? now_ns - t->step_ns : 0;
    double span_s = t->span_s + (double)since_ns / NS_PER_S;
    return span_s > TOP_SPAN_LEAST_S ? span_s : TOP_SPAN_LEAST_S;
}

static uint32_t read_locked(struct top *t, struct top_rate *ret, uint32_t most, double least,
                            uint64_t now_ns) REQUIRES(t->latch)
{
    const struct top_entry *first[TOP_MOST];
    uint32_t count = 0;
    fade(t, now_ns);
    double span_s = span_at(t, now_ns);
    most = most < TOP_MOST ? most : TOP_MOST;
    for (uint32_t i = 0; i < t->used; i++)
        if (is_sure(&t->entries[i], least))
            count = place(first, count, most, &t->entries[i]);
    for (uint32_t i = 0; i < count; i++) {
        const struct top_entry *e = first[i];
        ret[i] = (struct top_rate){.rate = e->count / span_s,
                                   .error = e->error / span_s,
                                   .variance = e->squares / (span_s * span_s)};
        ret[i].key_len = e->key_len;
        memcpy(ret[i].key, e->key, sizeof(e->key));
    }
    return count;
}

uint32_t top_read(struct top *t, struct top_rate *ret, uint32_t most, double least, uint64_t now_ns)
{
    latch_lock(&t->latch);
    uint32_t count = t->entries ? read_locked(t, ret, most, least, now_ns) : 0;
    latch_unlock(&t->latch);
    return count;
}

static struct top_whole read_whole_locked(struct top *t, uint64_t now_ns) REQUIRES(t->latch)
{
    struct top_entry most = {0};
    fade(t, now_ns);
    double span_s = span_at(t, now_ns);
    for (uint32_t i = 0; i < t->used; i++)
        if (t->entries[i].count > most.count)
            most = t->entries[i];
    return (struct top_whole){.rate = t->total / span_s,
                              .most = most.count / span_s,
                              .variance = most.squares / (span_s * span_s)};
}

struct top_whole top_read_whole(struct top *t, uint64_t now_ns)
{
    latch_lock(&t->latch);
    struct top_whole whole = t->entries ? read_whole_locked(t, now_ns) : (struct top_whole){0};
    latch_unlock(&t->latch);
    return whole;
}
