/* SPDX-License-Identifier: MIT */
/*
 * Level 2: the table in this process. Lock-sharded for writers, RCU for readers, capped in bytes.
 *
 * Reading: enter a section, l1_find_rcu(), judge the entry found (compare it with floors and time:
 * the caller does, cache/value/freshness.h), pin it, leave. Writing: l1_store(), which takes the
 * shard's lock and is fenced by floors.
 *
 * The one rule: every entry carries the stamp at which its load began; an invalidation
 * raises a floor. `now` counts invalidations applied by this node; a ticket is its value.
 *
 *   ticket  ticket = l1_ticket()       before looking anywhere
 *   store   iff ticket >= every hard and soft floor over the value (key, groups, space, all)
 *   key     its floor = ++now, THEN remove the entry under the shard lock
 *   group   its floor = ++now, nothing else: each hit compares, and takes no entry below it
 *
 * Why no older value survives: a storer checks the floors under the shard lock. If its section
 * comes first, the remover (which takes the lock after raising) finds the entry; if it comes
 * second, the lock's acquire shows it the raised floor. Group floors are compared at each hit, so
 * for them the order does not matter.
 *
 * Memory: one byte count for the whole l1 (budget.h): tables and all entries, whether stored,
 * retired but not yet freed (limbo), pinned, or unpublished (created, not stored). The count never
 * exceeds the cap.
 *
 * Lock order: reclaim lock, expire lock -> shard lock -> shadows lock, family lock -> cap lock
 * -> the arena's (base/slab.h). Floors have no lock. Pins have one, for the threads that count
 * them, and no other is taken under it.
 *
 * Each function, or the group that it is in, says who may call it and what it locks:
 *   Threads  any: several at once, too. In a section: a read section of the caller's. One: alone,
 *            or beside those calls only that the text allows.
 *   Locks    of l1, by the names above; the allocator's are not named. Shard: with it may be taken
 *            what is below it, and while room is made other shards' by trylock. Whatever takes a
 *            lock is called outside of read sections, for the reclaimer waits for their end under
 *            its own.
 */
#ifndef NIGH_L1_L1_H
#define NIGH_L1_L1_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <nigh/read.h>

#include "base/base.h"
#include "l1/entry.h"
#include "stats/stats.h"

struct l1;
struct l1_entry;
struct l1_policy;

/* All policies: the name of a value of enum nigh_policy, in the order of these, and the word of
 * l1.policy, which is also that of its file, policy_WORD.c. */
#define L1_POLICIES(X)                                                                             \
    X(LRU, lru)                                                                                    \
    X(LFU, lfu)                                                                                    \
    X(TTL, ttl)                                                                                    \
    X(NONE, none)

struct l1_config {
    struct env *env;
    struct stats *stats;    /* the cache's: evictions, expiry and so on, of all spaces */
    uint64_t memory_bytes;  /* the cap; tables and floors included */
    uint64_t limbo_bytes;   /* 0: 1/16 of memory */
    uint32_t shards;        /* power of two, 0: max(16, 4 x usable CPUs), ~16k entries a shard
                             * (a shard can have 458,745 at most) */
    uint32_t group_slots;   /* GROUP_SLOTS_MIN .. GROUP_SLOTS_MAX, power of two */
    enum nigh_policy policy;            /* DEFAULT: lfu */
    const struct l1_policy *own_policy; /* NULL, or one that is in no table: for tests */
    enum nigh_huge_pages huge_pages; /* DEFAULT: by memory_bytes */
    enum nigh_hash hash;             /* DEFAULT: XXH3 */
    uint64_t entries;       /* cap on the number of entries, divided among shards; 0: no cap */
    uint32_t mark_one_in;   /* power of two: one key in so many is marked, or more (marks.h), if
                             * that is more than one in MARK_ONE_IN. 0: one in so many */
    struct l1 *root;        /* NULL, or the table of all, whose floors, hash and reclaimer this one
                             * shares. See l1_create_apart() */
};

/*
 * Create a table, empty.
 * Errors   NIGH_ENOMEM; NIGH_EINVAL sizes out of range, or memory too small for the fixed tables
 * Threads  any
 * Locks    none
 */
int l1_create(const struct l1_config *config, struct l1 **ret_l1);
/* Free everything, the tables apart too. Threads: one; no reader, pin or other call is left. Locks:
 * none, but that of who counts pins. */
