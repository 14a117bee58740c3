/* SPDX-License-Identifier: MIT */
/*
 * The table as others see it: making it, its sizes, and the calls that lead to a shard or a floor.
 */
#include "l1/l1.h"

#include "l1/core.h"
#include "l1/marks.h"
#include "l1/pin.h"
#include "l1/pin_scan.h"
#include "l1/reclaim.h"
#include "l1/registry.h"
#include "l1/shard.h"
#include "l1/tally.h"

/* Bytes that an entry is expected to take, for sizing only: if this is wrong by some factor, it
 * costs a few doublings or a few bits of the tags. */
#define ENTRY_EXPECTED_BYTES 256u

#define SHARDS_MIN 16u
#define SHARDS_MAX 65536u
#define SHARDS_PER_CPU 4u
#define SHARD_ENTRIES_MOST 16384u /* doubling a shard must not take long */
#define SHARD_ENTRIES_LEAST 128u  /* below, eviction is too local: 4.6 points of hit ratio at 32 */

/* A table begins at 1/64 of its expected size: six doublings take six bits of the sixteen of the
 * tags, and leave one chance match in 200 lookups. */
#define TABLE_BEGIN_SHIFT 6u
#define TABLE_EXPECTED_LOAD 4u

#define FIXED_MAX_SHARE 2u /* the fixed tables may take half of the cap */

/* With this cap or a larger one values lie in huge pages by default. Hits then take 0.7 to 0.8 of
 * the time, in smaller caches too; but there regions that are not full make 1.07 to 1.11 of the cap
 * resident (64 MiB), and from this cap on 1.05 at most: perf/README.md. */
#define HUGE_FROM_BYTES ((uint64_t)128 << 20)

/* With more shards than this, the three arrays of a shard lie in the arena: mappings of their own
 * would come near the limit of a process. */
#define SHARDS_PAGED_MAX 8192u

/* ---- sizes ---- */

static uint32_t power_of_two_at_least(uint64_t n, uint32_t most)
{
    uint32_t p = 1;
    while (p < n && p < most)
        p *= 2;
    return p;
}

static uint32_t log2_of(uint32_t power)
{
    return (uint32_t)__builtin_ctz(power);
}

static uint32_t default_shards(uint64_t memory_bytes, uint64_t entries_max)
{
    uint64_t entries = memory_bytes / ENTRY_EXPECTED_BYTES;
    if (entries_max)
        entries = u64_min(entries, entries_max);
    uint64_t wanted = u64_max(SHARDS_MIN, (uint64_t)SHARDS_PER_CPU * cgroup_cpus_usable(""));
    wanted = u64_max(wanted, entries / SHARD_ENTRIES_MOST);
    uint32_t shards = power_of_two_at_least(wanted, SHARDS_MAX);
    while (shards > 1 && entries / shards < SHARD_ENTRIES_LEAST)
        shards /= 2;
    return shards;
}

static uint32_t begin_bits(uint64_t memory_bytes, uint32_t shards)
{
    uint64_t buckets =
        memory_bytes / shards / ENTRY_EXPECTED_BYTES / TABLE_EXPECTED_LOAD >> TABLE_BEGIN_SHIFT;
    return log2_of(power_of_two_at_least(u64_max(buckets, 2), 1u << 20));
}

static bool is_power_of_two(uint64_t n)
{
    return n && !(n & (n - 1));
}

#define AT_ITS_VALUE(value, word) [NIGH_POLICY_##value] = &policy_##word,
static const struct l1_policy *const policies[] = {
    [NIGH_POLICY_DEFAULT] = &policy_lfu,
    L1_POLICIES(AT_ITS_VALUE)
};
#undef AT_ITS_VALUE

static bool config_is_valid(const struct l1_config *c)
{
    return c->env && c->stats && c->policy < ARRAY_COUNT(policies) && c->memory_bytes &&
           c->limbo_bytes <= c->memory_bytes / 2 &&
           (c->shards == 0 || (is_power_of_two(c->shards) && c->shards <= SHARDS_MAX)) &&
           (c->entries == 0 || c->entries >= c->shards) &&
           is_power_of_two(c->group_slots) && c->group_slots >= GROUP_SLOTS_MIN &&
           c->group_slots <= GROUP_SLOTS_MAX;
}

