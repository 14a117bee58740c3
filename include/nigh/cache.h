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
 * A daemon should open its cache after it has gone into the background. If a process does any of
 * these while its cache is open:
 *
 * - fork(): in the child, calls on the inherited cache return NIGH_EFORKED; the child opens a cache
 *   of its own. The child may read values that it inherited, for its memory is a copy. It may also
 *   release them, which frees nothing, in the child or in the parent. An inherited ticket still
 *   belongs to the parent, which puts or releases it. In the parent fork() may wait for readers on
 *   other threads (a grace period): 7 ms on average and 40 ms at worst where more of them were busy
 *   than there were cores. posix_spawn(), system() and popen() of glibc do not wait. liburcu-bp's
 *   fork handlers are installed by nigh; installed twice, by the host or another copy of libnigh in
 *   the process, they make fork() wait for ever.
 * - closefrom() and the like: within a second the cache notices that its descriptors are gone, logs
 *   it, and goes on without Redis until it is closed; from then on it opens and closes none. During
 *   that second it may write a few bytes into files or sockets that the host has opened under the
 *   same numbers, which it cannot tell from its own.
 * - setuid(), setgid(): open connections are kept; later ones are made as the new user, who needs
 *   write permission to a unix socket.
 * - chroot(): open connections are kept; for later ones the path of a unix socket, and the files
 *   that finding a host name needs, are looked up inside the new root.
 *
 * @param options     NULL: all defaults; NIGH_CONF from the environment is applied on top
 * @param ret_cache   untouched on error
 *
 * Returns   0
 * Errors    NIGH_EOPTION an option is wrong; NIGH_EURI redis.uri is wrong; NIGH_EINVAL this library
 *           does not know options->size, or a reserved field is not 0 (nigh_options_error()
 *           explains each of these three); NIGH_ENOMEM; NIGH_ETHREAD
 * Threads   any; open after fork(): a cache inherited by a child answers NIGH_EFORKED
 * Blocks    no: the cache's own threads make the first connection; with threads=none ticks and
 *           calls do
 * Owns      close with nigh_close()
 */
int nigh_open(const struct nigh_options *options, struct nigh **ret_cache);

/**
 * Close: wait for running loaders and writers, stop the threads, free everything.
 *
 * nigh_close() does not wait for ever for a loader or writer that is stuck: it goes on without a
 * loader a second after the last load deadline, and without a writer a second after nigh_close()
 * was called. The log then names the first 16 and says how many there are. The memory of such a
 * callback, and little more, stays allocated until the callback returns. If the callback calls nigh
 * after that it gets NIGH_ECLOSED, and so do the nigh_write() or nigh_fetch() around it. If it is
 * inside a call of nigh, nigh_close() first waits for that call, up to the call's deadline. Values
 * that the callback has stay valid until it returns; it must release them. A password function
 * (nigh_password_fn) that is stuck is left when it has run for a second.
 *
 * Queued changes, those in the background among them, are tried once more, for 250 ms at most, if
 * Redis is connected (with threads=none another 250 ms are given to a connection that is not there
 * yet). What Redis has not accepted then is lost: other nodes are not told, and the log says how
 * many changes those were. To wait longer, and to know, call nigh_drain() first. Deferred fills are
 * over. In a child of fork() nigh_close() returns at once and frees nothing: threads and sockets
 * are the parent's.
 *
 * @param cache   NULL: nothing is done
 *
 * Threads   one; no other call may be running on the cache, and every value must have been released
 *           (values of hits that were not are an error in the log: their bytes are gone)
 * Blocks    until running loaders and writers have returned, as told above; up to a second for
 *           answers of Redis that are still to come
 */
void nigh_close(struct nigh *cache);

/**
 * Open a space, or get the one that is already open under this name.
 *
 * The options of the first opening apply: a second opening gets the space as it is. With
 * processes=N memory and loads_max are those of all processes together, as in the cache's options.
 *
 * @param name      1 .. NIGH_NAME_MAX bytes without ':', '{', '}', not beginning with '!'
 * @param options   NULL: all inherited from the cache
 * @param loader    NULL: nigh_fetch() on a miss returns NIGH_MISS
 * @param writer    NULL: nigh_write() is not available
 * @param arg       handed to loader and writer
 *
 * Returns   0
 * Errors    NIGH_EINVAL bad name or schema, 1023 spaces are open already, this library does not
 *           know options->size, or a reserved field is not 0; NIGH_EOPTION; NIGH_EEXIST the space
 *           is open with another loader, writer, arg or schema; NIGH_ENOMEM; NIGH_EFORKED.
 *           nigh_options_error() explains all but the last two
 * Threads   any
 * Blocks    no, unless the space has a space.memory and L1 is full: then until there is room for
 *           the space's tables, and other calls that open or set a space wait too. Each such space
 *           takes one of the 1,024 tables that a process may have
 * Owns      the cache owns the space, which lives until nigh_close()
 */
int nigh_space_open(struct nigh *cache, const char *name, const struct nigh_space_options *options,
                    nigh_loader_fn loader, nigh_writer_fn writer, void *arg,
                    struct nigh_space **ret_space);