void l1_destroy(struct l1 *l1);
/*
 * Remove all entries, and free those that are neither pinned nor referenced; the others stay until
 * their holders give them back as usual. May block for a grace period.
 * Threads  one: no thread stores any more, and no other one reclaims
 * Locks    reclaim, shard
 */
void l1_empty(struct l1 *l1);

/* ---- names ---- */

/* A key of a space. l1_key_of() hashes it, once for each look at the table. Threads: any. Locks:
 * none. */
struct l1_key {
    const void *data;
    uint32_t len;
    uint32_t space; /* id of the space in this process, 1 .. L1_SPACES_MAX */
    uint64_t hash;
};
struct l1_key l1_key_of(const struct l1 *l1, uint32_t space_id, const void *key, size_t len);

/* ---- entries: immutable once published ---- */

enum l1_flags {
    L1_ABSENT = 1,    /* known not to exist: no value bytes */
    L1_REFRESHED = 8, /* a refresh has brought it, and nobody waited for it: l1_note_read() */
};

/* The content from which an entry is made. Lifetimes are absolute (env clock). */
struct l1_value {
    struct bytes bytes;
    uint64_t stamp;          /* the ticket of its load */
    int64_t born_ns;         /* when loaded from the origin; negative: before the clock began */
    uint64_t fresh_until_ns;
    uint64_t stale_until_ns; /* the entry leaves L1 then */
    uint64_t version;        /* 0: none */
    const uint16_t *groups;  /* slots of its tags; those of the space and of all are implied */
    uint32_t group_count;    /* <= NIGH_TAGS_MAX */
    uint8_t flags;           /* enum l1_flags */
};

/* The ranges from which l1_put() draws a value's lifetimes (entry.h: l1_span_of()). */
struct l1_lifetimes {
    struct l1_span fresh; /* begins at the put */
    struct l1_span stale; /* begins when `fresh` ends */
};

/*
 * Make an entry with one reference, charged to the cap (evicting for room). If there is no room, or
 * the entry is larger than l1_takes() allows, it is a `loose` one from general memory, which can be
 * handed out but never stored.
 * Errors   NIGH_ENOMEM
 * Threads  any
 * Locks    shard
 */
int l1_entry_create(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                    struct l1_entry **ret_entry);

/*
 * An allocation shared by loose entries that are made together. It is freed, with all of them, when
 * the last of them has been given back. Threads: one, the maker. Locks: none.
 */
struct l1_shared;
/* Allocate room for `count` entries, whose keys and values are `bytes` long together. NULL: no
 * memory; then each entry gets memory of its own. */
struct l1_shared *l1_shared_create(struct l1 *l1, uint32_t count, size_t bytes);
/* Give up the maker's reference: no more entries are made in it. NULL is fine. */
void l1_shared_end(struct l1_shared *shared);

/* Make a loose entry, to be handed out and never stored; in `shared`, if that is not NULL and has
 * room. Errors: NIGH_ENOMEM. Threads: any. Locks: none. */
int l1_entry_create_loose(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                          struct l1_shared *shared, struct l1_entry **ret_entry);

/*
 * References keep an entry's memory outside a read section where no pin does: for the result of a
 * flight, a copy. The last unref frees an entry that was never stored; a stored one is freed by
 * reclamation, which looks at refs first and then at the pins (so that a pin taken under a
 * reference is always seen).
 * Threads  any; a reference is taken under another one, or in the section that found the entry
 * Locks    none
 */
void l1_entry_ref(struct l1_entry *e);
void l1_entry_unref(struct l1_entry *e);

/*
 * Inline in entry.h: l1_entry_loose, _stamp, _born_ns, _fresh_until_ns, _stale_until_ns, _version,
 * _absent, _groups, _key, _value. Times come back rounded down: the birth by at most 0.53 ms; the
 * lifetimes, fresh and stale, by 1/32,768 and 1/1,024 of themselves (up to 34 s and 1 s: exact).
 */

/* ---- reading ---- */

/* Find a key's entry. NULL: not there. Expired and outdated entries are returned too: the caller
 * decides. Threads: any, in a section. Locks: none. */
