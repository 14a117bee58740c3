// SPDX-License-Identifier: MIT
/*
 * Judging an answer of L2.
 *
 * Lifetimes travel as durations from the fill, measured on the server's clock. Here they become
 * points on this node's clock (draft.c), counted from that fill.
 */
#include "cache/value/lookup.h"

#include "cache/sample.h"
#include "cache/value/draft.h"
#include "cache/value/freshness.h"
#include "cache/value/packed.h"
#include "cache/space_l1.h"

/* Bounds an age: three lifetimes of 32 bits, 149 days; nothing so old lives. Small in ns. */
#define AGE_MAX_MS (3 * (uint64_t)UINT32_MAX)

/* Returns how long ago, by the server's clock, the value was filled, or AGE_MAX_MS. 0 when that
 * cannot be told: then the value is judged stale by its clock identity anyway. */
static uint64_t age_ms(const struct nigh *cache, const struct l2_envelope *e)
{
    uint64_t now_ms = coherence_server_time_ms(cache->coherence);
    uint64_t age_ms = now_ms > e->server_time_ms ? now_ms - e->server_time_ms : 0;
    return u64_min(age_ms, AGE_MAX_MS);
}

/* Whether the value was filled later than now, by more than two nodes' ideas of the server's time
 * differ: see time_error_ms. */
static bool is_of_the_future(const struct nigh *cache, const struct l2_envelope *e)
{
    uint64_t now_ms = coherence_server_time_ms(cache->coherence);
    return now_ms != 0 && e->server_time_ms > now_ms &&
           e->server_time_ms - now_ms > cache->time_error_ms;
}

/* Describe what an envelope holds, but for the value itself. */
static struct draft draft_of(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                             const struct l2_envelope *e, uint64_t now_ns)
{
    int64_t filled_ns = (int64_t)now_ns - (int64_t)(age_ms(space->cache, e) * NS_PER_MS);
    return (struct draft){
        .space = space,
        .key = *key,
        .absent = e->flags & L2_ENVELOPE_ABSENT,
        .version = e->version,
        .tags = e->groups,
        .tag_count = e->group_count,
        .soft_ms = e->soft_ms,
        .stale_ms = e->stale_ms,
        .born_ns = filled_ns,
        .filled_ns = filled_ns,
        .ticket = ticket,
    };
}

/* Returns how the floors of this node let a value pass whose stamp cannot be compared. Nobody knows
 * how old it is; but if this node has invalidated its key, or a group of its, since it left the
 * clock before the one that it follows, then a caller who knows of that must not see it, not even
 * marked as stale. (An invalidation of all undoes none before it: l1_renewed() is no floor.) While
 * no clock is followed any invalidation counts: the server may have lost it. Those of the last
 * seconds are told to it again, and cover the value until they are (rule 13). On the server that is
 * followed the invalidation of a key has deleted its value, and keys share floors: there only what
 * came after the ticket counts. */
static enum l1_standing standing_unknown(struct nigh_space *space, uint64_t home,
                                         const struct draft *d)
{
    struct nigh *cache = space->cache;
    uint16_t own[NIGH_TAGS_MAX];
    const uint16_t *slots;
    uint32_t count = draft_slots(d, own, &slots);
    uint64_t renewed = l1_renewed(cache->l1); /* before the look at the clock: taking one renews */
    bool followed = coherence_position(cache->coherence).identity != 0;
    uint64_t stamp = followed ? renewed : 0;
    bool deletes = followed && home == coherence_home(cache->coherence);
    bool gone = !l1_key_current(cache->l1, &d->key, deletes ? d->ticket : stamp) ||
                l1_judge_groups(&space->l1, stamp, slots, count) == L1_BELOW_HARD;
    return gone ? L1_BELOW_HARD : L1_BELOW_SOFT;
}

/* Returns how the positions that stand in Redis for floors let the value pass (rule 4). */
static enum l1_standing standing_of(struct nigh_space *space, uint64_t home,
                                    const struct l2_envelope *e, const struct draft *d)
{
    uint16_t space_slot = (uint16_t)space->l1.group_slot;
    switch (coherence_judge(space->cache->coherence, e, space_slot, home)) {
    case COHERENCE_FRESH: return L1_CURRENT;
    case COHERENCE_STALE: return L1_BELOW_SOFT;
    case COHERENCE_GONE: return L1_BELOW_HARD;
    case COHERENCE_UNKNOWN: break;
    }
    return standing_unknown(space, home, d);
}

/* Make an entry of the value in an envelope. Errors: NIGH_MISS it cannot be decompressed;
 * NIGH_ENOMEM. */
static int entry_of(struct draft *d, const struct l2_envelope *e, struct l1_entry **ret)
{
    struct packed packed;
    int rc = packed_open(d->space, e, &packed);
    if (rc != 0)
        return rc;
    d->bytes = packed.bytes;
    rc = draft_entry(d, ret);
    packed_free(d->space, &packed);
    return rc;
}

