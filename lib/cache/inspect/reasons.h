/* SPDX-License-Identifier: MIT */
/*
 * Every reason for which a key is read as it is: one table, of which nigh_explain() says one row,
 * and the row for what Redis has to say if L1 does not answer.
 *
 * X(NAME, "name for programs", "sentence"). A sentence has no full stop at its end, for the other
 * row may follow. What is in braces is filled in from the explanation:
 *
 *     {fresh} {stale}      what the value in L1 has left, or how long ago that ended
 *     {redis fresh} ...    the same of the value in Redis
 *     {ago}                of the fate: when that became of the key
 *     {changer}            who changed the key, and when that was done, or heard of
 *     {more}               whether a larger cap would have kept the value to this moment; which
 *     {absent ttl}         for how long the space keeps the answer that a key does not exist
 *     {longer}             for how long it would have to, for this key
 *     {traces}             whether it is known that there never was any
 *     {floor} {raised}     the group that outdates the value in L1; by whom and when
 *     {redis floor}        what is remembered last of what is over the value in Redis
 *     {trust} {doubt}      for how long trust has been lost, and why
 *     {state} {waiters} {flight}         of the load that is under way, and what time it has left
 *     {spared} {error} {failures}        of the load that failed
 *     {lease} {holder}     of the right to load
 *     {eighth of}          the cap that bounds a value of the space in L1
 *     {problem} {redis error} {limit}
 */
#ifndef NIGH_CACHE_INSPECT_REASONS_H
#define NIGH_CACHE_INSPECT_REASONS_H

#include "cache/inspect/explain.h"
#include "cache/say.h"

#define REASONS(X)                                                                                 \
    /* L1 has it */                                                                                \
    X(FRESH, "fresh", "L1 has it, fresh for {fresh} more")                                         \
    X(ABSENT, "absent",                                                                            \
      "L1 knows that it does not exist, and asks nobody for {fresh} more (space.absent_ttl)")      \
    X(STALE, "stale",                                                                              \
      "L1 has it, but it has been stale for {fresh}, since its lifetime ended (space.soft_ttl)")   \
    X(STALE_FLOOR, "stale_floor",                                                                  \
      "L1 has it, but it is stale: {floor} was invalidated softly{raised}")                        \
    X(STALE_CLOCK, "stale_clock",                                                                  \
      "L1 has it, but it is stale: it was loaded before this process met another clock in Redis "  \
      "(a restart, a failover, a lost trail)")                                                     \
    X(DOUBT, "doubt", "L1 has it, but calls it stale: trust {trust}: {doubt}")                     \
    X(LEARNT, "learnt",                                                                            \
      "L1 has it, loaded since trust was lost, but calls it stale: trust {trust}: {doubt}")        \
    /* L1 has it, and it is no answer */                                                           \
    X(DOUBT_MISS, "doubt_miss",                                                                    \
      "L1 has it, but does not use it (coherence.on_doubt is miss): trust {trust}: {doubt}")       \
    X(DOUBT_ABSENT, "doubt_absent",                                                                \
      "L1 has it as absent, but does not believe that: trust {trust}: {doubt}")                    \
    X(GONE_FLOOR, "invalidated_group",                                                             \
      "{floor} was invalidated{raised}: what L1 has of it is older, and gone")                     \
    X(ABSENT_FLOOR, "absent_outdated",                                                             \
      "L1 has it as absent, but {floor} was invalidated{raised}")                                  \
    X(ABSENT_CLOCK, "absent_clock",                                                                \
      "L1 has it as absent, but learnt that before this process met another clock in Redis "       \
      "(a restart, a failover, a lost trail)")                                                     \
    X(OVER, "over", "its lifetimes ended {stale} ago, and L1 is about to remove it")               \
    /* L1 has it not: what is being done about it, or what became of it */                         \
    X(LOADING, "loading",                                                                          \
      "it is being brought now: this process {state}, for {waiters}, and {flight}")                \
    X(FAILED, "load_failed",                                                                       \
      "its load failed ({failures}, error {error}): the origin is spared for {spared} more "       \
      "(space.error_ttl)")                                                                         \
    X(EVICTED, "evicted",                                                                          \
      "L1 evicted it {ago}, to make room{more}")                                                   \
    X(SHED, "shed", "L1 evicted it {ago}, to give memory back (a smaller cap, or sparse pages)")   \
    X(REFUSED_POLICY, "refused_policy",                                                            \
      "it was brought {ago}, but not stored in L1: the policy rates what is there as worth more")  \
    X(REFUSED_FULL, "refused_full",                                                                \
      "it was brought {ago}, but not stored in L1: no room, and nothing could be evicted")         \
    X(EXPIRED, "expired", "its lifetimes had ended, and L1 removed it {ago}")                      \
    X(ABSENT_EXPIRED, "absent_expired",                                                            \
      "L1 knew that it does not exist, but that expired {ago}: such an answer "             \
      "{absent ttl}{longer}")                                                                      \
    X(ABSENT_EVICTED, "absent_evicted",                                                            \
      "L1 knew that it does not exist, but evicted that answer {ago}")                             \
    X(ABSENT_REFUSED, "absent_refused",                                                            \
      "it was found not to exist {ago}, but that was not stored in L1: what is there is worth "    \
      "more, or cannot be evicted")                                                                \
    X(CHANGED, "changed", "it was invalidated, put or written by {changer}")                       \
    X(REFUSED_FLOOR, "outdated_on_its_way",                                                        \
      "it was brought {ago}, but not stored in L1: it was invalidated while it was on its way")    \
    X(REFUSED_LARGE, "too_large",                                                                  \
      "it was brought {ago}, but not stored in L1: it is larger than 1/8 of {eighth of}")          \
    X(OVERSIZE, "oversize",                                                                        \
      "it was brought {ago}, but not stored: it is larger than space.value_max ({limit})")         \
    X(MOVED, "moved", "{ago}, the space got memory of its own (space.memory), and began empty")    \
    X(FAILED_BEFORE, "load_failed_before", "its last load failed {ago}")                           \
    X(PUT_REFUSED, "put_refused",                                                                  \
      "its last put was refused {ago}: there was one as new, its ticket was no longer good, "      \
      "or it was too large")                                                                       \
    X(NO_TRACE, "no_trace",                                                                        \
      "L1 has no trace of it: {traces}")

