/* SPDX-License-Identifier: MIT */
/*
 * Level 2: the table in this process. Lock-sharded for writers, RCU for readers, capped in bytes.
 *
 * Reading: enter a section, l1_find_rcu(), judge what was found (that is the caller's business: see
 * cache/freshness), pin it, leave. Writing: l1_store() under the shard's lock, fenced by floors.
 *
 * The one rule: every entry carries the stamp at which its load began; an invalidation
 * raises a floor. `now` counts invalidations applied by this node; a ticket is its value.
 *
 *   ticket  ticket = l1_ticket()       before looking anywhere
 *   store   iff ticket >= every hard and soft floor over the value (key, groups, space, all)
 *   key     its floor = ++now, THEN remove the entry under the shard lock
 *   group   its floor = ++now, nothing else: entries below are gone by judgement
 *
 * Why no older value survives: a storer checks the floors under the shard lock. If its section
 * comes first, the remover (which takes the lock after raising) finds the entry; if it comes
 * second, the lock's acquire shows it the raised floor. Group floors are judged at each hit, so
 * order is free.
 *
 * Memory: one byte count for the whole l1 (room.h): tables, entries, entries retired but not yet
 * freed (limbo), pinned, and unpublished (created, not stored). It never exceeds the cap.
 *
 * Lock order: reclaim lock, expire lock -> shard lock -> shrink lock, shadows lock -> the arena's
 * (base/slab.h). Floors have none; pins one, for who counts them, and nothing is taken under it.
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

struct l1_config {
    struct env *env;
    struct stats *stats;    /* of the cache: evictions, expiry and the like of every space */
    uint64_t memory_bytes;  /* the cap; tables and floors included */
    uint64_t limbo_bytes;   /* 0: 1/16 of memory */
    uint32_t shards;        /* power of two, 0: max(16, 4 x usable CPUs), ~16k entries a shard
                             * (which at most 458,745 can be) */
    uint32_t group_slots;   /* GROUP_SLOTS_MIN .. GROUP_SLOTS_MAX, power of two */
    enum nigh_policy policy;
    enum nigh_huge_pages huge_pages; /* DEFAULT: by memory_bytes */
    enum nigh_hash hash;             /* DEFAULT: XXH3 */
    uint64_t entries;       /* cap on their number, by shards; 0: none but memory */
    struct l1 *root;        /* NULL, or the table of all, of which this one shares what is one for
                             * the cache: floors, hash, reclaimer. See l1_create_apart() */
};

/* Errors: NIGH_ENOMEM; NIGH_EINVAL sizes out of range, or memory too small for the fixed tables */
int l1_create(const struct l1_config *config, struct l1 **ret_l1);
/* No reader, no pin, no other call. Frees everything. */
void l1_destroy(struct l1 *l1);
/* Remove and free all entries but those that somebody holds: these stay, to be given back as ever.
 * Nobody stores any more, and no other thread reclaims. May block for a grace period. */
void l1_empty(struct l1 *l1);

/* ---- names ---- */

/* A key of a space, hashed once per look at the table by l1_key_of(). */
struct l1_key {
    const void *data;
    uint32_t len;
    uint32_t space; /* id of the space in this process, 1 .. L1_SPACES_MAX */
    uint64_t hash;
};
struct l1_key l1_key_of(const struct l1 *l1, uint32_t space_id, const void *key, size_t len);

/* ---- entries: immutable once published ---- */

enum l1_flags {
    L1_ABSENT = 1, /* known not to exist: no value bytes */
};

/* What an entry is made of. Lifetimes are absolute (env clock). */
struct l1_value {
    struct bytes bytes;
    uint64_t stamp;          /* the ticket */
    int64_t born_ns;         /* when loaded from the origin; negative: before the clock began */
    uint64_t fresh_until_ns;
    uint64_t stale_until_ns; /* the entry leaves L1 then */
    uint64_t version;        /* 0: none */
    const uint16_t *groups;  /* slots of its tags; space and all are implied */
    uint32_t group_count;    /* <= NIGH_TAGS_MAX */
    uint8_t flags;           /* enum l1_flags */
};

/* What those of plain puts are drawn from (entry.h: l1_span_of()). */
struct l1_lifetimes {
    struct l1_span fresh; /* from when it is put */
    struct l1_span stale; /* from then on */
};

/*
 * Make an entry with one reference, charged to the cap (evicting for room); when there is no room
 * or the value is larger than a shard may hold, a `loose` one from general memory, which can be
 * handed out but never stored. Errors: NIGH_ENOMEM.
 */
