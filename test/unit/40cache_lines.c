// SPDX-License-Identifier: MIT
// What a hit reads shares no cache line with what anybody writes at a rate: all fields of the
// structs that a hit goes through, and who writes them. A line that one core writes and another
// reads costs the other a hundred nanoseconds each time: many times a hit.

#include "cache/cache.h"
#include "coherence/keeper.h"
#include "coherence/state.h"
#include "coherence/trust.h"
#include "l1/core.h"
#include "support/check.h"

enum who {
    HIT,   /* read by hits; written as STILL is, or with each beat: trust itself */
    STILL, /* constant, or written as options, spaces, threads and doubt come and go */
    MOVES, /* written by puts, misses, frames, beats or passes of the reclaimer */
};

struct field {
    const char *name;
    size_t from, to;
    enum who who;
};

#define FIELD(type, member, who)                                                                   \
    {#type "." #member, offsetof(struct type, member),                                             \
     offsetof(struct type, member) + sizeof(((struct type *)0)->member), who}

static const struct field space_fields[] = {
    FIELD(nigh_space, l1, HIT),
    FIELD(nigh_space, cache, HIT),
    FIELD(nigh_space, id, STILL),
    FIELD(nigh_space, plain_forks, HIT),
    FIELD(nigh_space, home, STILL),
    FIELD(nigh_space, seen, STILL),
    FIELD(nigh_space, stats, HIT),
    FIELD(nigh_space, name_len, STILL),
    FIELD(nigh_space, name, STILL),
    FIELD(nigh_space, schema, STILL),
    FIELD(nigh_space, rules, STILL),
    FIELD(nigh_space, own_memory, STILL),
    FIELD(nigh_space, loader, STILL),
    FIELD(nigh_space, writer, STILL),
    FIELD(nigh_space, arg, STILL),
    FIELD(nigh_space, registered, MOVES),
    FIELD(nigh_space, loads, MOVES),
    FIELD(nigh_space, gather, MOVES),
    FIELD(nigh_space, behind, MOVES),
    FIELD(nigh_space, odds, MOVES),
    FIELD(nigh_space, trend, MOVES),
    FIELD(nigh_space, value_bytes, MOVES),
    FIELD(nigh_space, hot, MOVES),
};

static const struct field cache_fields[] = {
    FIELD(nigh, l1, HIT),
    FIELD(nigh, trusted_until, HIT),
    FIELD(nigh, clock, HIT),
    FIELD(nigh, fork_count, STILL),
    FIELD(nigh, doubt_is_miss, HIT),
    FIELD(nigh, times, STILL),
    FIELD(nigh, group_slots, STILL),
    FIELD(nigh, time_error_ms, STILL),
    FIELD(nigh, env, STILL),
    FIELD(nigh, clock_hook, HIT),
    FIELD(nigh, stats, HIT),
    FIELD(nigh, l2, STILL),
    FIELD(nigh, coherence, STILL),
    FIELD(nigh, flights, STILL),
    FIELD(nigh, drive, STILL),
    FIELD(nigh, l2_deadline_ms, STILL),
    FIELD(nigh, l2_stale_deadline_ms, STILL),
    FIELD(nigh, lease_ms, STILL),
    FIELD(nigh, closing, STILL),
    FIELD(nigh, closed, STILL),
    FIELD(nigh, l2_closed, STILL),
    FIELD(nigh, lost_stamp, HIT),
    FIELD(nigh, lost_until, HIT),
    FIELD(nigh, trust_ms, STILL),
    FIELD(nigh, space_defaults, STILL),
    FIELD(nigh, default_schema, STILL),
    FIELD(nigh, processes, STILL),
    FIELD(nigh, sample, STILL),
    FIELD(nigh, recording, STILL),
    FIELD(nigh, opened_ns, STILL),
    FIELD(nigh, destroy, STILL),
    FIELD(nigh, watch, STILL),
    FIELD(nigh, commands, STILL),
    FIELD(nigh, spaces_lock, STILL),
    FIELD(nigh, space_count, STILL),
    FIELD(nigh, spaces, STILL),
    FIELD(nigh, workers, MOVES),
    FIELD(nigh, failures, MOVES),
    FIELD(nigh, leases, MOVES),
    FIELD(nigh, tickets, MOVES),
    FIELD(nigh, callbacks, MOVES),
    FIELD(nigh, queues, MOVES),
    FIELD(nigh, bumps, MOVES),
    FIELD(nigh, hot_groups, MOVES),
    FIELD(nigh, refs, MOVES),
    FIELD(nigh, keeper, MOVES),
    FIELD(nigh, trend_clock, MOVES),
    FIELD(nigh, lag, MOVES),
    FIELD(nigh, took, MOVES),
    FIELD(nigh, curve_clock, MOVES),
    FIELD(nigh, reclaimer, MOVES),
    FIELD(nigh, sent_behind, MOVES),
    FIELD(nigh, deferred, MOVES),
    FIELD(nigh, forget_ns, MOVES),
    FIELD(nigh, unpack_told, MOVES),
};

