// SPDX-License-Identifier: MIT
/*
 * Fates: the three tables, and what they say of a key.
 *
 * The youngest of the words counts. In a full cache the place for frequent causes may belong to
 * another key: then the last rare cause is told, and that more may have come (`forgotten`). Ages
 * are differences modulo 2^23 ticks: a cause that is older than 26 days, and that nothing has
 * overwritten, seems to be younger than it is.
 */
#include "l1/fates.h"

#include "l1/core.h"

#include <nigh/error.h>

#define MEMORY_PER_FATE 2048u /* bytes of the cap, for each place of a frequent cause */

#define FATE_TICK_LAST ((1u << FATE_TIME_BITS) - 1)

/* A word may be from after the reader's look at the clock; and the sweep's clock is finer than his,
 * so of a tick that his has not come to. */
#define FATE_TICKS_AHEAD 256u /* a minute, for a reader that stood still between the two */

#define FIELD(word, above, bits) ((uint32_t)((word) >> (above)) & ((1u << (bits)) - 1))

_Static_assert(FATE_TAG_BITS + FATE_FATE_BITS + FATE_WHO_BITS + FATE_TIME_BITS == 64, "one word");
_Static_assert(L1_FATE_COUNT <= 1u << FATE_FATE_BITS, "fates have their bits");
_Static_assert(FATES_OFTEN_MAX <= 1u << 20, "place and tag are of different bits");

uint32_t fates_count(uint64_t memory_bytes)
{
    uint32_t count = FATES_OFTEN_MIN;
    while (count < FATES_OFTEN_MAX && count * UINT64_C(2) * MEMORY_PER_FATE <= memory_bytes)
        count *= 2;
    return count;
}

static uint32_t count_of(uint32_t often, enum fates_of of)
{
    return of == FATES_OFTEN ? often : often / FATES_SMALLER;
}

uint64_t fates_bytes(uint32_t often)
{
    uint64_t count = 0;
    for (int of = 0; of < FATES_TABLES; of++)
        count += count_of(often, (enum fates_of)of);
    return count * sizeof(_Atomic uint64_t);
}

int fates_init(struct l1_fates *f, uint32_t often, uint64_t now_ns)
{
    _Atomic uint64_t *words = mem_pages_alloc(fates_bytes(often));
    if (!words)
        return NIGH_ENOMEM;
    for (int of = 0; of < FATES_TABLES; of++) {
        uint32_t count = count_of(often, (enum fates_of)of);
        f->of[of] = (struct fates_table){words, count - 1};
        words += count;
    }
    fates_set_time(f, now_ns);
    return 0;
}

void fates_fini(struct l1_fates *f)
{
    mem_pages_free(f->of[FATES_OFTEN].words, fates_bytes((uint32_t)f->of[FATES_OFTEN].mask + 1));
}

/* ---- what others call ---- */

void l1_note_fate(struct l1 *l1, const struct l1_key *key, enum l1_fate fate, uint16_t who)
{
    fates_set_time(l1->fates, clock_coarse_ns(l1->env->clock));
    fates_note(l1->fates, key->hash, fate, who);
}

/* Returns how long ago the tick of a word began: so the time of an event is the same whenever it is
 * asked for. */
static uint64_t ago_ns(uint64_t word, uint64_t now_ns)
{
    uint32_t now = (uint32_t)(now_ns >> FATE_TICK_SHIFT);
    uint32_t ticks = (now - FIELD(word, FATE_TIME_SHIFT, FATE_TIME_BITS)) & FATE_TICK_LAST;
    if (ticks > FATE_TICK_LAST - FATE_TICKS_AHEAD)
        return 0;
    return ((uint64_t)ticks << FATE_TICK_SHIFT) + (now_ns & ((1u << FATE_TICK_SHIFT) - 1));
}