static inline struct l1_entry *l1_find_rcu(const struct l1 *l1, const struct l1_key *key);
/*
 * l1_touch(e, l1_generation(hit)), inline in hit.h: note the hit for the policy. At most one
 * relaxed store; none when the counter is full, or the last hit was in the same generation. As the
 * next one, for an entry that is pinned, or was found in the caller's section. Returns 0, as for
 * most entries, or bits that say who is to be told of the hit.
 */
enum {
    L1_TOUCHED_SAMPLED = 1, /* the policy: l1_report_hit() */
    L1_TOUCHED_MARKED = 2,  /* takers of each hit of the marked keys: see l1_marks() */
};

#define L1_MEMORY_LEAST (4u << 20) /* what l1.memory may be */

/* Marked are the keys whose hash has 0 in a mask from this bit on: other bits than those that
 * choose a bucket, a shard (up to 2^20 of them), or the policy's sample (up to 2^10). */
#define L1_MARK_SHIFT 26

/* Whether keys of this hash are marked: one in so many (l1_config.mark_one_in) is, or more while
 * the curve watches a small cache (marks.h), by the seeded hash, so that nobody can choose which.
 * l1_touch() tells each hit of them. Threads: any. Locks: none. */
bool l1_marks(const struct l1 *l1, uint64_t hash);
/* The same for who has the mask at hand: that of now, which l1_curve_keep() and l1_curve_set() may
 * change. */
uint32_t l1_mark_mask(const struct l1 *l1);
/* The mask of the most marks that there have been. Whatever key l1_touch() tells a hit of has 0 in
 * it; but perhaps not in that of now, for a mark may outlive a change (marks.h). */
uint32_t l1_mark_mask_least(const struct l1 *l1);
static inline bool l1_mask_marks(uint32_t mask, uint64_t hash)
{
    return !((uint32_t)(hash >> L1_MARK_SHIFT) & mask);
}

/* Note a read of a value that a refresh has brought (l1_entry_refreshed()): by a hit of it that
 * l1_touch() told as L1_TOUCHED_MARKED, or by a caller who joined its flight. Returns whether its
 * key is marked. Threads: any. Locks: none. */
NIGH_OUTLINED bool l1_note_read(const struct l1 *l1, struct l1_entry *e);

/*
 * ---- what another cap would bring: curve.h ----
 *
 * Threads  any
 * Locks    that of the curve; the first two a leaf, if it is free; l1_curve_keep() before it shard
 */

/* Tell of a read of a marked key: that it hit `e`, or missed. For reads of spaces in the table of
 * all. `now`: in ticks. `anew`: a cache without the entry would have loaded a new value; else it
 * would have got this one from elsewhere, as old as it is. */
void l1_curve_hit(struct l1 *l1, const struct l1_entry *e, uint64_t now, bool anew);
void l1_curve_miss(struct l1 *l1, const struct l1_key *key);
/* Count the reads of a space that have hit and missed so far, of any keys. Those of a space that
 * was not there at the first l1_curve_keep() are counted from 0. */
void l1_curve_count(struct l1 *l1, uint32_t space, uint64_t hits, uint64_t misses);
/* Ask the mini caches for what has happened since the last call. Returns in how many nanoseconds to
 * call it again. */
uint64_t l1_curve_drain(struct l1 *l1);
/* The same, and fit the marks and the mini caches to what is held. To be called each second or so,
 * when the reads of each space have just been counted. */
uint64_t l1_curve_keep(struct l1 *l1);
/* Begin to watch, or stop. Under a policy that has no model nothing begins. Returns whether it
 * watches. */
bool l1_curve_set(struct l1 *l1, bool on);

#define L1_CURVE_POINTS 6u /* 1/4, 1/2, 1, 2, 4, 8 times the cap */
#define L1_CURVE_TWICE 3u

