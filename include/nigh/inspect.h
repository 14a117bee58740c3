/* SPDX-License-Identifier: MIT */
/*
 * Looking into a cache that runs: why a key is read as it is. For operators, by a program's own
 * means (an admin page, a signal handler's thread); text for people, JSON for machines.
 */
#ifndef NIGH_INSPECT_H
#define NIGH_INSPECT_H

#include <nigh/stats.h>
#include <nigh/write.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/**
 * Explain why a key is read as it is, or why it misses.
 *
 * The first line of the text, and "why" in JSON, is the reason in one sentence. Then follow: what
 * nigh_get() and nigh_fetch() would give now; the value in L1 and in Redis with what is left of
 * their lifetimes, or what became of it last (evicted, expired, invalidated and by whom, refused);
 * the load that is under way, here or in another process; the last invalidation of its tags, its
 * space or all; and how far Redis is trusted. Each is a line of the text, however long (the program
 * nigh folds them in a terminal). Text leaves out what there is nothing to say of; JSON has all,
 * also stamps and floors. "reason" and "redis" in JSON are words from a fixed list, for programs;
 * "schemas" are those in which Redis has values of the space, as this node has last
 * learnt; "reach" says how far back what became of the key would be remembered (null: to the
 * opening), of values, of answers without one ("does not exist", failed loads) and of changes.
 *
 * Nothing changes by it: the policy is not told of a hit, no read is counted, no lease taken. What
 * became of a key is remembered in a table of limited size: of some thousands of keys, and when, to
 * a second or so. A change that this process made is dated by its call, also where it waited for
 * Redis; one that another node made by when this one heard of it. Where one of the two was cut off
 * from Redis, the text says how much older it may be. Nodes are named by the first four digits of
 * the number that each draws when it opens; "here" in the text, and "node" in JSON, is this one.
 *
 * @param format   NIGH_STATS_TEXT or NIGH_STATS_JSON
 * @param buffer   may be NULL: then only the length is returned
 *
 * Returns   bytes needed without the final NUL; the text is cut (and ended) at size
 * Errors    NIGH_EKEY; NIGH_EINVAL no such format; NIGH_EFORKED; NIGH_ECLOSED to a log hook, while
 *           the cache closes
 * Threads   any
 * Blocks    up to redis.deadline for the answer of Redis; not at all where there is none, it is not
 *           connected, or its breaker is open
 */
long nigh_explain(struct nigh_space *space, const void *key, size_t key_len,
                  enum nigh_stats_format format, char *buffer, size_t size);

/**
 * Tell the keys that are hit, missed and changed most, of a space or of all; and the tags and
 * spaces that are invalidated most. Of one space these are all tags, for a tag is of no space, and
 * no other space.
 *
 * Of each space three lists of up to hot.keys keys, with rates a second and how far these may be
 * off: hits in L1, reads that L1 did not answer, and keys that were invalidated, put or written,
 * here or by other nodes (a node's own puts without Redis are left out). Hits that are stale, and
 * those of keys that are known not to exist, are in no list. Of few requests all are looked at, of
 * many a sample: at the thinnest one hit in about 1,024 of each thread, one miss in 16 and one
 * change in 8. Their past fades with a half life of a minute: a key that was asked for less than a
 * few times in that is not told. The error is that of the sample, twice its standard deviation (as
 * if the requests came by chance), and of the counters (Space-Saving): at most what all keys have
 * together by 8 times hot.keys. Keys whose error is above their rate are in the JSON alone. Of a
 * list in which no key stands out the text says how even it is: what share no key has more of, but
 * by chance. The JSON has that of each list ("shares"; 1: not known), beside the rate of all keys
 * together ("rates"). Of a key longer than 64 bytes the beginning is shown.
 *
 * @param space    name of a space; NULL: all
 * @param format   NIGH_STATS_TEXT or NIGH_STATS_JSON
 * @param buffer   may be NULL: then only the length is returned
 *
 * Returns   bytes needed without the final NUL; the text is cut (and ended) at size
 * Errors    NIGH_EINVAL no such format or space; NIGH_EFORKED; NIGH_ECLOSED to a log hook, while
 *           the cache closes
 * Threads   any
 * Blocks    for short locks
 * Source    Metwally, Agrawal, El Abbadi: Efficient Computation of Frequent and Top-k Elements in
 *           Data Streams (2005)
 */
long nigh_hot(struct nigh *cache, const char *space, enum nigh_stats_format format, char *buffer,
              size_t size);

/** A change that another node has made, as this one applies it. Its bytes are there during the call
 * alone. */
