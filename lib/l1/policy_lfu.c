// SPDX-License-Identifier: MIT
/*
 * `lfu`: a write-free W-TinyLFU (lfu.h) over the slots of a shard's ring.
 *
 * The ring gives an entry its number; here it gets its place in the queues (5 bytes a slot) and its
 * count in the sketch (8 bytes a slot): two arrays, which grow and are cut with the ring. Weights
 * are charged bytes, or 1 where there is a cap on the number of entries (l1.entries). Under a cap
 * of bytes alone a shard's capacity is what it holds when it is asked for a victim: the cap is one
 * for all, and shards borrow.
 *
 * Misses count in the sketch when a loaded value is stored, unless its lifetime is shorter than
 * half the age of main's entries, against which newcomers contest. A key that expires much sooner
 * than it would be evicted misses so often because of its lifetime, not because it is popular, and
 * brings few hits before it ends. One that lives about as long as the others stay is worth about as
 * much as they are; and where it is not held it has nothing but misses to show for it. With 1,000
 * entries, hits in permille (the test 20l1_policy_lfu prints those of the rule that lfu_is_short()
 * is):
 *
 *     misses count of what lives longer than:             that age       half     all count
 *     half of the values live about as long, 10 s         548 - 567    582 - 591  584 - 593
 *     3 in 4 requests never come again, lives of 5 s      202 - 207    203 - 208  187 - 192
 *
 * Reports: entries whose hash is in the shadows' sample count in ENTRY_SAMPLED; a reader that
 * raises such an entry's counter leaves its slot in `reports`, which the next writer feeds to the
 * shadows. That writer also lowers a full counter to one, so that the next hits are reported too:
 * otherwise what is hot in the cache would vanish from the sample, and the shadows would be left
 * with an easier problem than the cache has. Readers may overwrite each other's reports, and a
 * slot may have changed hands: approximate on purpose, there is no order to keep.
 *
 * Source: see lfu.h; that hits may be recorded so sparsely is our own measurement: dropping 90 % of
 * a W-TinyLFU's hit records costs half a point of hit ratio.
 */
#include "l1/policy.h"

#include "l1/room.h"
#include "l1/shadow.h"
#include "l1/shard.h"

/* Reports kept per shard between two writers; more are lost. With 32, a loop over a little more
 * than the cache lost the same keys each time, and the shadows thought that everything fits (-30
 * points). */
#define REPORTS 128u

/* The ages of main's rivals are averaged over about so many, of which one in AGE_EVERY is asked. */
#define RESIDENCE_SHARE 16
#define AGE_EVERY 4

/* Inserts until the next look whether the shadows suit the cache, and until the next try when there
 * was no room for them. */
#define SHADOWS_LOOK 16u
#define SHADOWS_RETRY 1024u

/* A shard's state. Keys: (c) constant after init  (s) shard lock  (a) atomic, relaxed: approximate
 * on purpose */
struct policy_lfu {
    struct lfu core; /* (s) */
    struct l1 *l1;          /* (c) */
    struct l1_shard *shard; /* (c) */
    uint32_t shadows_wait;       /* (s) inserts */
    uint32_t reports_read;       /* (s) */
    bool asked;                  /* (s) for a victim so far: the cache was full */
    uint32_t rivals;             /* (s) seen so far */
    uint64_t residence_ns;       /* (s) how old main's rivals are, on average */
    uint64_t admitted_hash;      /* (s) newcomer that won its contest, to be stored; 0: none */
    _Atomic uint64_t weight;     /* (a) written (s): core's, for all_weight() */
    _Atomic uint32_t reports_next;
    _Atomic uint32_t reports[REPORTS]; /* slots */
};

_Static_assert(LFU_NONE == RING_NONE && LFU_MANY >= L1_VICTIMS_MOST, "nodes are slots");

/* The state of all shards. */
static struct shadows *shadows_of(const struct l1 *l1)
{
    return l1->policy_common;
}

/* ---- entries as nodes ---- */

static struct l1_entry *entry_of(const struct policy_lfu *p, uint32_t slot)
{
    return ring_entry(&p->shard->ring, slot);
}

static uint32_t weight_by(const struct l1 *l1, uint64_t bytes)
{
    return l1->shard_entries_max ? 1 : (uint32_t)bytes;
}