struct l1_curve_point {
    double size;     /* in caps of now */
    uint64_t cap;    /* in bytes, or a count of values */
    double ratio;    /* expected share of hits */
    double error;    /* two deviations by chance, and what the model is off: curve_figures.c */
    uint32_t reads;  /* seen by its mini cache, lately */
    uint32_t sample; /* of one key in so many; 0: none yet */
    bool enough;     /* to be believed: the present one, too */
    bool few;        /* never enough: the cap has room for too few values */
    bool possible;   /* l1.memory, or l1.entries, may be so small */
    double lacks;    /* not enough: reads of any keys that it lacks, at most; 0: not known */
    uint64_t age_ns; /* enough: since it was so, when it begins anew; else 0 */
};
/* Since when the reads count that were measured, of all keys. */
enum l1_curve_since {
    L1_CURVE_SINCE_BEGUN,
    L1_CURVE_SINCE_CAP,    /* the cap was set */
    L1_CURVE_SINCE_FILLED, /* the mini cache of the present cap had filled */
    L1_CURVE_SINCE_LONG,   /* longer: what was before has faded */
};
struct l1_curve {
    bool has_model;          /* the policy has one */
    bool by_count;           /* of l1.entries rather than of bytes */
    double ratio;            /* measured lately, as points[2] has it */
    double reads;            /* of any keys that are counted here: older ones count less */
    double reads_per_second; /* lately */
    double rate_promised;    /* reads a second with which points get what they lack; 0: too few */
    enum l1_curve_since since;
    double seen;             /* share of the reads of marked keys that it has seen */
    uint64_t own_bytes;      /* that all this takes */
    struct l1_curve_point points[L1_CURVE_POINTS];
};
/* Read the curve. False: it is off; only has_model and by_count are told. */
bool l1_curve_read(struct l1 *l1, struct l1_curve *ret);

/* A space's part in it. */
struct l1_curve_space {
    double ratio;            /* measured lately, of the space's reads */
    double reads_per_second; /* lately */
    struct {
        double ratio; /* expected at the cap, shared as it is now */
        double error; /* as above */
        bool enough;  /* the point has seen enough, also of this space */
    } points[L1_CURVE_POINTS];
};
/* Read it. False: the curve is off, or knows no reads of the space. */
bool l1_curve_read_space(struct l1 *l1, uint32_t space, struct l1_curve_space *ret);

/* Report a hit to the policy, when l1_touch() said L1_TOUCHED_SAMPLED: from a sample of the keys
 * the policy learns what suits the traffic. A relaxed store or two. Threads: any. Locks: none. */
NIGH_OUTLINED void l1_report_hit(const struct l1_entry *e);

/*
 * Pin the entry found, still inside the section, and fill `ret` (data, len, pin). When the thread
 * needs a page for more pins and there is no memory, a copy is handed out, and `*ret_copied` says
 * so, for the counters. Errors: NIGH_ENOMEM: no memory for the copy either.
 * A slot protects only an entry that is or was stored: one fresh from l1_entry_create() is freed by
 * its last reference, so hand that out with l1_pin_ref().
 * Threads  any, in the section that found the entry
 * Locks    none
 */
int l1_pin_rcu(struct l1 *l1, struct l1_entry *e, struct nigh_value *ret, bool *ret_copied);
/* Fill `ret` like l1_pin_rcu(), but take a reference instead of a slot: for an entry to which the
 * caller has a reference. `tier` travels in the pin's low bits. Threads: any. Locks: none. */
void l1_pin_ref(struct l1_entry *e, enum nigh_tier tier, struct nigh_value *ret);
/* The entry behind a pin, and the tier it was read from. Threads: any that has the pin. Locks:
 * none. */
struct l1_entry *l1_pin_entry(uintptr_t pin);
enum nigh_tier l1_pin_tier(uintptr_t pin);
/* Give a pin back. 0: nothing to do. A slot is emptied with one release store, a reference given up
 * with l1_entry_unref(). Threads: any. Locks: none. */
static inline void l1_unpin(uintptr_t pin);
/* About how many pins of this cache's values all threads have now: looks at every pin of the
 * process. Threads: any. Locks: that of who counts pins, for each. */
uint64_t l1_pins(const struct l1 *l1);
/* Count l1_pins(), and about how many bytes are of retired entries that only pins or references
 * keep: asks every shard. Threads: any. Locks: that one; shard. */
void l1_pins_read(struct l1 *l1, uint64_t *ret_pins, uint64_t *ret_bytes);

/*
 * ---- the path of a hit ----
 *
 * Inside a section: hash the key, find its bucket, take the entry that the bucket suggests, and pin
 * it (hold), whatever it is. Then, outside: is it the key's, and fresh? If not, unpin it and begin
 * anew with l1_find_rcu().
 * Threads  any; those with `_rcu` in a section
 * Locks    none
 */