static const struct field l1_fields[] = {
    FIELD(l1, hit, HIT),
    FIELD(l1, hash, HIT),
    FIELD(l1, shards, HIT),
    FIELD(l1, dues, STILL),
    FIELD(l1, shard_mask, HIT),
    FIELD(l1, id, STILL),
    FIELD(l1, policy, HIT),
    FIELD(l1, policy_common, STILL),
    FIELD(l1, mem, STILL),
    FIELD(l1, env, STILL),
    FIELD(l1, stats, STILL),
    FIELD(l1, floors, HIT),
    FIELD(l1, fates, STILL),
    FIELD(l1, poke, STILL),
    FIELD(l1, poke_arg, STILL),
    FIELD(l1, loose, STILL),
    FIELD(l1, shard_entries_max, STILL),
    FIELD(l1, shard_live_max, STILL),
    FIELD(l1, mark_mask_most, STILL),
    FIELD(l1, fixed_bytes, STILL),
    FIELD(l1, least_bytes, STILL),
    FIELD(l1, shards_block_bytes, STILL),
    FIELD(l1, space_stats, STILL),
    FIELD(l1, tallies, STILL),
    FIELD(l1, space_slots, HIT),
    FIELD(l1, cap_bytes, MOVES),
    FIELD(l1, limbo_cap_bytes, MOVES),
    FIELD(l1, limbo_much_bytes, MOVES),
    FIELD(l1, limbo_allowance_bytes, MOVES),
    FIELD(l1, live_max_bytes, MOVES),
    FIELD(l1, target_bytes, MOVES),
    FIELD(l1, entries_mean, MOVES),
    FIELD(l1, mark_mask, MOVES),
    FIELD(l1, mark_mask_least, MOVES),
    FIELD(l1, closed, MOVES),
    FIELD(l1, reserve_bytes, MOVES),
    FIELD(l1, entry_max_bytes, MOVES),
    FIELD(l1, reclaim_lock, MOVES),
    FIELD(l1, reclaim, MOVES),
    FIELD(l1, expire_lock, MOVES),
    FIELD(l1, expire_next, MOVES),
    FIELD(l1, expire_ns, MOVES),
    FIELD(l1, cap, MOVES),
    FIELD(l1, shrink, MOVES),
    FIELD(l1, compact, MOVES),
    FIELD(l1, member, MOVES),
    FIELD(l1, family, MOVES),
    FIELD(l1, curve, MOVES),
    FIELD(l1, own_floors.groups, HIT),
    FIELD(l1, own_floors.keys, STILL),
    FIELD(l1, own_floors.group_count, HIT),
    FIELD(l1, own_floors.key_count, STILL),
    FIELD(l1, own_floors.now, MOVES),
    FIELD(l1, own_floors.renewed, MOVES),
    FIELD(l1, own_fates, MOVES),
    FIELD(l1, used, MOVES),
    FIELD(l1, peak, MOVES),
    FIELD(l1, limbo, MOVES),
    FIELD(l1, aside, MOVES),
    FIELD(l1, own_generation, HIT),
};

static const struct field coherence_fields[] = {
    FIELD(coherence, config, STILL),
    FIELD(coherence, incarnation, STILL),
    FIELD(coherence, keeper, STILL),
    FIELD(coherence, trust, STILL),
    FIELD(coherence, state, STILL),
    FIELD(coherence, apply, STILL),
    FIELD(coherence, recent, STILL),
    FIELD(coherence, schemas, STILL),
    FIELD(coherence, beat, STILL),
    FIELD(coherence, changes, STILL),
    FIELD(coherence, combine, STILL),
    FIELD(coherence, queue, STILL),
    FIELD(coherence, retry, STILL),
    FIELD(coherence, listener, STILL),
    FIELD(coherence, past, STILL),
};

static const struct field trust_fields[] = {
    FIELD(coherence_trust, trusted_until, HIT),
    FIELD(coherence_trust, server_offset_ms, STILL),
    FIELD(coherence_trust, lost_ns, MOVES),
    FIELD(coherence_trust, doubt_ns, MOVES),
    FIELD(coherence_trust, shown_ns, MOVES),
    FIELD(coherence_trust, held, MOVES),
};

static const struct field state_fields[] = {
    FIELD(coherence_state, apply_lock, MOVES),
    FIELD(coherence_state, view, MOVES),
    FIELD(coherence_state, voids, MOVES),
    FIELD(coherence_state, identity, MOVES),
    FIELD(coherence_state, home, MOVES),
    FIELD(coherence_state, known, MOVES),
    FIELD(coherence_state, groups, STILL),
    FIELD(coherence_state, chain, MOVES),
    FIELD(coherence_state, known_nonce, MOVES),
    FIELD(coherence_state, clk_id, MOVES),
    FIELD(coherence_state, replid, MOVES),
    FIELD(coherence_state, renew, MOVES),
    FIELD(coherence_state, renew_replid, MOVES),
    FIELD(coherence_state, left_at, MOVES),
    FIELD(coherence_state, left_why, MOVES),
    FIELD(coherence_state, heard, MOVES),
    FIELD(coherence_state, behind, MOVES),
    FIELD(coherence_state, listeners, MOVES),
    FIELD(coherence_state, met, MOVES),
    FIELD(coherence_state, rounds, MOVES),
};