static const struct l1_policy *policy_of(const struct l1_config *c)
{
    return c->own_policy ? c->own_policy : policies[c->policy];
}

/* Choose the huge pages to use. With values in them, a hit in 1M values takes 0.72 to 0.80 of its
 * time, and 0.5 % more is resident. A small cache has too few whole ones: of each kind of slab it
 * may use a part of a page. */
static enum mem_huge huge_of(enum nigh_huge_pages huge, uint64_t memory_bytes)
{
    switch (huge) {
    case NIGH_HUGE_NONE: return MEM_HUGE_NONE;
    case NIGH_HUGE_TABLES: return MEM_HUGE_PAGES;
    case NIGH_HUGE_ALL: return MEM_HUGE_ALL;
    default: return memory_bytes >= HUGE_FROM_BYTES ? MEM_HUGE_ALL : MEM_HUGE_PAGES;
    }
}

static void set_sizes(struct l1 *l1, const struct l1_config *c)
{
    uint32_t shards = c->shards ? c->shards : default_shards(c->memory_bytes, c->entries);
    if (c->root && shards > c->root->shard_mask)
        shards = c->root->shard_mask + 1;
    l1->hit.shard_shift = 63 - log2_of(shards);
    l1->shard_mask = shards - 1;
    l1->hit.base_bits = begin_bits(c->memory_bytes, shards);
    cap_init(l1, c->memory_bytes, c->limbo_bytes);
    l1->shard_entries_max = (uint32_t)u64_min(c->entries / shards, RING_LIVE_MAX);
    l1->shard_live_max = l1->shard_entries_max ? l1->shard_entries_max : RING_LIVE_MAX;
    marks_init(l1, c->mark_one_in);
}

/* ---- create, destroy ---- */

/* Offsets in the shards' block: the shards first, then an array for each of these. */
struct block {
    size_t tables, sets, dues, tallies, states, common, end;
};