struct l1_space;
/* Fill in what a hit needs to know of one space. From now on the space's entries belong to the
 * group `group_slot`. Threads: one, before the space has any entry. */
void l1_space_init(struct l1 *l1, uint32_t space_id, uint16_t group_slot,
                   struct l1_space *ret);
/* Count what becomes of the space's entries in this set, instead of the table's; it is read no more
 * once l1 is destroyed. Errors: NIGH_ENOMEM. Threads: as l1_space_init(). Locks: shard. */
int l1_space_count_in(struct l1 *l1, uint32_t space_id, struct stats *stats);
/* Let hits of the space search another table of the family from now on. Threads: one, while no hit
 * of the space is under way. */
void l1_space_move(struct l1_space *s, const struct l1 *to);
static NIGH_INLINED uint64_t l1_hash(const struct l1_space *s, const void *key, size_t len);
static inline const struct l1_bucket *l1_bucket_rcu(const struct l1_space *s, uint64_t hash);
/* The first entry whose tag matches: the key's, but for one in 200. NULL: none matches, or the
 * first match is an empty word. */
static inline struct l1_entry *l1_likely_rcu(const struct l1_space *s, const struct l1_bucket *b,
                                             uint64_t hash);
/* Pin the entry if a free slot is at hand, else return 0. To be given back with l1_unpin(). */
static inline uintptr_t l1_hold_rcu(struct l1_entry *e);
/* Whether a pinned entry is the key's, and no absence: `*ret_len` is then the value's length. */
static NIGH_INLINED bool l1_is_value(const struct l1_space *s, const struct l1_entry *e,
                                     const void *key, size_t len, size_t *ret_len);
/* Whether l1_judge() is L1_CURRENT. */
static inline bool l1_is_current(const struct l1_space *s, const struct l1_entry *e);

/*
 * ---- floors ----
 *
 * Threads  any; l1_judge() and its kin for an entry that is pinned, referenced, or found in the
 *          caller's section
 * Locks    none, but for l1_invalidate_key()
 */

/* Take a ticket, before looking anywhere. */
uint64_t l1_ticket(const struct l1 *l1);

enum l1_standing {
    L1_CURRENT, /* at or above every floor over it */
    L1_BELOW_SOFT,
    L1_BELOW_HARD,
};

/* Judge: compare an entry's stamp with the floors of its groups (tags, space, all). At a hit it is
 * one load when no group floor rose since the stamp, else three more, if it has at most one tag. */
static inline enum l1_standing l1_judge(const struct l1 *l1, const struct l1_entry *e);
/* l1_judge() for any stamp, such as a flight's, and the groups of a value of the space. */
enum l1_standing l1_judge_groups(const struct l1_space *s, uint64_t stamp, const uint16_t *groups,
                                 uint32_t group_count);
/* Returns the stamp to judge a value by of which nobody knows how old it is: see l1_renew(). */
uint64_t l1_renewed(const struct l1 *l1);
/* Whether a stamp is at or above the key's floor: for stores, joins, landings, and values of which
 * nobody knows how old they are; never at a hit. */
bool l1_key_current(const struct l1 *l1, const struct l1_key *key, uint64_t stamp);

/* The key's floor: the oldest ticket whose flight may still be joined (rule 10). */
uint64_t l1_key_floor(const struct l1 *l1, const struct l1_key *key);
/* Draw a position without raising any floor: a mark that later tickets are at or above (used when
 * trust was lost). */
uint64_t l1_mark(struct l1 *l1);

/* Raise the floor of a group. Returns the new position. */
uint64_t l1_raise_group(struct l1 *l1, uint16_t slot, bool soft);
/* Tell that stamps of Redis made before this position cannot be compared any more: its clock is
 * another one. (No floor says so: an invalidation of all raises one, too, and is no such thing.) */
void l1_renew(struct l1 *l1, uint64_t position);
/*
 * Raise the key's floor, then remove its entry unless that is of `version` or newer (0: always).
 * When the entry stays because of its version, the floor is raised all the same (rule 15).
 * `*ret_ticket_ok` (may be NULL): whether `ticket` was at or above the key's floor just before.
 * Returns the new position.
 * Locks    shard, after the floor was raised
 */