static uint32_t weight_of(const struct l1 *l1, const struct l1_entry *e)
{
    return l1->shard_entries_max ? 1 : (uint32_t)entry_charge(l1, e);
}

static uint64_t slot_hash(void *arg, uint32_t slot)
{
    const struct policy_lfu *p = arg;
    return entry_hash(p->l1, entry_of(p, slot));
}

static uint32_t slot_weight(void *arg, uint32_t slot)
{
    const struct policy_lfu *p = arg;
    return weight_of(p->l1, entry_of(p, slot));
}

static void reset(const struct l1 *l1, struct l1_entry *e, uint32_t freq, uint64_t hash)
{
    entry_freq_set(e, freq, shadows_sampled(shadows_of(l1), hash));
}

static bool slot_harvest(void *arg, uint32_t slot)
{
    const struct policy_lfu *p = arg;
    struct l1_entry *e = entry_of(p, slot);
    uint32_t hits = entry_freq(e);
    if (hits)
        reset(p->l1, e, 0, entry_hash(p->l1, e));
    return hits;
}

static void slot_prefetch(void *arg, uint32_t slot)
{
    const struct policy_lfu *p = arg;
    const char *e = (const char *)entry_of(p, slot);
    __builtin_prefetch(e);
    __builtin_prefetch(e + CACHE_LINE_BYTES); /* the key may end there */
}

/* Unchecked: whoever asks the policy has the shard lock. */
static void slot_prefetch_home(void *arg, uint64_t hash) LOCKS_UNCHECKED
{
    const struct policy_lfu *p = arg;
    __builtin_prefetch(table_bucket(shard_table_locked(p->shard), hash), 1);
}

static const struct lfu_nodes slot_nodes = {slot_hash, slot_weight, slot_harvest, slot_prefetch,
                                            slot_prefetch_home};

static void note_weight(struct policy_lfu *p)
{
    atomic_store_explicit(&p->weight, lfu_weight(&p->core), memory_order_relaxed);
}

/* ---- reports ---- */

static void lfu_report(struct l1_shard *s, const struct l1_entry *e)
{
    struct policy_lfu *p = s->policy;
    uint32_t next = atomic_load_explicit(&p->reports_next, memory_order_relaxed);
    atomic_store_explicit(&p->reports[next % REPORTS], e->slot, memory_order_relaxed);
    atomic_store_explicit(&p->reports_next, next + 1, memory_order_relaxed);
}

/* ---- shadows ---- */

/* A shard's weight, as it was just now. */
static uint64_t weight_in(const struct l1_shard *s)
{
    const struct policy_lfu *p = s->policy;
    return atomic_load_explicit(&p->weight, memory_order_relaxed);
}

/* Weight of the whole cache: what it may hold, or under a cap of bytes what it holds. */
static uint64_t all_weight(const struct l1 *l1)
{
    if (l1->shard_entries_max)
        return (uint64_t)l1->shard_entries_max * (l1->shard_mask + 1u);
    uint64_t sum = 0;
    for (uint32_t i = 0; i <= l1->shard_mask; i++)
        sum += weight_in(&l1->shards[i]);
    return sum;
}

static void feed(struct l1 *l1, const struct shadows_request *r)
{
    if (shadows_feed(shadows_of(l1), r) && !l1->shard_entries_max)
        shadows_resize(shadows_of(l1), all_weight(l1));
}

static void feed_hit(struct l1 *l1, const struct l1_entry *e, uint64_t hash)
{
    uint64_t until_ns = l1_entry_stale_until_ns(e);
    feed(l1, &(struct shadows_request){
                 .hash = hash,
                 .weight = weight_of(l1, e),
                 .hit = true,
                 .now_ns = clock_coarse_ns(l1->env->clock),
                 .until_ns = until_ns,
                 .life_ns = until_ns - (uint64_t)l1_entry_born_ns(e),
             });
}

static void feed_miss(struct l1 *l1, uint64_t hash, uint64_t bytes, uint64_t now_ns,
                      uint64_t until_ns)
{
    feed(l1, &(struct shadows_request){
                 .hash = hash,
                 .weight = weight_by(l1, bytes),
                 .now_ns = now_ns,
                 .until_ns = until_ns,
                 .life_ns = until_ns > now_ns ? until_ns - now_ns : 0,
             });
}