/* Tells what Redis has to say, if L1 does not answer. */
#define WHERES(X)                                                                                  \
    X(NOWHERE, "no_redis", "")                                                                     \
    X(REDIS_FRESH, "redis_fresh", "Redis has it, fresh for {redis fresh} more")                    \
    X(REDIS_ABSENT, "redis_absent", "Redis knows that it does not exist")                          \
    X(REDIS_STALE, "redis_stale",                                                                  \
      "Redis has it, but it has been stale for {redis fresh}, since its lifetime ended")           \
    X(REDIS_OUTDATED, "redis_outdated",                                                            \
      "Redis has it, but it is stale: it was invalidated softly, or stored under another clock"    \
      "{redis floor}")                                                                             \
    X(REDIS_DOUBT, "redis_doubt",                                                                  \
      "Redis has it, but it counts as stale: trust {trust}: {doubt}")                              \
    X(REDIS_KEPT, "redis_kept",                                                                    \
      "Redis keeps an old value of it, for its loader only (space.keep)")                          \
    X(REDIS_GONE, "redis_gone",                                                                    \
      "Redis has it, but it counts as gone: the key, a tag of it, its space or all was "           \
      "invalidated since{redis floor}")                                                            \
    X(REDIS_FOREIGN, "redis_foreign",                                                              \
      "what Redis has under its name ({foreign}) is another program's and no value of nigh's, so " \
      "it counts as none, and a load replaces it")                                                 \
    X(REDIS_FORMAT, "redis_format",                                                                \
      "what Redis has of it was written by another version of nigh, in a format that this one "    \
      "does not read")                                                                             \
    X(REDIS_BAD, "redis_bad",                                                                      \
      "what Redis has of it is damaged, or another key's, so it counts as none")                   \
    X(REDIS_PACKED, "redis_packed",                                                                \
      "Redis has it, but this process cannot decompress it: its log says why")                     \
    X(REDIS_LEASED, "redis_leased",                                                                \
      "Redis does not have it, and {holder} has the right to load it, or is writing it, for "      \
      "{lease} more")                                                                              \
    X(REDIS_NONE, "redis_none", "Redis does not have it")                                          \
    X(REDIS_OFF, "redis_off",                                                                      \
      "its space keeps values out of Redis (space.l2 is invalidations)")                           \
    X(REDIS_COVERED, "redis_covered",                                                              \
      "a change of it waits for Redis to accept it, so what Redis has is not believed")            \
    X(REDIS_AWAY, "redis_away", "Redis is not connected ({problem})")                              \
    X(REDIS_BREAKER, "redis_breaker",                                                              \
      "Redis was slow or failing, so it is asked only now and then")                               \
    X(REDIS_NO_MEMORY, "redis_no_memory",                                                          \
      "whether Redis has it is not known: this process had no memory to look")                     \
    X(REDIS_ERROR, "redis_error", "Redis gave no answer ({redis error})")

enum reason {
#define X(name, for_programs, sentence) REASON_##name,
    REASONS(X)
#undef X
    REASON_COUNT
};
enum where {
#define X(name, for_programs, sentence) WHERE_##name,
    WHERES(X)
#undef X
    WHERE_COUNT
};

enum reason reason_of(const struct explanation *x);
enum where where_of(const struct explanation *x);
const char *reason_name(enum reason reason);
const char *where_name(enum where where);
/* Say why, in one sentence with a full stop: the reason and, if L1 does not answer, where else it
 * is. */
void reason_say(struct text *w, const struct explanation *x);

/* Say what became of the key, whatever else is the reason. */
void reason_say_fate(struct text *w, const struct explanation *x);
/* Returns the group whose invalidation is the reason. NULL: it is another one. */
const struct explain_floor *reason_floor(const struct explanation *x);
/* Returns the last invalidation that is remembered of what is over the key. NULL: none. */
const struct explain_floor *reason_last_raised(const struct explanation *x);

/* Say that a group was invalidated, and what is known of it. */
void say_raised(struct text *w, const struct explanation *x, const struct explain_floor *floor);
/* Returns why the last minute of a space is shorter: "since a cap was set". NULL: it is not. */
const char *minute_since(const struct trend *t);
/* Say of which time the figures of the last minute are: "in the last minute", or less of one. */
void say_minute(struct text *w, const struct trend *t);
/* Say since when there is no trust: "was lost 3 s ago". */
void say_trust(struct text *w, const struct explanation *x);
/* Say what a flight does: "asks Redis". */
const char *say_state(const struct flight_seen *flight);
/* Say when it gives up, or that it should have. */
void say_flight_end(struct text *w, const struct explanation *x);
/* Say for how long a space keeps the answer that a key does not exist. */
void say_absent_ttl(struct text *w, const struct nigh_space *space);
/* Say why there is no trust. */
void say_doubt(struct text *w, const struct explanation *x);

#endif
