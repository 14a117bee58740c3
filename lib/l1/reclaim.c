/* SPDX-License-Identifier: MIT */
/*
 * Limbo: retiring, freeing, and the passes of the reclaimer between the two.
 *
 *     a pass:   visit the marked shards: free ready entries of idle ones, list retired ones
 *               --> grace period --> judge all at once --> file them, shard by shard
 *
 * Ordering: the grace period puts every section that could have found an entry before the judging;
 * references are loaded with acquire (pair(entry.refs)), pin slots too (pair(pin.slot)), so the
 * last use of the entry comes before it is freed. The verdict reaches the writer that frees through
 * the shard lock.
 *
 * Of 65,536 shards few have anything retired. So a writer that retires an entry marks the shard,
 * once until it is visited, and a pass visits the marked ones. A shard stays marked while it has
 * ready entries, or an allowance on limbo's count: this is given back when a pass finds that no
 * writer has come. Shards with held entries are noted in a set of their own, for they are looked at
 * less often.
 *
 * Lists whose grace period is running, or over, are changed by reclaimers only, one at a time. So
 * an entry is put into the batch before the grace period, when its list is at hand anyway, and is
 * filed after it: by then the ring may have been moved, but the entry has the same slot.
 */
#include "l1/reclaim.h"

#include "l1/pin.h"
#include "l1/room.h"
#include "l1/shrink.h"

/* Ready entries that a writer frees on its way. One is what it retires itself: the block that it
 * takes is then the one that it has just given back, and the allocator is not asked. With more, it
 * would give blocks to the allocator in one phase and fetch them again in the next. */
#define FREE_ONE 1u
#define FREE_MANY 8u

/* Ready entries looked at for one that is as large as a new value: where a fourth of the values
 * have another size than the rest, every third put would find the wrong one first. */
#define READY_LOOKS 4u

/* Entries freed under one hold of a shard's lock: more overflow the allocator's cache. */
#define FREE_PER_HOLD 128u

/* Entries listed, or filed, under one hold: a shrink evicts thousands in each of some shards, and a
 * put would wait for all of them (200 us at 16,384). Then the next of up to ERRANDS_MAX shards has
 * its turn: a lock that is left and taken again at once does not go to the thread that waits for
 * it. */
#define PER_HOLD 256u
#define ERRANDS_MAX 8u

/* A shard from which so few were retired, and to which no writer has come meanwhile, is seldom
 * written: the reclaimer frees them while it is there, rather than come again for it. */
#define FEW 4u

/* Bytes in limbo at which the next pass begins at once. Memory that waits there longer has left
 * every cache when it is written again: a pass for each half MiB keeps it in a core's own. But a
 * pass looks at all pins: for each 4,096 slots, which take some 10 us, the bound is as much again.
 * Values of 10 kB at 50,000 puts/s would otherwise have 1,000 passes a second. */
#define MUCH_MAX_BYTES (512u * 1024)
#define MUCH_MAX_SLOTS 4096u

/* The next pass frees what writers left of the one before; and pins are released without a word to
 * the reclaimer. Entries that stay held are looked at less and less often: each look is at all pins
 * of the process. */
#define PASS_AGAIN_NS (20 * NS_PER_MS)
#define HELD_AGAIN_MAX_NS NS_PER_S

/* Shards visited in a pass that are not marked, by turns. */
#define VISITS_IN_TURN 16u

/* A shard's allowance on limbo's count, so that writers of different shards need not write one line
 * at each put. All allowances that are not used are together never more than such a share of
 * limbo. */
#define ALLOWANCE_SHARE 32u
#define ALLOWANCE_MAX_BYTES 4096u

/* ---- where shards are noted ---- */

size_t reclaim_sets_bytes(uint32_t shards)
{
    return 3 * shard_set_bytes(shards);
}

void reclaim_init_sets(struct l1 *l1, void *zeroed)
{
    uint32_t shards = l1->shard_mask + 1u;
    struct shard_set *sets[] = {&l1->reclaim.marked, &l1->reclaim.held, &l1->reclaim.left};
    char *at = zeroed;
    for (size_t i = 0; i < ARRAY_COUNT(sets); i++)
        shard_set_init(sets[i], at + i * shard_set_bytes(shards), shards);
}