static void feed_report(struct l1 *l1, struct policy_lfu *p, uint32_t slot)
{
    if (slot >= p->shard->ring.capacity || !ring_is_live(p->shard->ring.words[slot]))
        return;
    struct l1_entry *e = entry_of(p, slot);
    uint64_t hash = entry_hash(l1, e);
    if (entry_freq(e) == ENTRY_FREQ_MAX)
        reset(l1, e, 1, hash);
    feed_hit(l1, e, hash);
}

static NIGH_OUTLINED void feed_reports_slow(struct l1 *l1, struct policy_lfu *p, uint32_t next)
{
    if (next - p->reports_read > REPORTS)
        p->reports_read = next - REPORTS;
    for (; p->reports_read != next; p->reports_read++)
        feed_report(l1, p, atomic_load_explicit(&p->reports[p->reports_read % REPORTS],
                                                memory_order_relaxed));
}

static inline void feed_reports(struct l1 *l1, struct policy_lfu *p)
{
    uint32_t next = atomic_load_explicit(&p->reports_next, memory_order_relaxed);
    if (NIGH_UNLIKELY(next != p->reports_read))
        feed_reports_slow(l1, p, next);
}

/* ---- memory ---- */

/* Take charged memory, while a block that it replaces is still used; NULL: no room or no memory.
 * Not from the shard's cache of blocks, where those that a growing shard gives back would stay,
 * uncharged. */
static void *block_take_locked(struct l1 *l1, struct l1_shard *s, size_t bytes) REQUIRES(s->lock)
{
    uint64_t charge = mem_charge_apart(l1->mem, bytes);
    if (!room_take_locked(l1, s, charge))
        return NULL;
    void *block = mem_alloc_apart(l1->mem, bytes);
    if (!block)
        budget_give_locked(l1, s, charge);
    return block;
}

static void block_give_locked(struct l1 *l1, struct l1_shard *s, void *block, size_t bytes)
    REQUIRES(s->lock)
{
    if (!block)
        return;
    mem_free_apart(l1->mem, block, bytes);
    budget_give_locked(l1, s, mem_charge_apart(l1->mem, bytes));
}

static size_t links_size(uint32_t slots)
{
    return slots * sizeof(struct lfu_link);
}

/* Resize the links for so many slots. False: they are as before. */
static bool resize_links_locked(struct l1 *l1, struct l1_shard *s, uint32_t slots) REQUIRES(s->lock)
{
    struct policy_lfu *p = s->policy;
    struct lfu *core = &p->core;
    void *links = room_resize_locked(l1, s, core->links, links_size(core->slots),
                                     links_size(slots));
    if (!links)
        return false;
    core->links = links;
    core->slots = slots;
    return true;
}

static bool grow_sketch_locked(struct l1 *l1, struct l1_shard *s, uint32_t blocks) REQUIRES(s->lock)
{
    struct policy_lfu *p = s->policy;
    struct sketch *sketch = &p->core.sketch;
    void *words = room_resize_locked(l1, s, sketch->words, sketch_bytes(sketch->blocks),
                                     sketch_bytes(blocks));
    if (!words)
        return false;
    sketch_grow(sketch, words, blocks);
    return true;
}

static bool grow_tables_locked(struct l1 *l1, struct l1_shard *s, uint32_t slots) REQUIRES(s->lock)
{
    const struct policy_lfu *p = s->policy;
    uint32_t blocks = sketch_blocks_for(slots);
    if (blocks > p->core.sketch.blocks && !grow_sketch_locked(l1, s, blocks))
        return false;
    return resize_links_locked(l1, s, slots);
}

/* Cut the links and the sketch. If that fails, they are larger than is needed. */
static void cut_tables_locked(struct l1 *l1, struct l1_shard *s, uint32_t slots) REQUIRES(s->lock)
{
    struct policy_lfu *p = s->policy;
    struct sketch *sketch = &p->core.sketch;
    uint32_t before = sketch->blocks;
    if (!resize_links_locked(l1, s, slots))
        return;
    sketch_fold(sketch, sketch_blocks_for(slots));
    void *words = room_resize_locked(l1, s, sketch->words, sketch_bytes(before),
                                     sketch_bytes(sketch->blocks));
    if (words)
        sketch->words = words;
    else
        sketch_grow(sketch, sketch->words, before);
}

/* Fit the links and the sketch to the ring's size. */
static bool fit_tables_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    const struct policy_lfu *p = s->policy;
    uint32_t slots = s->ring.capacity;
    if (slots > p->core.slots)
        return grow_tables_locked(l1, s, slots);
    cut_tables_locked(l1, s, slots);
    return true;
}