int l1_entry_create(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                    struct l1_entry **ret_entry);

/*
 * One allocation that loose entries made together share: it is there until the last of them is let
 * go, and so is every other. By one thread.
 */
struct l1_shared;
/* Room for entries whose keys and values are `bytes` long together. NULL: no memory; they have
 * theirs apart then. */
struct l1_shared *l1_shared_create(struct l1 *l1, uint32_t count, size_t bytes);
/* No more entries are made there. NULL is fine. */
void l1_shared_end(struct l1_shared *shared);

/* A loose one at once, for what is handed out and never stored; in `shared`, if that is not NULL
 * and it fits. Errors: NIGH_ENOMEM. */
int l1_entry_create_loose(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                          struct l1_shared *shared, struct l1_entry **ret_entry);

/*
 * References are for entries held outside a read section by other means than a pin: the result of a
 * flight, a copy. The last unref frees an entry that was never stored; a stored one is freed by
 * reclamation, which looks at refs first and then at the pins (so that a pin taken under a
 * reference is always seen).
 */
void l1_entry_ref(struct l1_entry *e);
void l1_entry_unref(struct l1_entry *e);

/*
 * Inline in entry.h: l1_entry_loose, _stamp, _born_ns, _fresh_until_ns, _stale_until_ns, _version,
 * _absent, _groups, _key, _value. Times come back rounded down: born by at most
 * 0.53 ms, the lifetimes behind it by 1/32,768 and 1/1,024 of themselves (34 s and 1 s: exact).
 */

/* ---- reading ---- */

/* In a read section. NULL: not there. Expired or outdated ones are returned: the caller judges. */
static inline struct l1_entry *l1_find_rcu(const struct l1 *l1, const struct l1_key *key);
/* l1_touch(e, l1_generation(hit)), inline in hit.h: note the hit for the policy; at most one
 * relaxed store, none when the counter is full, or in the generation of the last one. */

/* When l1_touch() says so: the policy learns from a sample of the keys what suits the traffic. A
 * relaxed store or two. The entry is pinned, or found in a section. */
NIGH_OUTLINED void l1_report_hit(const struct l1_entry *e);

/*
 * Pin what was found, still inside the section, and fill `ret` (data, len, pin). When a thread
 * needs a page for more pins and there is no memory, a copy is handed out (NIGH_ENOMEM: there is
 * none for that either; `*ret_copied` says so for the counters).
 * A slot keeps only what is or was stored: an entry fresh from l1_entry_create() is freed by its
 * last reference, so hand that out with l1_pin_ref().
 */
int l1_pin_rcu(struct l1 *l1, struct l1_entry *e, struct nigh_value *ret, bool *ret_copied);
/* The same by taking a reference: for an entry that the caller holds a reference to. `tier` travels
 * in the pin's low bits. */
void l1_pin_ref(struct l1_entry *e, enum nigh_tier tier, struct nigh_value *ret);
/* The entry behind a pin, and the tier it was read from. */
struct l1_entry *l1_pin_entry(uintptr_t pin);
enum nigh_tier l1_pin_tier(uintptr_t pin);
/* Give back; any thread; 0: nothing. Slot: one release store. Reference: unref. */
static inline void l1_unpin(uintptr_t pin);
/* Pins of this cache's values, held by all threads now (about): looks at all of the process. */
uint64_t l1_pins(const struct l1 *l1);
/* The same, and bytes of retired entries that only holders keep (about): asks every shard. */
void l1_pins_read(struct l1 *l1, uint64_t *ret_pins, uint64_t *ret_bytes);

/*
 * ---- the path of a hit ----
 *
 * In a section: hash, bucket, the entry that it suggests, and hold that, whatever it is. Then,
 * outside: is it the key's, and good? If not, let go, and do it all again with l1_find_rcu().
 */

struct l1_space;
/* What a hit needs to know, of one space. Its entries belong to the group `group_slot` from now on:
 * it comes before the first of them. */
void l1_space_init(struct l1 *l1, uint32_t space_id, uint16_t group_slot,
                   struct l1_space *ret);
/* Its entries are in another table of the family from now on. No hit is under way. */
void l1_space_move(struct l1_space *s, const struct l1 *to);
static NIGH_INLINED uint64_t l1_hash(const struct l1_space *s, const void *key, size_t len);
static inline const struct l1_bucket *l1_bucket_rcu(const struct l1_space *s, uint64_t hash);
/* An entry that may be the key's: one in 200 is not. NULL: it is not there, or hard to find. */
static inline struct l1_entry *l1_likely_rcu(const struct l1_space *s, const struct l1_bucket *b,
                                             uint64_t hash);