/* ---- retiring ---- */

void reclaim_set_limbo(struct l1 *l1, uint64_t cap_bytes)
{
    uint64_t shards = l1->shard_mask + 1u;
    uint64_t allowance = u64_min(cap_bytes / (2 * ALLOWANCE_SHARE) / shards, ALLOWANCE_MAX_BYTES);
    /* A shard may have two allowances, both not used: limbo_sub_locked(). */
    uint64_t slots = l1_limit(&l1->reclaim.slots);
    uint64_t most = MUCH_MAX_BYTES * (1 + slots / MUCH_MAX_SLOTS) + 2 * allowance * shards;
    uint64_t much = u64_min(cap_bytes / 2, most);
    atomic_store_explicit(&l1->limbo_cap_bytes, cap_bytes, memory_order_relaxed);
    atomic_store_explicit(&l1->limbo_allowance_bytes, allowance, memory_order_relaxed);
    atomic_store_explicit(&l1->limbo_much_bytes, much, memory_order_relaxed);
}

uint64_t reclaim_waiting_bytes(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->limbo, memory_order_relaxed) +
           atomic_load_explicit(&l1->aside, memory_order_relaxed);
}

/* Count retired bytes, from the shard's allowance where it suffices: a shard that retires as much
 * as it frees does not touch the count of all. */
static void limbo_add_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    if (NIGH_LIKELY(s->limbo_spare_bytes >= bytes)) {
        s->limbo_spare_bytes -= bytes;
        return;
    }
    uint64_t more = l1_limit(&l1->limbo_allowance_bytes) + bytes - s->limbo_spare_bytes;
    uint64_t before = atomic_fetch_add_explicit(&l1->limbo, more, memory_order_relaxed);
    uint64_t much = l1_limit(&l1->limbo_much_bytes);
    s->limbo_spare_bytes += more - bytes;
    if (before == 0 || (before < much && before + more >= much))
        s->poke = true;
}

static void limbo_sub(struct l1 *l1, uint64_t bytes)
{
    atomic_fetch_sub_explicit(&l1->limbo, bytes, memory_order_relaxed);
}

static void limbo_return_spare_locked(struct l1 *l1, struct l1_shard *s)
{
    limbo_sub(l1, s->limbo_spare_bytes);
    s->limbo_spare_bytes = 0;
}

static void limbo_sub_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    s->limbo_spare_bytes += bytes;
    if (s->limbo_spare_bytes > 2 * l1_limit(&l1->limbo_allowance_bytes))
        limbo_return_spare_locked(l1, s);
}

/* Tell the reclaimer to visit the shard: once, until it has come. */
static void mark_locked(struct l1 *l1, struct l1_shard *s)
{
    if (NIGH_LIKELY(s->marked))
        return;
    s->marked = true;
    shard_set_add(&l1->reclaim.marked, (uint32_t)(s - l1->shards));
}

/* Mark a shard that has something to do although nothing is retired there. */
static void mark_if_busy_locked(struct l1 *l1, struct l1_shard *s)
{
    if (s->ready.head != RING_NONE || s->limbo_spare_bytes)
        mark_locked(l1, s);
}

void reclaim_retire_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    rcu_retire_mark();
    ring_push(&s->ring, &s->retired, slot);
    mark_locked(l1, s);
    limbo_add_locked(l1, s, bytes);
}

void reclaim_set_aside_locked(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    rcu_retire_mark();
    ring_push(&s->ring, &s->aside, slot);
    mark_locked(l1, s);
    if (atomic_fetch_add_explicit(&l1->aside, bytes, memory_order_relaxed) == 0)
        s->poke = true;
}

void reclaim_retire_table_locked(struct l1 *l1, struct l1_shard *s, struct l1_table *t)
{
    rcu_retire_mark();
    t->next = s->retired_tables;
    s->retired_tables = t;
    mark_locked(l1, s);
    limbo_add_locked(l1, s, t->charged_bytes);
}

