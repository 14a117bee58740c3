/* SPDX-License-Identifier: MIT */
/*
 * Opening and closing: a cache is the memory, the Redis link and the threads of one process; a
 * space is a named set of keys with one loader and one set of freshness rules.
 */
#ifndef NIGH_CACHE_H
#define NIGH_CACHE_H

#include <nigh/error.h>
#include <nigh/load.h>
#include <nigh/options.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

struct nigh;
struct nigh_space;

/**
 * Open a cache. Redis need not be there: the cache starts without it and connects when it can.
 *
 * A daemon opens it after it has become one. What holds if it does not:
 *
 * - fork(): in the child calls answer NIGH_EFORKED, and it opens its own. Values that it inherited
 *   it may read, for its memory is a copy, and release, which gives back nothing: neither its own
 *   memory nor the parent's. A ticket that it inherited is the parent's, who puts or releases it.
 * - closefrom() and the like: within a second the cache finds that its descriptors are gone, logs
 *   it, and goes on without Redis until it is closed; it opens and closes none any more. Within
 *   that second it may write a few bytes into what the host has opened under their numbers: nobody
 *   could know better.
 * - setuid(), setgid(): connections are kept; later ones are made as the new user, who needs write
 *   permission to a unix socket.
 * - chroot(): the same; a unix socket's path is looked up inside, and so is what a host name needs.
 *
 * @param options     NULL: all defaults; NIGH_CONF from the environment is applied on top
 * @param ret_cache   untouched on error
 *
 * Returns   0
 * Errors    NIGH_EOPTION, NIGH_EURI: nigh_options_error() says which and why; so for NIGH_EINVAL
 *           options->size is not one that this library knows, or a reserve is not 0; NIGH_ENOMEM;
 *           NIGH_ETHREAD
 * Threads   any; open after fork(): a cache inherited by a child answers NIGH_EFORKED
 * Blocks    no: the first connection is made by the cache's own threads, with threads=none by ticks
 *           and calls
 * Owns      close with nigh_close()
 */
int nigh_open(const struct nigh_options *options, struct nigh **ret_cache);

/**
 * Close: wait for running loaders and writers, stop the threads, free everything.
 *
 * A loader or writer that does not return is left alone a second after the last deadline of a load
 * (of writers: after the call). Its memory, and little more, stays allocated until it does return;
 * the log names it (the first 16, and how many they are). If it then calls nigh it gets
 * NIGH_ECLOSED, and so do nigh_write() and nigh_fetch() around it. A call that it is inside of is
 * waited for first, up to that call's deadline. Values that it holds stay valid until it has
 * returned; it releases them.
 *
 * Queued invalidations are tried once more; nigh_drain() before it waits for them. In a child of
 * fork() it returns at once and frees nothing: threads and sockets are the parent's.
 *
 * @param cache   NULL: nothing is done
 *
 * Threads   one; no other call may be running on the cache, every value must be released (values
 *           held after a hit are an error in the log: their bytes are gone)
 * Blocks    until running loaders and writers have returned, as told above; up to a second for
 *           what Redis has not answered
 */
void nigh_close(struct nigh *cache);

/**
 * Open a space, or get the one that is already open under this name.
 *
 * Its rules are those of the first opening: a second one gets the space as it is.
 *
 * @param name      1 .. NIGH_NAME_MAX bytes without ':', '{', '}', not beginning with '!'
 * @param options   NULL: all inherited from the cache
 * @param loader    NULL: nigh_fetch() on a miss returns NIGH_MISS
 * @param writer    NULL: nigh_write() is not available
 * @param arg       handed to loader and writer
 *
 * Returns   0
 * Errors    NIGH_EINVAL bad name or schema, 1023 spaces are open, or the size or the reserve of
 *           options is not as this library knows it; NIGH_EOPTION; NIGH_EEXIST open
 *           with another loader, writer, arg or schema; NIGH_ENOMEM; NIGH_EFORKED. All but the last
 *           two are explained by nigh_options_error()
 * Threads   any
 * Blocks    no; with a space.memory, where L1 is full, until there is room for its tables, and
 *           then others that open or set a space wait too. Each such space takes one of the 1,024
 *           tables that a process may have
 * Owns      the cache; lives until nigh_close()
 */
int nigh_space_open(struct nigh *cache, const char *name, const struct nigh_space_options *options,
                    nigh_loader_fn loader, nigh_writer_fn writer, void *arg,
                    struct nigh_space **ret_space);