/* Takes what a word says, if it tells of the key. */
static void take(uint64_t word, uint64_t hash, uint64_t now_ns, struct l1_fated *ret)
{
    enum l1_fate fate = (enum l1_fate)FIELD(word, 0, FATE_FATE_BITS);
    if (((word ^ hash) >> FATE_TAG_SHIFT) != 0 || fate == L1_FATE_NONE)
        return;
    *ret = (struct l1_fated){
        .fate = fate,
        .who = (uint16_t)FIELD(word, FATE_WHO_SHIFT, FATE_WHO_BITS),
        .ago_ns = ago_ns(word, now_ns),
    };
}

void l1_note_change(struct l1 *l1, const struct l1_key *key, uint16_t who, uint64_t at_ns)
{
    struct l1_fates *f = l1->fates;
    uint64_t now_ns = clock_coarse_ns(l1->env->clock);
    uint64_t ago = at_ns ? now_ns - u64_min(at_ns, now_ns) : 0;
    struct l1_fated noted = {.fate = L1_FATE_NONE};
    fates_set_time(f, now_ns);
    take(atomic_load_explicit(fates_place(&f->of[FATES_RARE], key->hash), memory_order_relaxed),
         key->hash, now_ns, &noted);
    if (noted.fate == L1_FATE_NONE || noted.ago_ns >= ago)
        fates_note_at(f, FATES_RARE, key->hash, L1_FATE_CHANGED, who, fates_when(now_ns - ago));
}

/* Whether it ends a load: then it comes after the change that the load has followed. */
static bool ends_load(enum l1_fate fate)
{
    return fate == L1_FATE_REFUSED_POLICY || fate == L1_FATE_REFUSED_FULL ||
           fate == L1_FATE_FAILED;
}

/* Returns the younger of two causes; where they are as old, the first one. */
static const struct l1_fated *younger(const struct l1_fated *a, const struct l1_fated *b)
{
    bool second = b->fate != L1_FATE_NONE && (a->fate == L1_FATE_NONE || b->ago_ns < a->ago_ns);
    return second ? b : a;
}

/* Returns the last one. A change is noted first, and then what became of the new value: but the
 * clock is coarse, and all else may have come before the change. */
static struct l1_fated last_of(const struct l1_fated of[FATES_TABLES])
{
    const struct l1_fated *a = &of[FATES_OFTEN], *b = &of[FATES_NO_VALUE], *rare = &of[FATES_RARE];
    const struct l1_fated *often = ends_load(b->fate) ? younger(b, a) : younger(a, b);
    return *(ends_load(often->fate) ? younger(often, rare) : younger(rare, often));
}

/* Returns how far back the key's place reaches: what had become of the key since its word was
 * written would have taken that word's place. */
static uint64_t reach_ns(uint64_t word, uint64_t now_ns)
{
    return word ? ago_ns(word, now_ns) : UINT64_MAX;
}

struct l1_fated l1_fate_of(const struct l1 *l1, const struct l1_key *key)
{
    const struct l1_fates *f = l1->fates;
    uint64_t now_ns = clock_coarse_ns(l1->env->clock);
    struct l1_fated of[FATES_TABLES] = {{.fate = L1_FATE_NONE}};
    uint64_t words[FATES_TABLES];
    for (int i = 0; i < FATES_TABLES; i++) {
        words[i] = atomic_load_explicit(fates_place(&f->of[i], key->hash), memory_order_relaxed);
        take(words[i], key->hash, now_ns, &of[i]);
        of[i].absent = i == FATES_NO_VALUE && of[i].fate != L1_FATE_FAILED;
    }
    struct l1_fated last = last_of(of);
    last.reach_ns = reach_ns(words[FATES_OFTEN], now_ns);
    last.no_value_reach_ns = reach_ns(words[FATES_NO_VALUE], now_ns);
    last.rare_reach_ns = reach_ns(words[FATES_RARE], now_ns);
    last.forgotten = last.fate >= L1_FATE_RARE && of[FATES_OFTEN].fate == L1_FATE_NONE &&
                     last.reach_ns < last.ago_ns;
    return last;
}

uint32_t l1_fates_kept(const struct l1 *l1)
{
    return (uint32_t)l1->fates->of[FATES_OFTEN].mask + 1;
}
