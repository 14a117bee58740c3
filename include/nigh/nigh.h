/* SPDX-License-Identifier: MIT */
/*
 * nigh: a near cache for multithreaded C servers. L1 in the process, Redis behind it, kept
 * coherent.
 *
 *     struct nigh *cache;
 *     struct nigh_space *users;
 *     struct nigh_value value;
 *     nigh_open(&options, &cache);
 *     nigh_space_open(cache, "users", NULL, load_user, NULL, db, &users);
 *     if (nigh_fetch(users, key, key_len, NULL, &value) >= 0) { // fresh, stale or absent
 *         use(value.data, value.len);
 *         nigh_release(&value);
 *     }
 *     nigh_invalidate(users, key, key_len, NULL); // after the commit
 *     nigh_close(cache);
 *
 * Arguments: a pointer must not be NULL where its call does not say what NULL means. Keys, values,
 * strings and structs of options need not stay when the call that got them has returned, unless it
 * says so; functions of the host and their `arg` have to stay until nigh_close() has returned, and
 * loaders and writers that it leaves behind have, too. No call may be made in a signal handler. A
 * call may change errno; nigh's sockets raise no SIGPIPE.
 *
 * Cancellation: a thread that is cancelled inside a call ends after it, at its next cancellation
 * point, or in the loader or writer that the call runs. Only nigh_options_print() and
 * nigh_stats_print(), which write with stdio, are cancellation points themselves. A thread whose
 * cancellation is asynchronous (PTHREAD_CANCEL_ASYNCHRONOUS) must not call nigh.
 *
 * Stack: a call takes up to 64 KiB of its thread's (a hit 1 KiB, a read that asks Redis 20 KiB, one
 * of many keys 32 KiB), and 4 KiB above a loader or writer that it runs (12 KiB if space.batch is
 * above 128).
 */
#ifndef NIGH_NIGH_H
#define NIGH_NIGH_H

#include <nigh/cache.h>
#include <nigh/error.h>
#include <nigh/inspect.h>
#include <nigh/load.h>
#include <nigh/options.h>
#include <nigh/queue.h>
#include <nigh/read.h>
#include <nigh/stats.h>
#include <nigh/trace.h>
#include <nigh/write.h>

#define NIGH_VERSION_MAJOR 0
#define NIGH_VERSION_MINOR 1
#define NIGH_VERSION_PATCH 0

#endif