/* ---- freeing ---- */

static void free_ready_locked(struct l1 *l1, struct l1_shard *s, uint32_t most)
{
    uint64_t bytes = 0;
    for (; most && s->ready.head != RING_NONE; most--) {
        uint32_t slot = ring_pop(&s->ring, &s->ready);
        struct l1_entry *e = ring_entry(&s->ring, slot);
        reclaim_prefetch_ready_locked(s);
        bytes += entry_charge(l1, e);
        entry_free(l1, s->cache, e);
        ring_give(&s->ring, slot);
    }
    if (bytes) {
        limbo_sub_locked(l1, s, bytes);
        room_give_locked(l1, s, bytes);
    }
}

/* Moves the one that it finds to the front. */
bool reclaim_find_ready_behind_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    uint32_t before = s->ready.head;
    for (uint32_t looks = 1; looks < READY_LOOKS; looks++) {
        uint32_t slot = ring_next(&s->ring, before);
        if (slot == RING_NONE)
            return false;
        if (reclaim_suits(l1, ring_entry(&s->ring, slot), bytes)) {
            ring_to_front(&s->ring, &s->ready, before);
            return true;
        }
        before = slot;
    }
    return false;
}

struct l1_entry *reclaim_recycle_locked(struct l1 *l1, struct l1_shard *s, uint64_t bytes)
{
    uint32_t slot;
    struct l1_entry *e = reclaim_exchange_locked(s, &slot);
    ring_give(&s->ring, slot);
    limbo_sub_locked(l1, s, bytes);
    return e;
}

void reclaim_free_some_locked(struct l1 *l1, struct l1_shard *s)
{
    s->freeing = true;
    if (s->ready.head != RING_NONE)
        free_ready_locked(l1, s, NIGH_UNLIKELY(reclaim_much_waits(l1)) ? FREE_MANY : FREE_ONE);
}

/* Returns whether there is more. */
static bool free_ready(struct l1 *l1, struct l1_shard *s)
{
    l1_shard_lock(s);
    free_ready_locked(l1, s, FREE_PER_HOLD);
    bool more = s->ready.head != RING_NONE;
    limbo_return_spare_locked(l1, s);
    l1_shard_unlock(l1, s);
    return more;
}

/* Frees in some shards by turns until they have no more ready entries, then in the next ones. */
void reclaim_free_all_ready(struct l1 *l1)
{
    for (uint32_t first = 0; first <= l1->shard_mask; first += ERRANDS_MAX) {
        bool more = true;
        while (more) {
            more = false;
            for (uint32_t i = first; i < first + ERRANDS_MAX && i <= l1->shard_mask; i++)
                more |= free_ready(l1, &l1->shards[i]);
        }
    }
}

/* Free tables whose grace period is over, under no shard's lock: a large one takes a while to walk
 * and to unmap. */
static void free_tables(struct l1 *l1)
{
    struct l1_table *t = l1->reclaim.waiting_tables;
    l1->reclaim.waiting_tables = NULL;
    while (t) {
        struct l1_table *next = t->next;
        uint64_t bytes = t->charged_bytes;
        table_destroy(l1->mem, t);
        limbo_sub(l1, bytes);
        room_return(l1, bytes);
        t = next;
    }
}

/* ---- filing ---- */

static struct l1_list *list_of(struct l1_shard *s, enum judge_origin origin)
{
    switch (origin) {
    case FROM_ASIDE: return &s->aside_waiting;
    case FROM_HELD: return &s->held_waiting;
    default: return &s->waiting;
    }
}

static void uncount(struct l1 *l1, struct l1_shard *s, enum judge_origin origin, uint64_t bytes)
{
    switch (origin) {
    case FROM_ASIDE:
        atomic_fetch_sub_explicit(&l1->aside, bytes, memory_order_relaxed);
        break;
    case FROM_HELD: s->held_bytes -= bytes; break;
    default: limbo_sub_locked(l1, s, bytes); break;
    }
}

/* File one entry as judged: held, ready, or freed here. Only limbo's entries become ready; limbo
 * does not count those that were aside or held. */