uint64_t l1_invalidate_key(struct l1 *l1, const struct l1_key *key, uint64_t version,
                           uint64_t ticket, bool *ret_ticket_ok);
/* As l1_invalidate_key(), but the entry of the stamp `own` stays, too (0: none): it is what the
 * invalidation is about, put before that was accepted. Mini caches keep it, too. */
uint64_t l1_invalidate_others(struct l1 *l1, const struct l1_key *key, uint64_t version,
                              uint64_t own, uint64_t ticket, bool *ret_ticket_ok);

/* Read the floors of a group: the last invalidation, and the last hard one; 0: none. For people. */
void l1_group_floors(const struct l1 *l1, uint16_t slot, uint64_t *ret_any, uint64_t *ret_hard);

/*
 * ---- what became of a key ----
 *
 * Threads  any
 * Locks    none
 */

/* Causes for which a key is not in the table. Those from L1_FATE_RARE on are kept apart,
 * and FAILED with those of answers that a key does not exist. */
enum l1_fate {
    L1_FATE_NONE,
    L1_FATE_EVICTED,        /* for room */
    L1_FATE_SHED,           /* a cap came down, or pages were given back */
    L1_FATE_REFUSED_POLICY, /* the policy kept what is there */
    L1_FATE_REFUSED_FULL,   /* there was no room, and nothing could be evicted */
    L1_FATE_EXPIRED,
    L1_FATE_MOVED,          /* the space got a table apart, and began empty: all that it had */
    L1_FATE_RARE,
    L1_FATE_CHANGED = L1_FATE_RARE, /* invalidated, or written by somebody: `who` */
    L1_FATE_REFUSED_FLOOR,  /* it was invalidated while it was on its way */
    L1_FATE_REFUSED_LARGE,  /* larger than L1 takes */
    L1_FATE_OVERSIZE,       /* above the space's limit */
    L1_FATE_FAILED,         /* its load failed */
    L1_FATE_PUT_REFUSED,    /* what was put is older than what there is, or too large */
    L1_FATE_COUNT
};
struct l1_fated {
    enum l1_fate fate;
    uint16_t who;    /* CHANGED: 0: this process; else what names another one */
    uint64_t ago_ns; /* to about a second */
    bool absent;     /* EVICTED, SHED, EXPIRED: not a value went, but "does not exist" */
    bool forgotten;  /* it may have been evicted or refused since: that place was taken over */
    uint64_t reach_ns;        /* so far back nothing of the frequent causes is forgotten of values
                               * of this key; UINT64_MAX: nothing at all */
    uint64_t no_value_reach_ns; /* ... of answers that it does not exist, and of failed loads */
    uint64_t rare_reach_ns;     /* ... of the other causes */
};
void l1_note_fate(struct l1 *l1, const struct l1_key *key, enum l1_fate fate, uint16_t who);
/* Note that the key was changed, at a time that may be past and noted already; 0: now. What is
 * known to have become of it since stays. */
void l1_note_change(struct l1 *l1, const struct l1_key *key, uint16_t who, uint64_t at_ns);
/* Returns the last cause that is remembered; L1_FATE_NONE: nothing is known. */
struct l1_fated l1_fate_of(const struct l1 *l1, const struct l1_key *key);
/* Returns how many keys' frequent causes are remembered, at most. */
uint32_t l1_fates_kept(const struct l1 *l1);

/*
 * ---- storing ----
 *
 * Who may store: whoever took the ticket before he looked anywhere, and has it still. In the layer
 * above only two files call these (`test/checks/layers.sh`): one that asks for the space's table
 * (cache/space_l1.h), and one that makes a draft an entry (cache/value/draft.h).
 * Threads  any
 * Locks    shard; l1_prefetch_write(), l1_evicts() and l1_takes(): none
 */

enum l1_store_result {
    L1_STORED,
    L1_REFUSED_FLOOR,   /* below a floor: invalidated since its load began */
    L1_REFUSED_VERSION, /* a newer version is there */
    L1_REFUSED_FULL,    /* no room, limbo full, or a loose entry */
};

/* A ticket for a value that is current now, whatever was invalidated before. */
#define L1_TICKET_NOW UINT64_MAX