/**
 * Change an option of an open cache, by its name in nigh_options_set().
 *
 * Which ones can: the column "live" of nigh_options_print(). A larger l1.memory holds at once; to a
 * smaller one the cache shrinks in slices, while calls go on: evicting, then giving pages back, so
 * that resident memory follows (the gauges memory_bytes and resident_bytes tell how far it is).
 * space.memory is changed for all spaces that have none of their own, see nigh_space_set().
 *
 * Returns   0
 * Errors    NIGH_EOPTION no such name, a wrong value, one that cannot change, or l1.memory too
 *           small for the tables or for l1.limbo: nigh_options_error() says which; NIGH_ENOMEM no
 *           room for tables of spaces; NIGH_EFORKED
 * Threads   any
 * Blocks    for short locks, and while others open or set a space; a first space.memory as
 *           nigh_space_set()
 */
int nigh_set(struct nigh *cache, const char *name, const char *value);

/**
 * Change an option of an open space, which is then its own, whatever nigh_set() says for all.
 *
 * It is space.memory: a smaller one comes down as l1.memory does, and evicts of this space alone. A
 * space that gets its first one while it is open begins with an empty table of its own, and has one
 * from then on: what L1 had of it is gone, loads that are under way are not stored. So it is better
 * said when the space is opened; "none" leaves what there is.
 *
 * Returns   0
 * Errors    NIGH_EOPTION no such name, a wrong value, one that cannot change, or too small for the
 *           tables: nigh_options_error() says which; NIGH_ENOMEM no room for a table of its own;
 *           NIGH_EFORKED
 * Threads   any; not in a log hook
 * Blocks    for short locks; for the first space.memory until hits that are under way have ended,
 *           and others have made room for its tables: up to some seconds where L1 is full. Others
 *           that open or set a space wait as long
 */
int nigh_space_set(struct nigh_space *space, const char *name, const char *value);

/**
 * Whether nigh's link to Redis works and its trust holds.
 *
 * Returns   NIGH_FRESH trusted, always so without Redis; NIGH_STALE in doubt: nothing stored is
 *           called fresh
 * Errors    NIGH_EOFFLINE in doubt and not connected; NIGH_EFORKED; NIGH_ECLOSED to a log hook,
 *           while the cache closes
 * Threads   any
 * Blocks    never
 */
int nigh_health(struct nigh *cache);

/**
 * Wait until every queued invalidation has been accepted by Redis.
 *
 * @param deadline_ms   0: only look; NIGH_NONE: for ever
 *
 * Returns   0; at once without Redis
 * Errors    NIGH_ETIMEDOUT some are still queued; NIGH_EFORKED
 * Threads   any
 * Blocks    up to deadline_ms
 */
int nigh_drain(struct nigh *cache, uint32_t deadline_ms);

/**
 * In the mode without own threads (threads=none): do what is due: I/O, beats, expiry, reclamation,
 * refreshes, lines of the log.
 *
 * In this mode the host's threads do all work, inside nigh_tick() and inside calls that wait.
 *
 * - Any thread may make any call, also while another ticks. Of the calls that wait one does the I/O
 *   for all, and sleeps in poll until its answer, its deadline, or the next event; the others sleep
 *   until they have theirs, or it leaves and one of them goes on in its place.
 * - A call that waits runs the loader of its own key, also where run_on is worker, and no other: a
 *   refresh is left to the next tick, unless it is what the call waits for. So loaders nest only as
 *   the host's own loaders fetch.
 * - What a call leaves behind without waiting for it (a fill, a lease given back) is in the socket
 *   when it returns. Its answer is read by the next call that waits, or tick.
 * - A call that had something for Redis also does what is due, without waiting for it: so a host
 *   that only calls connects, and connects again, some calls later.
 * - The host should tick when the time is over that the last tick has told, and when nigh_tick_fd()
 *   is readable. A host that does not watch that hears of other nodes' changes only when it ticks
 *   or waits; let it tick as often as these may be late, at least every third of coherence.trust,
 *   or nothing stored is called fresh.
 *
 * Returns   milliseconds until it should be called again, 0 (at once) to 1000
 * Errors    NIGH_EINVAL the cache has its own threads; NIGH_EFORKED
 * Threads   any; one that finds another at the I/O leaves it to that one. Not in a callback of nigh
 *           (inside a loader it runs no other loader)
 * Blocks    no socket is waited for; loaders of refreshes run inside, and it may wait for readers
 *           (an RCU grace period, some ms) before memory is freed
 */
int nigh_tick(struct nigh *cache);

/**
 * A descriptor for event loops in the mode without own threads: readable while nigh_tick() has
 * something to do, be it that Redis has sent something or that a call has left work.
 *
 *     struct pollfd fd = {.fd = nigh_tick_fd(cache), .events = POLLIN};
 *     for (;;)
 *         poll(&fd, 1, nigh_tick(cache));
 *
 * The descriptor is an epoll instance, level-triggered, and stays the same until nigh_close(). Poll
 * it or add it to another one, and do nothing else with it.
 *
 * Returns   the descriptor; the cache's: not to be closed
 * Errors    NIGH_EINVAL the cache has its own threads; NIGH_EFORKED
 * Threads   any
 * Blocks    never
 */
int nigh_tick_fd(struct nigh *cache);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