/* Pin it if a slot is at hand: else 0. To be given back with l1_unpin(). */
static inline uintptr_t l1_hold_rcu(struct l1_entry *e);
/* Whether a held entry is the key's, and a value: `*ret_len` is then its length. */
static NIGH_INLINED bool l1_is_value(const struct l1_space *s, const struct l1_entry *e,
                                     const void *key, size_t len, size_t *ret_len);
/* l1_judge() == L1_CURRENT. */
static inline bool l1_is_current(const struct l1_space *s, const struct l1_entry *e);

/* ---- floors ---- */

uint64_t l1_ticket(const struct l1 *l1);

enum l1_standing {
    L1_CURRENT, /* at or above every floor over it */
    L1_BELOW_SOFT,
    L1_BELOW_HARD,
};

/* Where an entry stands against the floors of its groups (tags, space, all). Judged at a hit: one
 * load when no group floor rose since its stamp, else three more, if it has no tag or one. */
static inline enum l1_standing l1_judge(const struct l1 *l1, const struct l1_entry *e);
/* The same for any stamp, that of a flight, and a value of the space. */
enum l1_standing l1_judge_groups(const struct l1_space *s, uint64_t stamp, const uint16_t *groups,
                                 uint32_t group_count);
/* Against the key's floor: at store, join and landing; never at a hit. */
bool l1_key_current(const struct l1 *l1, const struct l1_key *key, uint64_t stamp);

/* The key's floor: the oldest ticket whose flight may still be joined (rule 10). */
uint64_t l1_key_floor(const struct l1 *l1, const struct l1_key *key);
/* Draws a position without raising any floor: a mark that later tickets are at or above (trust was
 * lost). */
uint64_t l1_mark(struct l1 *l1);

/* Raise the floor of a group. Any thread. Returns the new position. */
uint64_t l1_raise_group(struct l1 *l1, uint16_t slot, bool soft);
/*
 * Raise the key's floor, then remove its entry unless that is of `version` or newer (0: always).
 * When the entry stays by its version the floor is raised all the same (rule 15).
 * `*ret_ticket_ok` (may be NULL): whether `ticket` was at or above the key's floor just before.
 * Returns the new position.
 */
uint64_t l1_invalidate_key(struct l1 *l1, const struct l1_key *key, uint64_t version,
                           uint64_t ticket, bool *ret_ticket_ok);

/* ---- storing ---- */

enum l1_store_result {
    L1_STORED,
    L1_REFUSED_FLOOR,   /* below a floor: invalidated since its load began */
    L1_REFUSED_VERSION, /* a newer version is there */
    L1_REFUSED_FULL,    /* no room, limbo full, or loose */
};

/* A ticket for a value that is as of now, whatever was invalidated before. */
#define L1_TICKET_NOW UINT64_MAX

/*
 * A writer's own value, born now, in one step: raise the key's floor, so that no load that began
 * before is stored or joined, and put the value in place of what is there, stamped with the new
 * position, or with its ticket if something else was invalidated since (value->stamp is not read).
 * `heard`: a floor of the key that the value itself has raised; a ticket below it is as good. 0:
 * none. Readers find the old value or the new one. REFUSED_FLOOR: `ticket` is below a floor over
 * key or groups. REFUSED_VERSION: a newer one is there, or with `only_newer` the same. Not STORED:
 * what was there is gone, but for an entry of the value's version or newer.
 */
enum l1_store_result l1_write(struct l1 *l1, const struct l1_key *key,
                              const struct l1_value *value, uint64_t ticket, uint64_t heard,
                              bool only_newer);
/* The same of a value without version and tags, with L1_TICKET_NOW: REFUSED_FULL at most. Its
 * lifetimes are drawn by key and time. */
enum l1_store_result l1_put(struct l1 *l1, const struct l1_key *key, struct bytes value,
                            const struct l1_lifetimes *lifetimes);
/* Ahead of l1_write(): ask for the lines that it will need, while the value is being made. */
void l1_prefetch_write(struct l1 *l1, const struct l1_key *key);

/* Whether a full cache makes room for who comes. */
bool l1_evicts(const struct l1 *l1);