/*
 * Store a writer's own value, born now, in one step: raise the key's floor, so that no load that
 * began before is stored or joined, and put the value in place of the entry that is there, stamped
 * with the new position, or with its ticket if something else was invalidated since (value->stamp
 * is not read). `heard`: a floor of the key that the value itself has raised, so a ticket below it
 * is as good; 0: none. Readers find the old value or the new one. REFUSED_FLOOR: `ticket` is below
 * a floor over key or groups. REFUSED_VERSION: a newer version is there, or with `only_newer` the
 * same one. Not STORED: the entry that was there is removed, unless it is of the value's version or
 * newer.
 */
enum l1_store_result l1_write(struct l1 *l1, const struct l1_key *key,
                              const struct l1_value *value, uint64_t ticket, uint64_t heard,
                              bool only_newer);
/* As l1_write(). *ret_stamp: the stamp of the entry, if it is stored. */
enum l1_store_result l1_write_stamped(struct l1 *l1, const struct l1_key *key,
                                      const struct l1_value *value, uint64_t ticket, uint64_t heard,
                                      bool only_newer, uint64_t *ret_stamp);
/* l1_write() for a value without version and tags, with L1_TICKET_NOW: the one refusal is
 * REFUSED_FULL. The lifetimes are drawn by key and time. */
enum l1_store_result l1_put(struct l1 *l1, const struct l1_key *key, struct bytes value,
                            const struct l1_lifetimes *lifetimes);
/* Prefetch the lines that l1_write() will need, while the value is still being made. */
void l1_prefetch_write(struct l1 *l1, const struct l1_key *key);

/* Whether a full table evicts to make room for a new entry: with every policy but `none`. */
bool l1_evicts(const struct l1 *l1);

/* Whether the entry for this value is small enough to be stored at all: 1/8 of the cap at most. */
bool l1_takes(const struct l1 *l1, const struct l1_key *key, const struct l1_value *value);

/* Publish an entry in place of the key's present one. The caller keeps its reference. */
enum l1_store_result l1_store(struct l1 *l1, const struct l1_key *key, struct l1_entry *e);
/* Do l1_entry_create() and then l1_store(), in one step where the value is small. */
int l1_entry_create_stored(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                           struct l1_entry **ret_entry, enum l1_store_result *ret_result);

/* ---- housekeeping: called by the keeper's and reclaimer's steps ---- */

/* Remove expired entries, looking at no more than `budget` that may be. Returns when to come again.
 * Threads: any; others wait. Locks: expire, shard. */
uint64_t l1_expire(struct l1 *l1, uint32_t budget);
/*
 * Let a grace period pass for the entries in limbo, then free those neither pinned nor referenced.
 * May block for the period. Returns when to come again (CLOCK_NEVER_NS: when the hook of
 * l1_set_reclaim_poke() is called).
 * Threads  any; others wait
 * Locks    reclaim, during the grace period too; shard, and what is below
 */
uint64_t l1_reclaim(struct l1 *l1);
/*
 * Change the cap (and limbo's; 0: its share). A larger cap is in force when this returns; a smaller
 * one is reached by l1_reclaim(), in slices (shrink.h). The number of shards does not change.
 * Errors   NIGH_EINVAL too little for the fixed tables, or limbo is more than half of the cap
 * Threads  any
 * Locks    family, cap
 */
int l1_set_memory(struct l1 *l1, uint64_t memory_bytes, uint64_t limbo_bytes);
/* The cap as set: l1.memory, or of a table apart its most. Threads: any. Locks: family. */
uint64_t l1_memory(struct l1 *l1);

/* ---- spaces with a cap of their own: family.h ---- */

/*
 * Create a table for one space, of at most `memory_bytes` of l1's bytes, which counts in `stats`.
 * It is destroyed with l1, whose housekeeping and gauges take in all tables. May wait for grace
 * periods, until there is room for it. The space does not use it before l1_space_move().
 * Errors   NIGH_ENOMEM no memory, or no room under the cap; NIGH_EINVAL too little for its fixed
 *          tables, or there is a cap on entries
 * Threads  any, beside all but l1_destroy()
 * Locks    reclaim; shard; family, cap
 */
int l1_create_apart(struct l1 *l1, const struct l1_space *s, struct stats *stats,
                    uint64_t memory_bytes, struct l1 **ret_apart);
/* Change a space's cap, as l1_set_memory() does; UINT64_MAX: none but l1.memory. Errors:
 * NIGH_EINVAL: too little for the fixed tables. Threads: any. Locks: family, cap. */
