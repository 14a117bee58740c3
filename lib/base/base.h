/* SPDX-License-Identifier: MIT */
/*
 * Level 0: the base of every module, and the only header of base that modules include.
 *
 * `struct env` carries the four things that a test replaces by its own (time, parking, randomness,
 * memory) plus the log. A module is given one at init and keeps the pointer; nobody reads the
 * kernel's clock, parks a thread or draws randomness in another way, so a unit test can drive a
 * whole cache without one sleep.
 */
#ifndef NIGH_BASE_BASE_H
#define NIGH_BASE_BASE_H

#include "base/check.h"
#include "base/bytes.h"
#include "base/cgroup.h"
#include "base/clock.h"
#include "base/codec.h"
#include "base/date.h"
#include "base/error.h"
#include "base/fault.h"
#include "base/fd.h"
#include "base/hash.h"
#include "base/latch.h"
#include "base/list.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/park.h"
#include "base/pool.h"
#include "base/random.h"
#include "base/rcu.h"
#include "base/root.h"
#include "base/text.h"
#include "base/thread.h"
#include "base/timers.h"
#include "base/unwind.h"
#include "base/usdt.h"

/* Keys: (c) constant after init; the objects behind the pointers are thread-safe. */
struct env {
    struct clock *clock;   /* (c) */
    struct park *park;     /* (c) */
    struct random *random; /* (c) */
    struct mem *mem;       /* (c) general memory of the cache; L1 has its own arena */
    struct log *log;       /* (c) */
    /*
     * (c) false: the library starts no thread, and yet its calls park as if there were some. The
     * host does the threads' work: inside the park (cache/drive.c), or around it (a simulation).
     */
    bool own_threads;
};

/* The kernel's clock, the futex, getrandom and `backend` memory; a silent log, until log_open().
 * Returns 0 or NIGH_ENOMEM. */
int env_init_real(struct env *env, bool own_threads);
void env_fini(struct env *env);

#endif