/**
 * Change an option of an open cache, by its name in nigh_options_set().
 *
 * The column "live" of nigh_options_print() shows which options can be changed. A larger l1.memory
 * applies at once. To a smaller one the cache shrinks in slices, while calls go on: it evicts, then
 * gives pages back, so that resident memory follows (the gauges memory_bytes and resident_bytes
 * show how far it has come). With l1.policy=none it evicts nothing, and takes no values until
 * enough have expired or were invalidated. Setting space.memory here changes it for all spaces that
 * have none of their own, see nigh_space_set(). With processes=N the caps said here, too, are
 * those of all processes together: give each of them the same value.
 *
 * Returns   0
 * Errors    NIGH_EOPTION no such name, a wrong value, one that cannot change, or l1.memory too
 *           small for the tables or for l1.limbo: nigh_options_error() says which; NIGH_ENOMEM no
 *           room for tables of spaces; NIGH_EFORKED
 * Threads   any
 * Blocks    for short locks, and while others open or set a space; for a first space.memory as long
 *           as nigh_space_set()
 */
int nigh_set(struct nigh *cache, const char *name, const char *value);

/**
 * Change an option of one open space. From then on nigh_set() no longer changes that option for
 * this space.
 *
 * The only such option is space.memory. To a smaller cap the space shrinks as L1 does to a smaller
 * l1.memory, evicting only entries of this space. A space that gets its first cap while it is open
 * changes to a table of its own, which begins empty: L1 loses its values of this space, and loads
 * under way are not stored. So it is better to give the cap when the space is opened. The value
 * "none" takes the cap away, and evicts and moves nothing.
 *
 * Returns   0
 * Errors    NIGH_EOPTION no such name, a wrong value, one that cannot change, or too small for the
 *           tables: nigh_options_error() says which; NIGH_ENOMEM no room for a table of its own;
 *           NIGH_EFORKED
 * Threads   any; not in a log hook
 * Blocks    for short locks; for the first space.memory until hits that are under way have ended
 *           and there is room for the space's tables: up to some seconds where L1 is full. Other
 *           calls that open or set a space wait as long
 */
int nigh_space_set(struct nigh_space *space, const char *name, const char *value);

/**
 * Tell whether the link to Redis works and values may be called fresh (trust holds).
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
 * Wait until Redis has accepted every change that is queued: those that it could not be told, and
 * those of NIGH_BACKGROUND. (A put with a ticket in the background is none of them.)
 *
 * @param deadline_ms   how long to wait; 0: not at all, only look; NIGH_NONE: for ever
 *
 * Returns   0; at once without Redis
 * Errors    NIGH_ETIMEDOUT some are still queued; NIGH_EFORKED
 * Threads   any
 * Blocks    up to deadline_ms
 */
int nigh_drain(struct nigh *cache, uint32_t deadline_ms);

/**
 * Do the work that is due, in the mode without own threads (threads=none): I/O, beats, expiry,
 * reclamation, refreshes, lines of the log.
 *
 * In this mode the host's threads do all work, inside nigh_tick() and inside calls that wait.
 *
 * - Any thread may make any call, also while another thread ticks. One of the calls that wait does
 *   the I/O for all of them, and sleeps in poll until its answer, its deadline, or the next event.
 *   The others sleep until they have their answers, or until that call returns and one of them
 *   takes over the I/O.
 * - A call that waits runs the loader of its own key, also where run_on is worker, and no other
 *   loader: a refresh is left to the next tick, unless the call waits for that refresh. So loaders
 *   nest only where the host's own loaders fetch.
 * - A request for whose answer a call does not wait (a fill, a lease given back) is in the socket
 *   when the call returns. The next call that waits, or the next tick, reads the answer.
 * - A call that had something to send to Redis also does what else is due, without waiting for it:
 *   so a host that never ticks gets its connection, and a new one when it is lost, some calls
 *   later.
 * - The host should tick when nigh_tick_fd() is readable. A host that does not watch the descriptor
 *   should tick when the time that the last tick returned is over, and hears of other nodes'
 *   changes only when it ticks or waits: it should tick as often as it wants to hear of them, and
 *   at least every third of coherence.trust, else nothing stored is called fresh.
 *
 * Returns   milliseconds until it should be called again, 0 (at once) to 1000
 * Errors    NIGH_EINVAL the cache has its own threads; NIGH_EFORKED
 * Threads   any; a thread that finds another one at the I/O leaves the I/O to that one. Not in a
 *           callback of nigh (inside a loader it runs no other loader)
 * Blocks    not for a socket; but loaders of refreshes run inside, and it may wait for readers (an
 *           RCU grace period, some ms) before it frees memory
 */
int nigh_tick(struct nigh *cache);

/**
 * Get a descriptor for event loops, in the mode without own threads. It is readable while
 * nigh_tick() has something to do: Redis has sent something, a call has left work, or the time is
 * over that the last tick returned. So a loop that waits for it needs no timer for nigh:
 *
 *     struct pollfd fd = {.fd = nigh_tick_fd(cache), .events = POLLIN};
 *     while (poll(&fd, 1, -1) == 1)
 *         nigh_tick(cache);
 *
 * An event loop that reads without waiting (nigh/queue.h) waits for its queue's descriptor beside
 * it. On a cache with a clock of the host's, the time is that of the kernel.
 *
 * The descriptor is an epoll instance, level-triggered, and stays the same until nigh_close(). Poll
 * it or add it to another one, and do nothing else with it.
 *
 * Returns   the descriptor; it belongs to the cache: do not close it
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