struct nigh_change {
    enum nigh_target_kind kind; /* KEY, TAG, SPACE or ALL */
    bool soft;                  /* what it names is stale from now on, not gone */
    const char *space;          /* KEY, SPACE: its name, which need not be open here */
    size_t space_len;
    const char *name;           /* KEY: the key; TAG: the tag */
    size_t name_len;
    uint64_t version;           /* KEY: values of this version or above stay; 0: none */
    uint64_t node;              /* who made it: a number that each node draws when it opens */
};
typedef void (*nigh_watch_fn)(void *arg, const struct nigh_change *change);

/**
 * Be called for each change of other nodes as it is applied here: an invalidation, a put, a write.
 * In the order of Redis, each once; where this node was away for longer than the log reaches, some
 * are left out, and everything is stale instead (the counter resync).
 *
 * @param watch   must return soon, for the next change waits for it, and call nothing of nigh on
 *                this cache but nigh_stats_value()
 *
 * Returns   0
 * Errors    NIGH_EEXIST somebody watches already; NIGH_EINVAL watch is NULL; NIGH_ENOMEM;
 *           NIGH_EFORKED
 * Threads   any; watch is called on threads of nigh's, or that call it, one at a time, until
 *           nigh_close() returns
 * Blocks    never
 */
int nigh_watch(struct nigh *cache, nigh_watch_fn watch, void *arg);

/**
 * Tell what another l1.memory would bring: the expected share of reads that hit at 1/4, 1/2, 1, 2,
 * 4 and 8 times the cap.
 *
 * Caps are in bytes of l1.memory, with all bookkeeping; for a cache with l1.entries, counts of
 * values. "now" is the share that was measured; the others are that, and the difference that caches
 * in miniature found, which see the requests for some of the keys, and of those of a busy cache
 * pieces: one key in 64, and one in 16 to 2 where the cap has room for fewer than some 6,000 values
 * and there are few reads, up to 65,536 a second of the keys that are watched. "+-" is two
 * deviations by chance, in points, and more where the policy might work in another way under
 * another cap, learns still, or where a cache in miniature has never been full: then half of what a
 * full one may hit, or may not, is in the figure, and as much in "+-". It is about the difference
 * to "now". Text says since when "now" is measured where that began anew, JSON in a word ("since"):
 * the curve was "begun", the "cap" was set, the sample of the present cap "filled"; else "long". A
 * cap of which too little was seen yet is not told ("enough" in JSON is false): the text says in
 * which time it will be, at most, at the rate of now; JSON how many reads of any keys that takes
 * ("lacks"). It takes longer where values get so much smaller, or reads so many more, that fewer
 * keys can be watched, which begins it anew, and now and then by chance. What has been told stays
 * told while what it was told from is begun anew, for the traffic wants another sample: the text
 * says how long "ago" it was, JSON in seconds ("age"). As much as "now" hits more since, or less,
 * it is more, or less, and "+-" wider. Another l1.memory makes all of it begin anew, but what was
 * told, or measured, of a cap stays told of it where it is again one of the six: when l1.memory is
 * doubled, or halved; by the "+-" of both that are compared, and the widest where nothing was told
 * of the cap that is the present one now. Under l1.entries caps for which l1.memory has no room are
 * told as what it has room for, and another l1.memory forgets what was told. As long as nothing was
 * evicted, or refused for want of room, more brings nothing; that is taken back when something is.
 * What was long ago fades. Never told are caps with room for less than 32 of the values that are
 * watched ("few"); not listed are those that cannot be, below the least l1.memory.
 *
 * Where several spaces share the cap there is a table of them: which share of its own reads each
 * would hit at each of these caps, the whole of which they go on sharing, and how many hits a
 * second the next doubling would bring it. The space that it would bring most is the first one.
 * Text has the first 16, and "-" where too little was seen of the space's own keys; JSON all
 * ("spaces", with "ratios", "errors" and "enough" in the order of the points).
 *
 * Reads are all that L1 answers or misses, also with NIGH_L1_ONLY (whose misses do not count in the
 * hit ratio of nigh_stats()).
 *
 * "loads saved" are reads that would have hit, and so no lookup in Redis nor load, each second at
 * the rate of now. Spaces with a table of their own (that have or had a space.memory)
 * are not in it, and the text names them. The policies `ttl`
 * and `none` have no such figures.
 *
 * @param format   NIGH_STATS_TEXT or NIGH_STATS_JSON
 * @param buffer   may be NULL: then only the length is returned
 *
 * Returns   bytes needed without the final NUL; the text is cut (and ended) at size
 * Errors    NIGH_EINVAL no such format; NIGH_EFORKED; NIGH_ECLOSED to a log hook, while the cache
 *           closes
 * Threads   any
 */
long nigh_curve(struct nigh *cache, enum nigh_stats_format format, char *buffer, size_t size);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