static void make_shadows_locked(struct l1 *l1, struct l1_shard *s, uint64_t entries)
    REQUIRES(s->lock)
{
    struct policy_lfu *p = s->policy;
    struct shadows_size size = shadows_size_for(shadows_of(l1), l1->mem, entries, cap_goal(l1));
    if (!size.nodes)
        return; /* the cache is too small: the first choice stays */
    void *block = block_take_locked(l1, s, shadows_bytes(shadows_of(l1), size.nodes));
    if (!block) {
        shadows_claim(shadows_of(l1), 0);
        p->shadows_wait = SHADOWS_RETRY;
        return;
    }
    size_t old_bytes;
    void *old = shadows_move(shadows_of(l1), block, size, all_weight(l1), &old_bytes);
    block_give_locked(l1, s, old, old_bytes);
}

/* Entries of the cache, if all shards were as full as this one. */
static uint64_t entries_like(const struct l1 *l1, const struct policy_lfu *p)
{
    return (p->core.by_count ? p->core.capacity : p->core.count) * (l1->shard_mask + 1u);
}

/* Entries of the cache, by all shards' weight and the mean entry of this one. */
static uint64_t entries_all(const struct l1 *l1, const struct policy_lfu *p)
{
    uint64_t weight = lfu_weight(&p->core);
    if (p->core.by_count || !p->core.count || !weight)
        return entries_like(l1, p);
    return all_weight(l1) / u64_max(weight / p->core.count, 1);
}

/* Make the shadows when the cache is first full, or has a known size, and anew when that has
 * changed much. */
static void keep_shadows_locked(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    struct policy_lfu *p = s->policy;
    if (!p->asked && !p->core.by_count)
        return;
    p->shadows_wait = SHADOWS_LOOK;
    if (NIGH_LIKELY(shadows_suit(shadows_of(l1), entries_like(l1, p))))
        return;
    /* Under a cap of bytes shards borrow from each other: what this one holds says little. */
    uint64_t entries = entries_all(l1, p);
    if (shadows_suit(shadows_of(l1), entries))
        p->shadows_wait = SHADOWS_RETRY;
    else if (shadows_claim(shadows_of(l1), entries))
        make_shadows_locked(l1, s, entries);
}

static bool lfu_prepare(struct l1 *l1, struct l1_shard *s) REQUIRES(s->lock)
{
    struct policy_lfu *p = s->policy;
    if (NIGH_UNLIKELY(p->core.slots != s->ring.capacity) && !fit_tables_locked(l1, s))
        return false;
    if (NIGH_LIKELY(p->shadows_wait))
        p->shadows_wait--;
    else
        keep_shadows_locked(l1, s);
    return true;
}

static uint64_t lfu_bytes(const struct l1 *l1, uint32_t slots)
{
    return mem_array_charge(l1->mem, sketch_bytes(sketch_blocks_for(slots))) +
           mem_array_charge(l1->mem, links_size(slots));
}

static void lfu_fini(struct l1 *l1, struct l1_shard *s)
{
    struct policy_lfu *p = s->policy;
    mem_array_free(l1->mem, p->core.sketch.words, sketch_bytes(p->core.sketch.blocks));
    mem_array_free(l1->mem, p->core.links, links_size(p->core.slots));
}

/* Unchecked: nobody else sees the shard yet. */
static int lfu_init_shard(struct l1 *l1, struct l1_shard *s) LOCKS_UNCHECKED
{
    struct policy_lfu *p = s->policy;
    lfu_init(&p->core, &slot_nodes, p, l1->shard_entries_max != 0);
    p->l1 = l1;
    p->shard = s;
    p->core.capacity = l1->shard_entries_max;
    if (fit_tables_locked(l1, s))
        return 0;
    lfu_fini(l1, s);
    return NIGH_ENOMEM;
}

/* ---- entries come and go ---- */

static bool is_short_lived(const struct policy_lfu *p, const struct l1_entry *e)
{
    return lfu_is_short(l1_entry_stale_until_ns(e) - (uint64_t)l1_entry_born_ns(e),
                        p->residence_ns);
}

