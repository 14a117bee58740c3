/* SPDX-License-Identifier: MIT */
/*
 * `lru`: the entry hit least recently goes first, by generations.
 *
 * A hit stores the generation of now in its entry, if it is not there already: at most one store
 * per entry and generation, and none that is ordered. A hand goes round the ring, which is in order
 * of arrival, and takes an entry whose generation is AGE_MAX behind or more; all others stay where
 * they are. Time is how far the hands go: a generation is a quarter of a round, on average over all
 * shards. So it runs as fast as victims are needed and hard to find, and nothing has to be tuned.
 * Where nine of ten are hot the hand goes ten times as far for a victim, and time runs ten times as
 * fast. (While a shard fills and the hand rests, a quarter more entries are a generation, too.)
 *
 * Why not a bit or a counter and second chances (CLOCK, which this was). The hand then knows that
 * an entry was hit in the last round, but not when: an entry that was hot and is no more leaves up
 * to three rounds late: 5 points below exact LRU where a working set moves on, by simulation, and
 * 20 by bytes, as measured. Here rounds are short against an entry's life, and the last hit is
 * known to a quarter of one: an entry leaves 12 to 16 quarters after its last hit.
 *
 * An entry that was never hit counts as older, by up to two rounds, if most of the last victims had
 * never been hit either: then newcomers are worth less than the entries before them, and exact LRU
 * pays for waiting for them: 0.7 points on average on thirty traces and sizes, 6 where a third of
 * what is asked for is a scan, 30 and more in a loop that does not quite fit. If few of them are,
 * as where each key is asked for again and then never more, newcomers get the same time: as a
 * constant, the same handicap would cost 2 to 9 points there. (All by simulation.)
 *
 * Where the hand stops the next victim often is already. Its key is hashed then, and the bucket in
 * which it lies, for which its removal would wait, is on its way until the next insert.
 *
 * Cost: 2 to 6 looks per victim, one line from memory each, which is asked for ahead; at most
 * LOOKS_MAX, when nearly all is hot, and then the one of the oldest generation goes. A list in
 * order of use would need a write to shared memory on every hit, and 5 bytes an entry.
 *
 * Sources: F. Corbato, A Paging Experiment with the Multics System (1968); R. Carr, J. Hennessy,
 * WSCLOCK (1981), of which this is the clock of virtual time; Linux' multi-generational LRU
 * (Documentation/mm/multigen_lru.rst), whose generations these are.
 */
#include "l1/policy.h"

#include "l1/shard.h"

/* Steps of the hand in the time that a line takes to come from memory. */
#define LOOK_AHEAD 8u

#define QUARTERS 4u            /* generations in a round of the hands */
#define AGE_MAX (3 * QUARTERS) /* three rounds: an entry as old goes at once */

/* Extra age of an entry that was never hit: none while such are 30 % of the victims, all of it from
 * 80 % on. With more than two rounds, newcomers of less than one round would have to go, in no
 * order any more. */
#define NEW_AGE_MAX (2 * QUARTERS)
#define NEVER_HIT_FEW 19661u  /* in 65,536ths */
#define NEW_AGE_STEP 4096u
#define NEVER_HIT_SHARE 64    /* victims that they are averaged over, about */

/* Ages are counted from so many generations ahead of now, so that an entry hit meanwhile is not
 * from a time to come. */
#define AHEAD 16u

/* Entries looked at per victim. A burst of hits on everything must not turn one insert into a walk
 * round the ring under the lock. */
#define LOOKS_MAX 128u

/* A shard's state. Keys: (s) shard lock */
struct lru {
    uint32_t never_hit; /* (s) part of the last victims, in 65,536ths */
    uint32_t hand;      /* (s) next slot to look at */
    uint32_t inserts;   /* (s) since the last quarter of its ring */
    uint32_t next;      /* (s) slot of the next victim; RING_NONE: not known */
    uint64_t next_hash; /* (s) the next victim's */
};

/* The state of all shards. Keys: (a) atomic */
struct lru_common {
    _Atomic uint32_t quarters; /* (a) quarters that all hands have gone */
};

static struct lru *lru_of(struct l1_shard *s)
{
    return s->policy;
}

static _Atomic uint8_t *generation_of(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->hit.generation, memory_order_relaxed);
}

static uint8_t generation_now(const struct l1 *l1)
{
    return atomic_load_explicit(generation_of(l1), memory_order_relaxed);
}

/* Note that a hand has gone a quarter of its ring. With as many quarters as there are shards all
 * entries become a generation older; should two threads do that at once, and one step be lost, then
 * the generation was longer. */
static NIGH_OUTLINED void note_quarter(struct l1 *l1, struct l1_shard *s)
{
    struct lru_common *common = l1->policy_common;
    lru_of(s)->inserts = 0;
    uint32_t quarters =
        atomic_fetch_add_explicit(&common->quarters, 1, memory_order_relaxed) + 1;
    if (quarters & l1->shard_mask)
        return;
    uint8_t next = generation_plus(generation_now(l1), 1);
    atomic_store_explicit(generation_of(l1), next, memory_order_relaxed);
}

/* The hand has come to a slot. Rings grow by 64 slots, so quarters end at multiples of 16, and as a
 * rule there is nothing to divide. */
static inline void note_hand(struct l1 *l1, struct l1_shard *s, uint32_t hand)
{
    lru_of(s)->hand = hand;
    if (hand % (RING_GROUP / QUARTERS) == 0 && hand % (s->ring.capacity / QUARTERS) == 0)
        note_quarter(l1, s);
}