int l1_set_most(struct l1 *apart, uint64_t memory_bytes);
/* Remove a space's entries from a table in which no reader looks for them any more. Threads: any.
 * Locks: shard. */
void l1_drop_space(struct l1 *l1, uint32_t space_id);
/* The table that an entry was made for; NULL: one inherited by fork(). Threads: any. Locks:
 * none. */
struct l1 *l1_of_entry(const struct l1_entry *e);
/* Limbo's cap as set; 0: its share. Threads: any. Locks: cap. */
uint64_t l1_limbo(struct l1 *l1);
/* Set the hook that is called (any thread, outside locks if possible) when limbo wants a reclaim
 * soon. Threads: one, before anything is stored. */
void l1_set_reclaim_poke(struct l1 *l1, void (*poke)(void *arg), void *arg);

/* The gauges that cost something: a look at every shard, or the allocator's count. */
enum {
    L1_GAUGE_USED = 1,
    L1_GAUGE_TABLES = 2,
    L1_GAUGE_LIMBO = 4,
    L1_GAUGE_UNSTORED = 8,
    L1_GAUGE_ENTRIES = 16,
    L1_GAUGE_PINNED = 32,
    L1_GAUGE_RESIDENT = 64,
    L1_GAUGE_WAITS = 128,
    L1_GAUGE_ALL = 255,
};
struct l1_gauges {
    uint64_t cap_bytes;       /* l1_memory(); used_bytes may be above it while it comes down */
    uint64_t used_bytes;      /* everything charged */
    uint64_t peak_bytes;      /* highest used_bytes since the cap was last changed, or reached */
    uint64_t resident_bytes;  /* pages of the arena and the tables; 0: the backend does not know */
    uint64_t tables_bytes;    /* floors, buckets, queues, sketches, fates */
    uint64_t floors_bytes;    /* part of it */
    uint64_t limbo_bytes;     /* retired, not yet freed */
    uint64_t aside_bytes;     /* part of limbo_bytes: retired when limbo was full; count as live */
    uint64_t unstored_bytes;  /* created, not stored (yet) */
    uint64_t pinned_bytes;    /* retired, kept by pins or references alone */
    uint64_t entries;
    uint64_t lock_waits;      /* times that a shard's lock was waited for ... */
    uint64_t lock_wait_ns;    /* ... and how long in all */
    uint32_t shards;
};
/* Read the gauges of `which` (L1_GAUGE_...) and those that cost nothing; the others are 0. `l1`:
 * the table of all, for the sums over all tables; or a table apart, for its own. Threads: any.
 * Locks: shard, each in turn, and shadows, for some of them; family. */
void l1_gauges_read(struct l1 *l1, unsigned which, struct l1_gauges *ret);

/* The cap on the number of values (l1.entries), as the shards of this table share it; 0: none. */
uint64_t l1_entries_cap(const struct l1 *l1);

/* What is in L1 of the spaces that count in a set, in all tables. Threads: any. Locks: shard, each
 * in turn. */
struct l1_level {
    uint64_t entries;
    uint64_t bytes; /* charged for them */
};
void l1_level_read(struct l1 *l1, const struct stats *set, struct l1_level *ret);
/* The same, and what has left is added to counts of stats_read_own(): of one visit to each shard,
 * where stats_read_all() would make another. */
void l1_level_count(struct l1 *l1, const struct stats *set, struct l1_level *ret,
                    uint64_t counts[STATS_COUNTER_COUNT]);

/* Returns the bytes of what counts spaces' entries, as far as they are outside of the cap. Threads:
 * any. Locks: a shard. */
uint64_t l1_level_bytes(struct l1 *l1);

/* A shard beside the others: what it has, and how its lock was waited for. */
struct l1_shard_gauges {
    uint64_t entries;
    uint64_t entry_bytes;
    uint64_t lock_waits;
    uint64_t lock_wait_ns;
};
/* Visit every shard of every table, under no lock. Threads: any. Locks: shard, each in turn. */
void l1_shards_each(struct l1 *l1, void (*visit)(void *arg, const struct l1_shard_gauges *g),
                    void *arg);

/* Define the functions declared `static inline` above. */
#include "l1/hit.h"
#include "l1/pin.h"

#endif
