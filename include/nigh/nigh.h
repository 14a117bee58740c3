/* SPDX-License-Identifier: MIT */
/*
 * nigh: a near cache for multithreaded C servers. L1 in the process, Redis behind it, kept
 * coherent.
 *
 *     struct nigh *cache;
 *     struct nigh_space *users;
 *     nigh_open(&options, &cache);
 *     nigh_space_open(cache, "users", NULL, load_user, NULL, db, &users);
 *     if (nigh_fetch(users, key, key_len, NULL, &value) == NIGH_FRESH) ... nigh_release(&value);
 *     nigh_invalidate(users, key, key_len, NULL);      after the commit
 *     nigh_close(cache);
 */
#ifndef NIGH_NIGH_H
#define NIGH_NIGH_H

#include <nigh/cache.h>
#include <nigh/error.h>
#include <nigh/load.h>
#include <nigh/options.h>
#include <nigh/read.h>
#include <nigh/stats.h>
#include <nigh/write.h>

#define NIGH_VERSION_MAJOR 0
#define NIGH_VERSION_MINOR 1
#define NIGH_VERSION_PATCH 0

#endif