static const struct field keeper_fields[] = {
    FIELD(coherence_keeper, ticking, MOVES),
    FIELD(coherence_keeper, mail_lock, MOVES),
    FIELD(coherence_keeper, closed, MOVES),
    FIELD(coherence_keeper, poke, MOVES),
    FIELD(coherence_keeper, poke_arg, MOVES),
    FIELD(coherence_keeper, mail, MOVES),
    FIELD(coherence_keeper, refs, MOVES),
    FIELD(coherence_keeper, destroy, STILL),
    FIELD(coherence_keeper, beat_wanted, MOVES),
};

static bool share_a_line(const struct field *a, const struct field *b)
{
    return a->from / CACHE_LINE_BYTES <= (b->to - 1) / CACHE_LINE_BYTES &&
           b->from / CACHE_LINE_BYTES <= (a->to - 1) / CACHE_LINE_BYTES;
}

/* Whether what lies between two fields is padding: so a new field must be in the table. */
static bool is_padding(size_t from, size_t to)
{
    size_t most = to % CACHE_LINE_BYTES == 0 ? CACHE_LINE_BYTES : _Alignof(max_align_t) / 2;
    return from <= to && to - from < most;
}

static void check_struct(const struct field *fields, size_t count, size_t size)
{
    for (size_t i = 0; i < count; i++) {
        size_t next = i + 1 < count ? fields[i + 1].from : size;
        if (!CHECK(is_padding(fields[i].to, next)))
            check_note("not in the table: what follows %s", fields[i].name);
        for (size_t k = 0; k < count; k++)
            if (!CHECK(fields[i].who != HIT || fields[k].who != MOVES ||
                       !share_a_line(&fields[i], &fields[k])))
                check_note("%s, %s", fields[i].name, fields[k].name);
    }
}

#define CHECK_STRUCT(fields, type) check_struct(fields, ARRAY_COUNT(fields), sizeof(struct type))

TEST(what_a_hit_reads_shares_no_line_with_what_moves)
{
    CHECK_STRUCT(space_fields, nigh_space);
    CHECK_STRUCT(cache_fields, nigh);
    CHECK_STRUCT(l1_fields, l1);
    CHECK_STRUCT(coherence_fields, coherence);
    CHECK_STRUCT(trust_fields, coherence_trust);
    CHECK_STRUCT(state_fields, coherence_state);
    CHECK_STRUCT(keeper_fields, coherence_keeper);
}

/* ... and these begin at lines, and fill them. */
TEST(what_is_laid_out_by_lines_begins_and_ends_with_one)
{
    CHECK_EQ(sizeof(struct clock_direct), CACHE_LINE_BYTES);
    CHECK_EQ(sizeof(struct cache_forks), CACHE_LINE_BYTES);
    CHECK_EQ(offsetof(struct group_floors, of), CACHE_LINE_BYTES);
    CHECK_EQ(_Alignof(struct nigh_space), CACHE_LINE_BYTES);
    CHECK_EQ(_Alignof(struct nigh), CACHE_LINE_BYTES);
    CHECK_EQ(_Alignof(struct l1), CACHE_LINE_BYTES);
    CHECK_EQ(_Alignof(struct coherence_trust), CACHE_LINE_BYTES);
    CHECK_EQ(sizeof(struct coherence_trust), 2 * CACHE_LINE_BYTES);
}

static size_t offset_in_line(const void *at)
{
    return (uintptr_t)at % CACHE_LINE_BYTES;
}

TEST(they_are_allocated_by_lines)
{
    struct nigh *cache;
    struct nigh_options o = NIGH_OPTIONS_INIT;
    o.threads = NIGH_THREADS_NONE;
    REQUIRE_EQ(nigh_open(&o, &cache), 0);
    for (int i = 0; i < 5; i++) {
        struct nigh_space *space;
        char name[] = {'s', (char)('0' + i), 0};
        REQUIRE_EQ(nigh_space_open(cache, name, NULL, NULL, NULL, NULL, &space), 0);
        stats_count(&space->stats, STATS_LOAD);
        CHECK_EQ(offset_in_line(space), 0);
        CHECK_EQ(offset_in_line(space->stats.set), 0);
        CHECK_EQ(offset_in_line(space->stats.set->blocks), 0);
    }
    CHECK_EQ(offset_in_line(cache), 0);
    CHECK_EQ(offset_in_line(cache->l1), 0);
    nigh_close(cache);
}
