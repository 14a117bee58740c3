/* SPDX-License-Identifier: MIT */
/*
 * RCU read sections and publication, from liburcu's bp flavour: no registration by host threads,
 * threads may exit and processes fork.
 *
 * The one file that sees liburcu, and that defines _LGPL_SOURCE (inlined read side: 0.9 ns against
 * 9; the LGPL allows it for any licence). Links are our own C11 atomics, so that ThreadSanitizer
 * understands them; the section itself is annotated for it (its barriers are invisible to TSan).
 *
 * Ordering guarantees
 *   publish  release store; what was written before it is seen by who dereferences (pair(rcu.link))
 *   deref    acquire load (consume in spirit; acquire is free on x86 and ldar on arm64)
 *   section  what a section saw reachable is not freed before rcu_wait() begun after its removal
 *            returns; every store made inside a section that ended before is visible after it.
 */
#ifndef NIGH_BASE_RCU_H
#define NIGH_BASE_RCU_H

#if defined(__has_feature) /* clang, gcc 14 */
#define RCU_HAS_FEATURE(x) __has_feature(x)
#else
#define RCU_HAS_FEATURE(x) 0
#endif

#if defined(__SANITIZE_THREAD__) || RCU_HAS_FEATURE(thread_sanitizer)
#define RCU_TSAN 1
#endif

/* liburcu declares its reader records 128-byte aligned and puts them 32 bytes apart from that. It
 * is harmless, but stops UBSan where inlined: builds for ASan+UBSan call the packaged functions. */
#if !defined(__SANITIZE_ADDRESS__) && !RCU_HAS_FEATURE(address_sanitizer)
#define _LGPL_SOURCE 1
#ifndef RCU_TSAN
#define RCU_SHORT 1
#endif
#endif
#include <urcu/urcu-bp.h>
#undef _LGPL_SOURCE

#include <stdatomic.h>

#include "base/check.h"

#ifdef RCU_TSAN
void __tsan_acquire(void *addr);
void __tsan_release(void *addr);
extern char rcu_tsan_token;
#define RCU_TSAN_RELEASE() __tsan_release(&rcu_tsan_token)
#define RCU_TSAN_ACQUIRE() __tsan_acquire(&rcu_tsan_token)
#else
#define RCU_TSAN_RELEASE() ((void)0)
#define RCU_TSAN_ACQUIRE() ((void)0)
#endif

static inline void rcu_enter(void)
{
    urcu_bp_read_lock();
}

static inline void rcu_leave(void)
{
    RCU_TSAN_RELEASE();
    urcu_bp_read_unlock();
}

/*
 * For the path of a hit: a section opened the short way, where the kernel lets us (has membarrier).
 * Not for a thread's first section nor for one within another: who gets false takes a longer path,
 * with rcu_enter().
 *
 * What _urcu_bp_read_lock() and _unlock() do, but the reader's record is looked up once instead of
 * three times; and as no section surrounds this one, the end of it is that of all.
 */
struct rcu_section {
    struct urcu_bp_reader *reader;
};

#ifdef RCU_SHORT

static inline bool rcu_has_short(void)
{
    return urcu_bp_has_sys_membarrier;
}

/* Only if rcu_has_short(). */
static inline bool rcu_enter_short(struct rcu_section *ret)
{
    struct urcu_bp_reader *reader = URCU_TLS(urcu_bp_reader);
    if (NIGH_UNLIKELY(!reader) ||
        NIGH_UNLIKELY(_CMM_LOAD_SHARED(reader->ctr) & URCU_BP_GP_CTR_NEST_MASK))
        return false;
    _CMM_STORE_SHARED(reader->ctr, _CMM_LOAD_SHARED(urcu_bp_gp.ctr));
    cmm_barrier(); /* who waits for readers makes all of them execute a full one: membarrier */
    ret->reader = reader;
    return true;
}

static inline void rcu_leave_short(struct rcu_section section)
{
    cmm_barrier(); /* the same */
    _CMM_STORE_SHARED(section.reader->ctr, 0);
    cmm_barrier();
}

#else

static inline bool rcu_has_short(void)
{
    return true;
}

static inline bool rcu_enter_short(struct rcu_section *ret)
{
    ret->reader = NULL;
    rcu_enter();
    return true;
}

static inline void rcu_leave_short(struct rcu_section section)
{
    (void)section;
    rcu_leave();
}

#endif

/* Before an object is handed to the reclaimer, by the thread that unlinked it. */
static inline void rcu_retire_mark(void)
{
    RCU_TSAN_RELEASE();
}

/* Wait for every section that is open now: milliseconds. Never in a section. */
void rcu_wait(void);

/*
 * Once per process, before the first section: fork handlers of the flavour (pthread_atfork), and
 * memory for the records of eight readers. Idempotent. liburcu makes further records as threads
 * read for the first time (for the 9th, and at later doublings), and aborts where the system has
 * no memory for them. Errors: NIGH_ENOMEM.
 */
int rcu_install(void);

#define RCU_LINK(type) _Atomic(type *)
/* pair(rcu.link): who dereferences sees what was written before publication */
#define rcu_deref(link) atomic_load_explicit((link), memory_order_acquire)
#define rcu_publish(link, ptr) atomic_store_explicit((link), (ptr), memory_order_release)

#endif