static void file_one_locked(struct l1 *l1, struct l1_shard *s, const struct judged *j)
{
    uint32_t slot = ring_pop(&s->ring, list_of(s, j->origin));
    NIGH_DCHECK(slot == j->slot);
    uint64_t bytes = entry_charge(l1, j->entry);
    if (!j->held && j->origin == FROM_LIMBO) {
        ring_push(&s->ring, &s->ready, slot);
        return;
    }
    uncount(l1, s, j->origin, bytes);
    l1->reclaim.held_count += (uint64_t)j->held - (j->origin == FROM_HELD);
    if (j->held) {
        s->held_bytes += bytes;
        ring_push(&s->ring, &s->held, slot);
    } else {
        entry_free(l1, s->cache, j->entry);
        ring_give(&s->ring, slot);
        room_give_locked(l1, s, bytes);
    }
}

/* Free the few ready entries, but leave the last of limbo's count for the next pass to give back: a
 * writer that counts the first bytes pokes the reclaimer at once, and it would come for each of
 * them. */
static void free_few_locked(struct l1 *l1, struct l1_shard *s)
{
    free_ready_locked(l1, s, FREE_PER_HOLD);
    if (s->ready.head == RING_NONE && l1_limit(&l1->limbo) > s->limbo_spare_bytes)
        limbo_return_spare_locked(l1, s);
}

/* File a run: entries of one shard and origin, the first of their list. As a rule none of them is
 * held: then their slots and heads, which lie in the caches of the threads that retired them and
 * will free them, are left alone. */