static int judge(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                 const struct lookup_of *of, const struct l2_envelope *e, struct lookup *ret)
{
    struct nigh *cache = space->cache;
    /* Rule 11 holds for every stored value. Trust is read first (freshness.h): what it vouches for
     * is in the positions that are read after it. */
    uint64_t now_ns = clock_coarse_ns(&cache->clock);
    struct moment moment = {now_ns, freshness_trusted(cache, now_ns)};
    struct draft d = draft_of(space, key, ticket, e, now_ns);
    enum l1_standing standing = standing_of(space, of->home, e, &d);
    ret->floors = standing;
    ret->trust = freshness_trust_l2(cache, &moment);
    /* If the value was filled in the future, the server's clock was set back since, and what is
     * left of its lifetime cannot be told. It would live on for as long as that step was. */
    if (standing == L1_BELOW_HARD || is_of_the_future(cache, e) ||
        lookup_l2_covered(space, key, e->groups, e->group_count))
        return 0;

    struct l1_entry *entry;
    d.refreshed = of->refreshed;
    d.passes = of->passes;
    d.shared = of->shared;
    int rc = entry_of(&d, e, &entry);
    if (rc != 0) {
        ret->undone = rc == NIGH_MISS;
        return rc == NIGH_MISS ? 0 : rc;
    }
    ret->unpacked = e->plain_len != 0;
    ret->lifetime = freshness_lifetime(entry, now_ns, LIFETIME_KEPT);
    ret->verdict = verdict_of(standing, ret->lifetime, ret->trust, d.absent);
    if (ret->verdict == VERDICT_GONE) {
        l1_entry_unref(entry);
        return 0;
    }
    ret->storable = standing == L1_CURRENT && ret->verdict != VERDICT_KEPT &&
                    !l1_entry_loose(entry) && l1_entry_value(entry).len <= space->rules.value_max;
    ret->entry = entry;
    return 0;
}

/* Whether L1 may keep what was found, if its policy has room for it. */
static bool may_keep(const struct nigh_space *space, const struct lookup_of *of,
                     const struct lookup *found)
{
    return !of->passes && found->floors == L1_CURRENT && found->verdict != VERDICT_KEPT &&
           l1_entry_value(found->entry).len <= space->rules.value_max;
}

static void note_found(struct nigh_space *space, const struct l1_key *key,
                       const struct lookup_of *of, const struct lookup *found)
{
    const struct l1_entry *e = found->entry;
    enum nigh_trace_outcome outcome = found->verdict != VERDICT_FRESH ? NIGH_TRACE_STALE
                                      : l1_entry_absent(e)            ? NIGH_TRACE_ABSENT
                                                                      : NIGH_TRACE_FRESH;
    struct l1_value value = {.bytes = l1_entry_value(e),
                             .fresh_until_ns = l1_entry_fresh_until_ns(e),
                             .stale_until_ns = l1_entry_stale_until_ns(e)};
    value.group_count = l1_entry_groups(e, &value.groups);
    sample_note_value(space, key,
                      (struct sample_event){NIGH_TRACE_L2, outcome, (uint32_t)value.bytes.len, 0},
                      may_keep(space, of, found) ? &value : NULL);
}

static void note(struct nigh_space *space, const struct l1_key *key, const struct lookup_of *of,
                 const struct lookup *found)
{
    if (!sample_takes(space, key->hash))
        return;
    if (found->entry)
        note_found(space, key, of, found);
    else
        sample_note_marked(space, key, (struct sample_event){
            NIGH_TRACE_L2, NIGH_TRACE_MISS, 0, 0});
}

static void count(struct nigh_space *space, const struct lookup *found)
{
    static const enum stats_counter counters[] = {
        [VERDICT_GONE] = STATS_L2_MISS,    [VERDICT_KEPT] = STATS_L2_MISS,
        [VERDICT_STALE] = STATS_L2_STALE,  [VERDICT_LEARNT] = STATS_L2_STALE,
        [VERDICT_FRESH] = STATS_L2_FRESH,
    };
    stats_count(&space->stats, found->bad ? STATS_ENVELOPE_BAD : counters[found->verdict]);
    if (found->undone || found->unpacked)
        stats_count(&space->stats, found->undone ? STATS_L2_UNPACK_FAILED : STATS_L2_UNPACKED);
}

int lookup_judge(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                 const struct lookup_of *of, struct lookup *ret)
{
    struct lookup result = {.verdict = VERDICT_GONE};
    struct l2_envelope e;
    int rc = 0;
    if (of->verdict == L2_VALUE) {
        if (l2_envelope_decode(of->value, cache_name_hash(space, key), &e) &&
            e.payload.len <= NIGH_VALUE_MAX) {
            result.fill_id = e.fill_id;
            rc = judge(space, key, ticket, of, &e, &result);
        } else {
            result.bad = true;
            result.fill_id = l2_envelope_fill_id(of->value);
        }
    }
    if (rc != 0)
        return rc;
    *ret = result;
    return 0;
}

int lookup_value(struct nigh_space *space, const struct l1_key *key, uint64_t ticket,
                 const struct lookup_of *of, struct lookup *ret)
{
    int rc = lookup_judge(space, key, ticket, of, ret);
    if (rc != 0)
        return rc;
    count(space, ret);
    note(space, key, of, ret);
    return 0;
}

bool lookup_l2_covered(const struct nigh_space *space, const struct l1_key *key,
                       const uint8_t *tags, uint32_t tag_count)
{
    return coherence_queued_covers(space->cache->coherence,
                                   bytes_of(space->name, space->name_len),
                                   bytes_of(key->data, key->len), tags, tag_count);
}

bool lookup_l2_usable(const struct nigh_space *space, const struct l1_key *key)
{
    const struct nigh *cache = space->cache;
    return lookup_l2_has_values(space) && !cache_is_closing(cache) &&
           !lookup_l2_covered(space, key, NULL, 0);
}

enum l1_store_result lookup_store(struct nigh_space *space, const struct l1_key *key,
                                  struct l1_entry *e)
{
    enum l1_store_result result = space_l1_store(space, key, e);
    space_l1_count_store(space, result);
    return result;
}