static void insert_new(struct l1 *l1, struct policy_lfu *p, uint32_t slot, uint64_t hash,
                       uint32_t weight)
{
    struct l1_entry *e = entry_of(p, slot);
    struct lfu_choice choice = shadows_choice(shadows_of(l1));
    enum lfu_place place = LFU_YOUNG;
    if (p->admitted_hash == hash) {
        place = LFU_PLACED_MAIN;
        p->admitted_hash = 0;
    } else if (lfu_contests_at_once(&p->core, &choice, weight)) {
        place = LFU_NEXT;
    }
    reset(l1, e, 0, hash);
    lfu_insert(&p->core, slot, weight, place);
    if (!p->core.by_count && p->core.capacity < lfu_weight(&p->core))
        p->core.capacity = lfu_weight(&p->core);
    if (!is_short_lived(p, e))
        lfu_note_miss(&p->core, hash);
    lfu_settle(&p->core, &choice);
}

static void lfu_insert_slot(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t hash,
                            uint64_t bytes, struct l1_entry *old)
{
    struct policy_lfu *p = s->policy;
    uint32_t weight = weight_by(l1, bytes);
    feed_reports(l1, p);
    if (old) {
        entry_freq_set(old, 0, false); /* the hits went along, and count once */
        lfu_move(&p->core, slot, weight, old->slot);
    } else {
        insert_new(l1, p, slot, hash, weight);
        if (shadows_sampled(shadows_of(l1), hash))
            feed_miss(l1, hash, bytes, clock_coarse_ns(l1->env->clock),
                      l1_entry_stale_until_ns(entry_of(p, slot)));
    }
    note_weight(p);
}

static void lfu_expect(struct l1_shard *s, uint64_t hash)
{
    const struct policy_lfu *p = s->policy;
    sketch_prefetch(&p->core.sketch, hash);
}

static NIGH_OUTLINED void replace_slow(struct l1 *l1, struct policy_lfu *p, uint32_t slot,
                                       uint64_t before, uint64_t bytes)
{
    feed_reports(l1, p);
    if (before == bytes && !lfu_is_condemned(&p->core, slot))
        return;
    lfu_renew(&p->core, slot, weight_by(l1, before), weight_by(l1, bytes));
    note_weight(p);
}

/* Give a new value the old one's place. In most cases it has the same weight: then there is nothing
 * to do, unless an entry was condemned or reported.
 *
 * The shadows are not told, for a value is replaced where
 *
 *     it was stale        the read that had it refreshed was a hit, and is reported as one
 *     a writer put        that is no read
 *     it fell to a floor  those that have the key have a dead value, and would count it as a hit
 *     it had ended        and was still there: within about a second. In the shadows it has, too
 *
 * The last two are misses, and lost to all shadows alike. They learn of the new value by its next
 * hit, for which those that lack the key load it: of the hits in a life they credit one less. That
 * is much only where a life brings few, and a read comes within a second of its end. */
static void lfu_replace_slot(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t before,
                             uint64_t bytes)
{
    struct policy_lfu *p = s->policy;
    uint32_t next = atomic_load_explicit(&p->reports_next, memory_order_relaxed);
    if (NIGH_UNLIKELY(before != bytes || next != p->reports_read || lfu_has_condemned(&p->core)))
        replace_slow(l1, p, slot, before, bytes);
}

static void lfu_remove_slot(struct l1 *l1, struct l1_shard *s, uint32_t slot, uint64_t bytes)
{
    struct policy_lfu *p = s->policy;
    lfu_remove(&p->core, slot, weight_by(l1, bytes));
    note_weight(p);
}

/* The newcomer has lost its contest: it is not stored, but the request for it counts. So it does
 * where the value lives shortly: the key misses because it is not held, not because it ended. */
static uint32_t refuse(struct l1_shard *s)
{
    struct policy_lfu *p = s->policy;
    struct l1_newcomer *newcomer = &s->newcomer;
    newcomer->verdict = L1_REFUSED;
    lfu_note_miss(&p->core, newcomer->hash);
    return RING_NONE;
}

/* ... for the shadows, too, which are told of it when its lifetime is known. */
static void lfu_refused(struct l1 *l1, uint64_t hash, uint64_t bytes, uint64_t now_ns,
                        uint64_t until_ns)
{
    if (shadows_sampled(shadows_of(l1), hash))
        feed_miss(l1, hash, bytes, now_ns, until_ns);
}