static size_t whole_lines(size_t bytes)
{
    return (bytes + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
}

static struct block lay_out_block(const struct l1 *l1)
{
    size_t shards = l1->shard_mask + 1u;
    struct block b = {.tables = shards * sizeof(struct l1_shard)};
    b.sets = b.tables + shards * sizeof(*l1->hit.tables);
    b.dues = b.sets + reclaim_sets_bytes((uint32_t)shards);
    b.tallies = whole_lines(b.dues + shards * sizeof(*l1->dues));
    b.states = b.tallies + shards * sizeof(struct tally);
    b.common = b.states + shards * whole_lines(l1->policy->state_bytes);
    b.end = b.common + whole_lines(l1->policy->common_bytes);
    return b;
}

/* Size the shards' block, and charge it and the fixed tables, for ever. Errors: NIGH_EINVAL: the
 * cap is too small. */
static int charge_fixed(struct l1 *l1, uint32_t group_slots, uint32_t key_floors)
{
    uint64_t shards = l1->shard_mask + 1u;
    l1->shards_block_bytes = lay_out_block(l1).end;
    l1->fixed_bytes = sizeof(*l1) + l1->shards_block_bytes +
                      shards * table_bytes(l1->mem, l1->hit.base_bits) +
                      batch_bytes(batch_max_for(l1_limit(&l1->cap_bytes)));
    if (l1->floors == &l1->own_floors)
        l1->fixed_bytes += floors_bytes(group_slots, key_floors) +
                           fates_bytes(fates_count(l1_limit(&l1->cap_bytes)));
    uint64_t empty = l1->fixed_bytes + shards * l1_shard_empty_bytes(l1);
    l1->least_bytes = empty * FIXED_MAX_SHARE;
    /* The second condition: new shards find room without looking for it in those not made yet. */
    if (l1->least_bytes > l1_limit(&l1->cap_bytes) || empty > l1_limit(&l1->target_bytes))
        return NIGH_EINVAL;
    atomic_init(&l1->used, l1->fixed_bytes);
    atomic_init(&l1->peak, l1->fixed_bytes);
    return 0;
}

/* Tell the table and each shard which parts of the block are theirs. */
static void set_parts(struct l1 *l1)
{
    struct block b = lay_out_block(l1);
    char *at = (char *)l1->shards;
    l1->hit.tables = (void *)(at + b.tables);
    reclaim_init_sets(l1, at + b.sets);
    l1->dues = (void *)(at + b.dues);
    l1->policy_common = at + b.common;
    tally_init(l1, (void *)(at + b.tallies));
    for (uint32_t i = 0; i <= l1->shard_mask; i++) {
        l1->shards[i].table = &l1->hit.tables[i];
        l1->shards[i].due = &l1->dues[i];
        l1->shards[i].policy = at + b.states + i * whole_lines(l1->policy->state_bytes);
    }
}

/* Destroy the first `count` shards, all that were made. */
static void destroy_shards(struct l1 *l1, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        l1_shard_fini(l1, &l1->shards[i]);
    if (l1->policy->fini_common)
        l1->policy->fini_common(l1);
    tally_fini(l1);
    mem_pages_free(l1->shards, l1->shards_block_bytes);
}

static int create_shards(struct l1 *l1)
{
    l1->shards = mem_pages_alloc_of(l1->mem, l1->shards_block_bytes);
    if (!l1->shards)
        return NIGH_ENOMEM;
    set_parts(l1);
    if (l1->policy->init_common)
        l1->policy->init_common(l1);
    for (uint32_t i = 0; i <= l1->shard_mask; i++)
        if (l1_shard_init(l1, &l1->shards[i]) != 0) {
            destroy_shards(l1, i);
            return NIGH_ENOMEM;
        }
    return 0;
}

/* Make floors and fates, in the table of all: other tables share them. But each table has its own
 * generation. */
static int open_floors(struct l1 *l1, const struct l1_config *c, uint32_t key_floors)
{
    int err = c->root ? 0 : floors_init(&l1->own_floors, c->group_slots, key_floors);
    if (err)
        return err;
    if (!c->root)
        err = fates_init(&l1->own_fates, fates_count(c->memory_bytes), l1->expire_ns);
    if (err) {
        floors_fini(&l1->own_floors);
        return err;
    }
    struct group_floors *groups = l1->floors->groups;
    l1->hit.groups = groups;
    atomic_init(&l1->hit.generation, c->root ? &l1->own_generation : &groups->generation);
    return 0;
}

static void close_floors(struct l1 *l1)
{
    if (l1->floors != &l1->own_floors)
        return;
    floors_fini(l1->floors);
    fates_fini(l1->fates);
}

#define SPACE_STATS_BYTES ((L1_SPACES_MAX + 1) * sizeof(_Atomic(struct stats *)))

static int create_space_stats(struct l1 *l1)
{
    l1->space_stats = mem_lines_alloc_zero(l1->env->mem, SPACE_STATS_BYTES);
    return l1->space_stats ? 0 : NIGH_ENOMEM;
}

static void destroy_space_stats(struct l1 *l1)
{
    if (l1->space_stats)
        mem_lines_free(l1->env->mem, l1->space_stats, SPACE_STATS_BYTES);
}

/* Create the parts that need unwinding, in order. */
static int create_parts(struct l1 *l1, const struct l1_config *c)
{
    uint32_t key_floors = floors_key_count(c->memory_bytes);
    int err = charge_fixed(l1, c->group_slots, key_floors);
    if (err)
        return err;
    err = open_floors(l1, c, key_floors);
    if (err)
        return err;
    err = batch_init(&l1->reclaim.batch, batch_max_for(c->memory_bytes));
    if (err)
        goto undo_floors;
    err = c->root ? 0 : create_space_stats(l1);
    if (err)
        goto undo_batch;
    err = create_shards(l1);
    if (err)
        goto undo_space_stats;
    err = registry_add(l1);
    if (err)
        goto undo_shards;
    return 0;

undo_shards:
    destroy_shards(l1, l1->shard_mask + 1);
undo_space_stats:
    destroy_space_stats(l1);
undo_batch:
    batch_fini(&l1->reclaim.batch);
undo_floors:
    close_floors(l1);
    return err;
}

/* A table of the family: what it shares with the table of all, what is its own. */
static void set_shared(struct l1 *l1, const struct l1_config *c)
{
    l1->floors = c->root ? c->root->floors : &l1->own_floors;
    l1->fates = c->root ? c->root->fates : &l1->own_fates;
    if (c->root) {
        l1->hash = c->root->hash;
        l1_set_reclaim_poke(l1, c->root->poke, c->root->poke_arg);
    } else {
        hash_init(&l1->hash, c->hash == NIGH_HASH_SIPHASH ? HASH_SIPHASH : HASH_XXH3,
                  random_secret(c->env->random), random_secret(c->env->random));
    }
}

/* Begin all that cannot fail: fields, sizes, locks. */
static void begin(struct l1 *l1, const struct l1_config *c)
{
    l1->env = c->env;
    l1->stats = c->stats;
    l1->policy = policy_of(c);
    set_shared(l1, c);
    family_init(l1, c);
    set_sizes(l1, c);
    l1->expire_ns = clock_now_ns(c->env->clock);
    curve_init(l1);
    pthread_mutex_init(&l1->reclaim_lock, NULL);
    pthread_mutex_init(&l1->expire_lock, NULL);
}

static void end(struct l1 *l1)
{
    curve_fini(l1);
    pthread_mutex_destroy(&l1->reclaim_lock);
    pthread_mutex_destroy(&l1->expire_lock);
    cap_fini(l1);
    family_fini(l1);
    mem_pages_free(l1, sizeof(*l1));
}

/* Create the arena, and the pool beside it. */
static int create_memory(struct l1 *l1, const struct l1_config *c)
{
    l1->loose = entry_loose_pool_create(c->env->mem);
    if (!l1->loose)
        return NIGH_ENOMEM;
    l1->mem = mem_create();
    if (!l1->mem)
        goto undo_pool;
    mem_set_huge(l1->mem, huge_of(c->huge_pages, c->memory_bytes));
    if (l1->shard_mask < SHARDS_PAGED_MAX)
        mem_set_array_pages(l1->mem);
    if (!mem_add_slabs(l1->mem))
        goto undo_arena;
    return 0;

undo_arena:
    mem_destroy(l1->mem);
undo_pool:
    pool_drop(l1->loose);
    return NIGH_ENOMEM;
}

int l1_create(const struct l1_config *config, struct l1 **ret_l1)
{
    if (!config_is_valid(config))
        return NIGH_EINVAL;
    struct l1 *l1 = mem_pages_alloc(sizeof(*l1));
    if (!l1)
        return NIGH_ENOMEM;
    pin_prepare();
    begin(l1, config);
    int err = create_memory(l1, config);
    if (err)
        goto undo_begin;
    err = create_parts(l1, config);
    if (err)
        goto undo_memory;
    *ret_l1 = l1;
    return 0;

undo_memory:
    mem_destroy(l1->mem);
    pool_drop(l1->loose);
undo_begin:
    end(l1);
    return err;
}

static void destroy_table(struct l1 *l1)
{
    struct mem *arena = l1->mem;
    pin_forget(l1->id);
    destroy_shards(l1, l1->shard_mask + 1);
    destroy_space_stats(l1);
    batch_fini(&l1->reclaim.batch);
    close_floors(l1);
    registry_remove(l1);
    pool_drop(l1->loose);
    end(l1);
    mem_destroy(arena);
}

void l1_destroy(struct l1 *l1)
{
    struct l1 *apart;
    while ((apart = family_next(l1))) {
        atomic_store_explicit(&l1->member.next, family_next(apart), memory_order_relaxed);
        destroy_table(apart);
    }
    destroy_table(l1);
}

void l1_space_init(struct l1 *l1, uint32_t space_id, uint16_t group_slot, struct l1_space *ret)
{
    NIGH_DCHECK(space_id && space_id <= L1_SPACES_MAX && group_slot < GROUP_SLOT_TAGS);
    l1->space_slots[space_id] = group_slot;
    space_hash_init(&ret->hash, &l1->hash, space_id);
    ret->hit = l1->hit;
    ret->label = label_of_space(space_id);
    ret->l1 = l1;
    ret->group_slot = group_slot;
}

/* Write only the fields in which tables differ: other threads read the others meanwhile. */
void l1_space_move(struct l1_space *s, const struct l1 *to)
{
    s->hit.tables = to->hit.tables;
    s->hit.shard_shift = to->hit.shard_shift;
    s->hit.base_bits = to->hit.base_bits;
    /* pair(l1.generation): the table is made */
    atomic_store_explicit(&s->hit.generation,
                          atomic_load_explicit(&to->hit.generation, memory_order_relaxed),
                          memory_order_release);
}

/* ---- reaching a shard ---- */

bool l1_evicts(const struct l1 *l1)
{
    return l1->policy->victim;
}

struct l1 *l1_of_entry(const struct l1_entry *e)
{
    return l1_by_id(entry_refs_cache(atomic_load_explicit(&e->refs, memory_order_relaxed)));
}

bool l1_marks(const struct l1 *l1, uint64_t hash)
{
    return core_marks(l1, hash);
}

uint32_t l1_mark_mask(const struct l1 *l1)
{
    return core_mark_mask(l1);
}

uint32_t l1_mark_mask_least(const struct l1 *l1)
{
    return atomic_load_explicit(&l1->mark_mask_least, memory_order_relaxed);
}

void l1_report_hit(const struct l1_entry *e)
{
    struct l1 *l1 = l1_of_entry(e);
    if (l1->policy->report)
        l1->policy->report(l1_shard_of(l1, entry_hash(l1, e)), e);
}

/* ---- floors ---- */

uint64_t l1_ticket(const struct l1 *l1)
{
    return floors_now(l1->floors);
}

enum l1_standing l1_judge_slow(const struct l1 *l1, const struct l1_entry *e)
{
    const uint16_t *groups;
    uint32_t count = l1_entry_groups(e, &groups);
    uint16_t space_slot = l1->space_slots[entry_space(e)];
    return floors_judge_slow(l1->floors, e->stamp, space_slot, groups, count);
}

enum l1_standing l1_judge_groups(const struct l1_space *s, uint64_t stamp, const uint16_t *groups,
                                 uint32_t group_count)
{
    return floors_judge(s->l1->floors, stamp, s->group_slot, groups, group_count);
}

uint64_t l1_renewed(const struct l1 *l1)
{
    return floors_renewed(l1->floors);
}

bool l1_key_current(const struct l1 *l1, const struct l1_key *key, uint64_t stamp)
{
    return stamp >= floors_of_key(l1->floors, key->hash);
}

uint64_t l1_key_floor(const struct l1 *l1, const struct l1_key *key)
{
    return floors_of_key(l1->floors, key->hash);
}

uint64_t l1_mark(struct l1 *l1)
{
    return floors_mark(l1->floors);
}

uint64_t l1_raise_group(struct l1 *l1, uint16_t slot, bool soft)
{
    return floors_raise_group(l1->floors, slot, soft);
}

void l1_group_floors(const struct l1 *l1, uint16_t slot, uint64_t *ret_any, uint64_t *ret_hard)
{
    floors_of_group(l1->floors, slot, ret_any, ret_hard);
}

void l1_renew(struct l1 *l1, uint64_t position)
{
    floors_renew(l1->floors, position);
}

void l1_set_reclaim_poke(struct l1 *l1, void (*poke)(void *arg), void *arg)
{
    l1->poke_arg = arg;
    l1->poke = poke;
}