/* Whether an entry may be so large at all: 1/8 of the cap. */
bool l1_takes(const struct l1 *l1, const struct l1_key *key, const struct l1_value *value);

/* Publish an entry in place of what is there. It keeps the caller's reference. */
enum l1_store_result l1_store(struct l1 *l1, const struct l1_key *key, struct l1_entry *e);
/* l1_entry_create(), and then l1_store(), in one step where the value is small. */
int l1_entry_create_stored(struct l1 *l1, const struct l1_key *key, const struct l1_value *value,
                           struct l1_entry **ret_entry, enum l1_store_result *ret_result);

/* ---- housekeeping: called by the keeper's and reclaimer's steps ---- */

/* Remove what has expired, looking at no more than `budget` entries that may have. Returns when to
 * come again. */
uint64_t l1_expire(struct l1 *l1, uint32_t budget);
/* One grace period for what is in limbo, then free what nobody holds. May block for the period.
 * Returns when to come again (CLOCK_NEVER_NS: when poked through l1_set_reclaim_poke). */
uint64_t l1_reclaim(struct l1 *l1);
/*
 * Change the cap (and limbo's; 0: its share). A larger one holds when this returns; to a smaller
 * one l1_reclaim() gets in slices (shrink.h). Shards stay as many as they are.
 * Errors: NIGH_EINVAL: too little for the fixed tables, or limbo is more than half of it.
 */
int l1_set_memory(struct l1 *l1, uint64_t memory_bytes, uint64_t limbo_bytes);
/* Both as set. */
uint64_t l1_memory(struct l1 *l1);

/* ---- spaces with a cap of their own: family.h ---- */

/*
 * A table for one space, of at most so many of l1's bytes, which counts in `stats`. It goes with
 * l1, whose housekeeping and gauges are those of all tables. May wait for grace periods, to have
 * room for it. The space does not use it before l1_space_move().
 * Errors: NIGH_ENOMEM, no room either; NIGH_EINVAL: too little for its fixed tables, or there is a
 * cap on entries.
 */
int l1_create_apart(struct l1 *l1, const struct l1_space *s, struct stats *stats,
                    uint64_t memory_bytes, struct l1 **ret_apart);
/* Another cap, as l1_set_memory(); UINT64_MAX: none but l1.memory. Errors: NIGH_EINVAL. */
int l1_set_most(struct l1 *apart, uint64_t memory_bytes);
/* Remove a space's entries from a table in which nobody looks for them any more. */
void l1_drop_space(struct l1 *l1, uint32_t space_id);
/* The table of an entry. */
struct l1 *l1_of_entry(const struct l1_entry *e);
uint64_t l1_limbo(struct l1 *l1);
/* Called (any thread, outside locks if possible) when limbo wants a reclaim soon. */
void l1_set_reclaim_poke(struct l1 *l1, void (*poke)(void *arg), void *arg);

/* Names the gauges that cost something: a look at every shard, or the allocator's count. */
enum {
    L1_GAUGE_USED = 1,
    L1_GAUGE_TABLES = 2,
    L1_GAUGE_LIMBO = 4,
    L1_GAUGE_UNSTORED = 8,
    L1_GAUGE_ENTRIES = 16,
    L1_GAUGE_PINNED = 32,
    L1_GAUGE_RESIDENT = 64,
    L1_GAUGE_ALL = 127,
};
struct l1_gauges {
    uint64_t cap_bytes;       /* as set; while it comes down, used_bytes may be above it. Of a
                               * table apart: its most */
    uint64_t used_bytes;      /* everything charged */
    uint64_t peak_bytes;      /* highest used_bytes since the cap was last changed, or reached */
    uint64_t resident_bytes;  /* pages of the arena and the tables; 0: the backend does not know */
    uint64_t tables_bytes;    /* floors, buckets, queues, sketches */
    uint64_t limbo_bytes;     /* retired, not yet freed */
    uint64_t aside_bytes;     /* of these: removed while limbo was full, so charged as live */
    uint64_t unstored_bytes;  /* created, not stored (yet) */
    uint64_t pinned_bytes;    /* retired, kept by references or pins alone */
    uint64_t entries;
    uint32_t shards;
};
/* Those of `which` (L1_GAUGE_...), and those that cost nothing; the others are 0. Of a table apart,
 * or of all tables. */
void l1_gauges_read(struct l1 *l1, unsigned which, struct l1_gauges *ret);

/* What is declared `static inline` above. */
#include "l1/hit.h"
#include "l1/pin.h"

#endif