static void lfu_gone(struct l1 *l1, uint64_t hash)
{
    if (NIGH_UNLIKELY(shadows_sampled(shadows_of(l1), hash)))
        shadows_remove(shadows_of(l1), hash);
}

static void note_age(struct policy_lfu *p, const struct l1_entry *e)
{
    int64_t now_ns = (int64_t)clock_coarse_ns(p->l1->env->clock);
    int64_t born_ns = l1_entry_born_ns(e);
    uint64_t age_ns = now_ns > born_ns ? (uint64_t)(now_ns - born_ns) : 0;
    p->residence_ns += age_ns / (RESIDENCE_SHARE / AGE_EVERY) -
                       p->residence_ns / (RESIDENCE_SHARE / AGE_EVERY);
}

/* The newcomer that contests. Where there is a cap on entries it does so when it is stored. */
static struct lfu_incoming incoming_of(const struct policy_lfu *p)
{
    const struct l1_newcomer *newcomer = &p->shard->newcomer;
    return (struct lfu_incoming){.hash = newcomer->hash,
                                 .weight = p->core.by_count ? 0 : newcomer->bytes,
                                 .admitted = newcomer->verdict == L1_ADMITTED};
}

static void note_admitted(struct policy_lfu *p)
{
    p->shard->newcomer.verdict = L1_ADMITTED;
    p->admitted_hash = p->shard->newcomer.hash;
}

static uint32_t lfu_victim_slot(struct l1 *l1, struct l1_shard *s, uint64_t *ret_hash)
{
    struct policy_lfu *p = s->policy;
    struct lfu_choice choice = shadows_choice(shadows_of(l1));
    p->asked = true;
    if (!p->core.by_count)
        p->core.capacity = lfu_weight(&p->core);
    struct lfu_incoming incoming = incoming_of(p);
    uint32_t slot = lfu_victim(&p->core, &choice, &incoming);
    if (incoming.admitted)
        note_admitted(p);
    if (p->core.rival != LFU_NONE && ++p->rivals % AGE_EVERY == 0)
        note_age(p, entry_of(p, p->core.rival));
    if (slot == LFU_REFUSED)
        return refuse(s);
    if (slot == p->core.hashed)
        *ret_hash = p->core.hash;
    return slot;
}

static uint32_t lfu_victims_slots(struct l1 *l1, struct l1_shard *s, uint32_t *ret_slots,
                                  uint32_t most)
{
    struct policy_lfu *p = s->policy;
    struct lfu_choice choice = shadows_choice(shadows_of(l1));
    if (!p->core.by_count)
        p->core.capacity = lfu_weight(&p->core);
    return lfu_victims(&p->core, &choice, ret_slots, most);
}

/* ---- all shards ---- */

static void lfu_init_common(struct l1 *l1)
{
    shadows_init(shadows_of(l1), l1->shard_entries_max != 0);
}

static void lfu_fini_common(struct l1 *l1)
{
    shadows_fini(shadows_of(l1), l1->mem);
}

static uint64_t lfu_common_charge(struct l1 *l1)
{
    return shadows_charge(shadows_of(l1), l1->mem);
}

static uint64_t lfu_excess(struct l1 *l1, uint64_t cap_bytes)
{
    return shadows_excess(shadows_of(l1), l1->mem, cap_bytes);
}

static uint64_t lfu_shrink(struct l1 *l1, uint64_t cap_bytes)
{
    return shadows_shrink(shadows_of(l1), l1->mem, cap_bytes);
}

const struct l1_policy policy_lfu = {
    .name = "lfu",
    .model = L1_MODEL_LFU,
    .state_bytes = sizeof(struct policy_lfu),
    .common_bytes = sizeof(struct shadows),
    .judges_newcomers = true,
    .init_common = lfu_init_common,
    .fini_common = lfu_fini_common,
    .common_charge = lfu_common_charge,
    .excess = lfu_excess,
    .shrink = lfu_shrink,
    .init = lfu_init_shard,
    .fini = lfu_fini,
    .bytes = lfu_bytes,
    .prepare = lfu_prepare,
    .expect = lfu_expect,
    .refused = lfu_refused,
    .insert = lfu_insert_slot,
    .replace = lfu_replace_slot,
    .remove = lfu_remove_slot,
    .gone = lfu_gone,
    .victim = lfu_victim_slot,
    .victims = lfu_victims_slots,
    .report = lfu_report,
};