static void file_run_locked(struct l1 *l1, struct l1_shard *s, const struct judged *run,
                            uint32_t count)
{
    bool held = false;
    for (uint32_t i = 0; i < count; i++)
        held |= run[i].held;
    if (run->origin == FROM_LIMBO && !held) {
        ring_move_front(&s->ring, &s->waiting, run[count - 1].slot, &s->ready);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        file_one_locked(l1, s, &run[i]);
}

static uint32_t run_length(const struct batch *b, uint32_t first)
{
    const struct judged *run = &b->entries[first];
    uint32_t n = 1;
    while (n < PER_HOLD && first + n < b->count && run[n].shard == run->shard &&
           run[n].origin == run->origin)
        n++;
    return n;
}

static void prefetch_shard(const struct l1_shard *s)
{
    const char *at = (const char *)s;
    for (size_t line = 0; line < offsetof(struct l1_shard, policy); line += CACHE_LINE_BYTES)
        __builtin_prefetch(at + line, 1);
}

/* File as many entries of one shard as one hold allows. Returns where the next begin in the
 * batch. */
static uint32_t file_shard(struct l1 *l1, const struct batch *b, uint32_t first)
{
    uint32_t index = b->entries[first].shard;
    struct l1_shard *s = &l1->shards[index];
    uint32_t at = first;
    l1_shard_lock(s);
    bool idle = !s->freeing;
    while (at < b->count && b->entries[at].shard == index && at - first < PER_HOLD) {
        uint32_t count = run_length(b, at);
        file_run_locked(l1, s, &b->entries[at], count);
        at += count;
    }
    if (at < b->count)
        prefetch_shard(&l1->shards[b->entries[at].shard]);
    if (idle && at - first <= FEW)
        free_few_locked(l1, s);
    mark_if_busy_locked(l1, s);
    if (s->held.head != RING_NONE)
        shard_set_add(&l1->reclaim.held, index);
    l1_shard_unlock(l1, s);
    return at;
}

static void file_batch(struct l1 *l1, struct batch *b)
{
    for (uint32_t at = 0; at < b->count;)
        at = file_shard(l1, b, at);
    b->count = 0;
}

/* ---- a pass ---- */

/* Work that is left in a visited shard: entries to be listed for the judge, ready ones to be
 * freed. */
struct errand {
    uint32_t index;
    uint32_t slot; /* the next to be listed */
    uint8_t origin; /* JUDGE_ORIGINS: all is listed */
    bool frees;
};

/* Shards that are visited by turns: see PER_HOLD. */
struct errands {
    uint32_t count;
    struct errand at[ERRANDS_MAX];
};

static void errand_begin_locked(struct errand *todo, struct l1_shard *s, uint32_t index,
                                enum judge_origin origin)
{
    *todo = (struct errand){
        .index = index, .slot = list_of(s, origin)->head, .origin = (uint8_t)origin};
}

/* Put entries into the batch, while it has room and not too many under one hold. An entry stays in
 * its list, which only a reclaimer changes, and in its slot: a ring may be moved meanwhile, but
 * nothing within it. */
static void list_some_locked(struct l1 *l1, struct l1_shard *s, struct errand *todo)
{
    struct batch *b = &l1->reclaim.batch;
    uint32_t left = PER_HOLD;
    while (todo->origin < JUDGE_ORIGINS) {
        for (; todo->slot != RING_NONE && left && !batch_is_full(b); left--) {
            batch_add(b, (struct judged){.entry = ring_entry(&s->ring, todo->slot),
                                         .slot = todo->slot,
                                         .shard = (uint16_t)todo->index,
                                         .origin = todo->origin});
            todo->slot = ring_next(&s->ring, todo->slot);
        }
        if (todo->slot != RING_NONE && left) { /* the rest is for another batch */
            shard_set_add(&l1->reclaim.left, todo->index);
            todo->origin = JUDGE_ORIGINS;
        } else if (todo->slot != RING_NONE) {
            return;
        } else if (++todo->origin < JUDGE_ORIGINS) {
            todo->slot = list_of(s, (enum judge_origin)todo->origin)->head;
        }
    }
}

/* Returns whether the errand is done. */
static bool run_errand(struct l1 *l1, struct errand *todo)
{
    struct l1_shard *s = &l1->shards[todo->index];
    l1_shard_lock(s);
    list_some_locked(l1, s, todo);
    if (todo->frees) {
        free_ready_locked(l1, s, FREE_PER_HOLD);
        limbo_return_spare_locked(l1, s);
        todo->frees = s->ready.head != RING_NONE;
    }
    l1_shard_unlock(l1, s);
    return todo->origin == JUDGE_ORIGINS && !todo->frees;
}

static void run_errands(struct l1 *l1, struct errands *errands)
{
    while (errands->count)
        for (uint32_t i = 0; i < errands->count;) {
            if (run_errand(l1, &errands->at[i]))
                errands->at[i] = errands->at[--errands->count];
            else
                i++;
        }
}

/* Note the rest of a visit for which one hold did not suffice; enough of them are run together. */
static void add_errand(struct l1 *l1, struct errands *errands, const struct errand *todo)
{
    if (todo->origin == JUDGE_ORIGINS && !todo->frees)
        return;
    errands->at[errands->count++] = *todo;
    if (errands->count == ERRANDS_MAX)
        run_errands(l1, errands);
}

static void begin_grace_tables_locked(struct l1 *l1, struct l1_shard *s)
{
    while (s->retired_tables) {
        struct l1_table *t = s->retired_tables;
        s->retired_tables = t->next;
        t->next = l1->reclaim.waiting_tables;
        l1->reclaim.waiting_tables = t;
    }
}

/* Returns whether anything has to wait for a grace period now. */
static bool begin_grace_locked(struct l1 *l1, struct l1_shard *s)
{
    s->waiting = s->retired;
    s->retired = L1_LIST_EMPTY;
    s->aside_waiting = s->aside;
    s->aside = L1_LIST_EMPTY;
    begin_grace_tables_locked(l1, s);
    return s->waiting.head != RING_NONE || s->aside_waiting.head != RING_NONE ||
           l1->reclaim.waiting_tables;
}

static void count_entries_locked(struct l1 *l1, struct l1_shard *s)
{
    l1->reclaim.entries_sum += (uint64_t)s->entries - s->entries_counted;
    s->entries_counted = s->entries;
}

/* Visit a marked shard before the grace period. If no writer has come since the last pass, its
 * ready entries wait in vain: they are freed. Returns whether anything has to wait for a grace
 * period. */
static bool begin_visit(struct l1 *l1, uint32_t index, struct errands *errands)
{
    struct errand errand;
    struct l1_shard *s = &l1->shards[index];
    l1_shard_lock(s);
    bool frees = !s->freeing || reclaim_much_waits(l1);
    s->freeing = false;
    s->marked = false;
    if (frees) {
        free_ready_locked(l1, s, FREE_PER_HOLD);
        limbo_return_spare_locked(l1, s);
    }
    count_entries_locked(l1, s);
    bool waits = begin_grace_locked(l1, s);
    errand_begin_locked(&errand, s, index, FROM_LIMBO);
    list_some_locked(l1, s, &errand);
    errand.frees = frees && s->ready.head != RING_NONE;
    mark_if_busy_locked(l1, s);
    l1_shard_unlock(l1, s);
    add_errand(l1, errands, &errand);
    return waits;
}

/* Mark some shards by turns, so that their entries are counted: those in which nothing is retired
 * are not visited otherwise. */
static void mark_in_turn(struct l1 *l1)
{
    for (uint32_t n = 0; n < VISITS_IN_TURN && n <= l1->shard_mask; n++)
        shard_set_add(&l1->reclaim.marked, l1->reclaim.turn++ & l1->shard_mask);
}

static bool begin_pass(struct l1 *l1)
{
    struct errands errands = {.count = 0};
    bool waiting = false;
    uint32_t index, next;
    mark_in_turn(l1);
    struct shard_walk walk = shard_walk_begin(&l1->reclaim.marked);
    while (shard_walk_next(&walk, &index)) {
        if (shard_walk_peek(&walk, &next))
            prefetch_shard(&l1->shards[next]);
        waiting |= begin_visit(l1, index, &errands);
    }
    run_errands(l1, &errands);
    uint64_t mean = l1->reclaim.entries_sum / (l1->shard_mask + 1u);
    atomic_store_explicit(&l1->entries_mean, (uint32_t)mean, memory_order_relaxed);
    return waiting;
}

/* List all held entries, to be judged again. */
static void look_at_held(struct l1 *l1)
{
    struct errands errands = {.count = 0};
    struct errand errand;
    uint32_t index;
    struct shard_walk walk = shard_walk_begin(&l1->reclaim.held);
    while (shard_walk_next(&walk, &index)) {
        struct l1_shard *s = &l1->shards[index];
        l1_shard_lock(s);
        s->held_waiting = s->held;
        s->held = L1_LIST_EMPTY;
        errand_begin_locked(&errand, s, index, FROM_HELD);
        list_some_locked(l1, s, &errand);
        l1_shard_unlock(l1, s);
        add_errand(l1, &errands, &errand);
    }
    run_errands(l1, &errands);
}

/* Fill the batch with what did not fit before. Returns whether there was any. */
static bool list_left(struct l1 *l1)
{
    struct errands errands = {.count = 0};
    struct errand errand;
    uint32_t index;
    struct shard_walk walk = shard_walk_begin(&l1->reclaim.left);
    while (!batch_is_full(&l1->reclaim.batch) && shard_walk_next(&walk, &index)) {
        struct l1_shard *s = &l1->shards[index];
        l1_shard_lock(s);
        errand_begin_locked(&errand, s, index, FROM_LIMBO);
        list_some_locked(l1, s, &errand);
        l1_shard_unlock(l1, s);
        add_errand(l1, &errands, &errand);
    }
    run_errands(l1, &errands);
    shard_walk_end(&walk);
    return l1->reclaim.batch.count > 0;
}

/* Fit limbo's bounds to the number of pin slots, if that has changed much: see MUCH_MAX_BYTES. */
static void note_slots(struct l1 *l1)
{
    uint64_t slots = l1->reclaim.batch.slots_seen;
    if (slots / MUCH_MAX_SLOTS == l1_limit(&l1->reclaim.slots) / MUCH_MAX_SLOTS)
        return;
    atomic_store_explicit(&l1->reclaim.slots, slots, memory_order_relaxed);
    pthread_mutex_lock(&l1->shrink.lock); /* or a new cap could be overwritten by the old one */
    reclaim_set_limbo(l1, l1_limit(&l1->limbo_cap_bytes));
    pthread_mutex_unlock(&l1->shrink.lock);
}

/* Plan the next look at held entries: soon after one that freed an eighth and so was worth its
 * time, else after twice the last delay. */
static void plan_look(struct l1_reclaim *r, uint64_t now_ns, uint64_t looked_at)
{
    uint64_t freed = looked_at - u64_min(looked_at, r->held_count);
    bool soon = 8 * freed >= looked_at;
    r->held_delay_ns = soon ? PASS_AGAIN_NS : u64_min(2 * r->held_delay_ns, HELD_AGAIN_MAX_NS);
    r->held_look_ns = now_ns + r->held_delay_ns;
}

/* When to come again for what is in limbo, and for what is held. */
static uint64_t next_pass_ns(const struct l1 *l1, uint64_t now_ns)
{
    uint64_t waiting = reclaim_waiting_bytes(l1);
    uint64_t next_ns = CLOCK_NEVER_NS;
    if (waiting)
        next_ns = waiting >= l1_limit(&l1->limbo_much_bytes) ? now_ns : now_ns + PASS_AGAIN_NS;
    return l1->reclaim.held_count ? u64_min(next_ns, l1->reclaim.held_look_ns) : next_ns;
}

/* Do a table's part of a pass before the grace period. Returns whether anything has to wait for
 * it. */
static bool begin_table(struct l1 *l1, uint64_t now_ns)
{
    struct l1_reclaim *r = &l1->reclaim;
    shrink_begin(l1);
    r->waits = begin_pass(l1);
    r->held_before = r->held_count;
    r->looks = !r->waits || !r->held_count || now_ns >= r->held_look_ns;
    if (r->looks)
        look_at_held(l1);
    return r->waits;
}

/* Do a table's part of a pass after the grace period. Returns when to come again. */
static uint64_t end_table(struct l1 *l1, uint64_t now_ns)
{
    struct l1_reclaim *r = &l1->reclaim;
    free_tables(l1);
    do {
        batch_judge(&r->batch);
        file_batch(l1, &r->batch);
    } while (list_left(l1));
    note_slots(l1);
    if (r->looks)
        plan_look(r, now_ns, r->held_before);
    uint64_t shrink_ns = shrink_end(l1, r->waits);
    r->looks = r->waits = false; /* a table that is made during a pass has not begun it */
    return u64_min(shrink_ns, next_pass_ns(l1, clock_now_ns(l1->env->clock)));
}

/* All tables of a cache wait for one grace period. */
uint64_t l1_reclaim(struct l1 *l1)
{
    uint64_t next_ns = CLOCK_NEVER_NS;
    bool waits = false;
    pthread_mutex_lock(&l1->reclaim_lock);
    uint64_t now_ns = clock_now_ns(l1->env->clock);
    l1->family.renewed = 0;
    for (struct l1 *m = l1; m; m = family_next(m))
        waits |= begin_table(m, now_ns);
    if (waits)
        rcu_wait();
    for (struct l1 *m = l1; m; m = family_next(m))
        next_ns = u64_min(next_ns, end_table(m, now_ns));
    if (family_balance(l1))
        next_ns = now_ns;
    pthread_mutex_unlock(&l1->reclaim_lock);
    return next_ns;
}

uint64_t l1_pins(const struct l1 *l1)
{
    uint64_t sum = 0;
    for (; l1; l1 = family_next(l1))
        sum += pin_count_of(l1->id);
    return sum;
}

void l1_pins_read(struct l1 *l1, uint64_t *ret_pins, uint64_t *ret_bytes)
{
    struct l1_gauges g;
    l1_gauges_read(l1, L1_GAUGE_PINNED, &g);
    *ret_pins = l1_pins(l1);
    *ret_bytes = g.pinned_bytes;
}

void l1_set_reclaim_poke(struct l1 *l1, void (*poke)(void *arg), void *arg)
{
    l1->poke_arg = arg;
    l1->poke = poke;
}