static inline void look_ahead(const struct l1_ring *ring, uint32_t slot)
{
    uint32_t ahead = slot + LOOK_AHEAD < ring->capacity ? slot + LOOK_AHEAD : 0;
    __builtin_prefetch(ring_entry(ring, ahead));
}

/* Returns by how much an entry that was never hit counts as older. */
static uint32_t new_age(const struct lru *lru)
{
    uint32_t part = lru->never_hit;
    uint32_t over = part > NEVER_HIT_FEW ? part - NEVER_HIT_FEW : 0;
    return over < NEW_AGE_MAX * NEW_AGE_STEP ? over / NEW_AGE_STEP : NEW_AGE_MAX;
}

static void note_victim(struct lru *lru, const struct l1_entry *e)
{
    lru->never_hit -= lru->never_hit / NEVER_HIT_SHARE;
    if (entry_spare(e) & GENERATION_NEW)
        lru->never_hit += UINT16_MAX / NEVER_HIT_SHARE;
}

/* What ages are measured by while a victim is sought: time may go on meanwhile. */
struct measure {
    uint8_t ahead;      /* AHEAD generations after now */
    uint32_t new_extra; /* age of an entry that was never hit, beyond that of its birth */
};

static struct measure measure_now(const struct l1 *l1, const struct lru *lru)
{
    return (struct measure){generation_plus(generation_now(l1), AHEAD), new_age(lru)};
}

/* An entry's age beyond that at which it goes: below 0, it stays. */
static int32_t over_age(const struct l1_entry *e, const struct measure *m)
{
    uint8_t hit = entry_spare(e);
    uint32_t age = generation_age(m->ahead, hit) + (hit & GENERATION_NEW ? m->new_extra : 0);
    return (int32_t)age - (int32_t)(AHEAD + AGE_MAX);
}

/* The slot of the entry that the hand finds. */
static uint32_t find_victim(struct l1 *l1, struct l1_shard *s, const struct measure *m)
{
    struct lru *lru = lru_of(s);
    const struct l1_ring *ring = &s->ring;
    uint32_t oldest = RING_NONE;
    int32_t oldest_age = 0;
    uint32_t looks = 0;
    for (uint32_t steps = 0; steps < ring->capacity && looks < LOOKS_MAX; steps++) {
        uint32_t slot = lru->hand < ring->capacity ? lru->hand : 0;
        note_hand(l1, s, slot + 1);
        look_ahead(ring, slot);
        uint64_t word = ring->words[slot];
        if (!ring_is_live(word))
            continue;
        int32_t age = over_age(ring_word_entry(word), m);
        if (age >= 0)
            return slot;
        if (oldest == RING_NONE || age > oldest_age) {
            oldest = slot;
            oldest_age = age;
        }
        looks++;
    }
    if (oldest != RING_NONE)
        lru->hand = oldest + 1; /* the slots after it have their turn */
    return oldest;
}

/* If the next victim is at the hand: prefetch its bucket. */
static void prepare_next_locked(struct l1 *l1, struct l1_shard *s, const struct measure *m)
    REQUIRES(s->lock)
{
    struct lru *lru = lru_of(s);
    uint32_t slot = lru->hand < s->ring.capacity ? lru->hand : 0;
    uint64_t word = s->ring.words[slot];
    lru->next = RING_NONE;
    if (!ring_is_live(word) || over_age(ring_word_entry(word), m) < 0)
        return;
    lru->next = slot;
    lru->next_hash = entry_hash(l1, ring_word_entry(word));
    __builtin_prefetch(table_bucket(shard_table_locked(s), lru->next_hash), 1);
}

static uint32_t lru_victim(struct l1 *l1, struct l1_shard *s, uint64_t *ret_hash)
    REQUIRES(s->lock)
{
    struct lru *lru = lru_of(s);
    struct measure m = measure_now(l1, lru);
    uint32_t slot = find_victim(l1, s, &m);
    if (slot == RING_NONE)
        return slot;
    note_victim(lru, ring_entry(&s->ring, slot));
    if (slot == lru->next)
        *ret_hash = lru->next_hash;
    prepare_next_locked(l1, s, &m);
    return slot;
}

static int lru_init(struct l1 *l1, struct l1_shard *s)
{
    lru_of(s)->next = RING_NONE;
    atomic_store_explicit(generation_of(l1), GENERATION_BIT, memory_order_relaxed);
    return 0;
}

static void lru_insert(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t hash,
                       uint64_t bytes, struct l1_entry *old)
{
    (void)hash;
    (void)bytes;
    if (old)
        return; /* the copy has its generation */
    entry_spare_set(ring_entry(&s->ring, slot), generation_now(l1) | GENERATION_NEW);
    if (++lru_of(s)->inserts > s->entries / QUARTERS)
        note_quarter(l1, s);
}

/* A new value of the key takes the slot over, with the same hash; another key may come to it only
 * after this. */
static void lru_remove(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    (void)l1;
    (void)bytes;
    if (slot == lru_of(s)->next)
        lru_of(s)->next = RING_NONE;
}

const struct l1_policy policy_lru = {
    .name = "lru",
    .model = L1_MODEL_LRU,
    .state_bytes = sizeof(struct lru),
    .common_bytes = sizeof(struct lru_common),
    .init = lru_init,
    .insert = lru_insert,
    .remove = lru_remove,
    .victim = lru_victim,
};
