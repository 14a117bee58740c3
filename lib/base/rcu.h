/* SPDX-License-Identifier: MIT */
/*
 * RCU read sections, from liburcu's bp flavour: no registration by host threads, threads may exit
 * and processes fork.
 *
 * This is the one file that sees liburcu, and that defines _LGPL_SOURCE (inlined read side: 0.9 ns
 * against 9; the LGPL allows it for any licence). Links are C11 atomics of the modules, published
 * by release and read by acquire (consume in spirit; acquire is free on x86 and ldar on arm64), so
 * that ThreadSanitizer understands them; the section itself is annotated for it (its barriers are
 * invisible to TSan).
 *
 * Ordering guarantee
 *   section  an object that a section saw reachable is not freed before an rcu_wait() that began
 *            after its removal returns; after that rcu_wait() every store is visible that was made
 *            inside a section which ended before.
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

/* liburcu declares its reader records 128-byte aligned and puts them 32 bytes off such an address.
 * That is harmless, but UBSan stops at it in inlined code, so builds for ASan+UBSan call the
 * packaged functions. */
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
 * A read section opened the short way, for the path of a hit, where the kernel has membarrier. It
 * does not work for a thread's first section nor for one inside another: then rcu_enter_short()
 * returns false, and the caller takes a longer path, with rcu_enter().
 *
 * It does what _urcu_bp_read_lock() and _unlock() do, but looks the reader's record up once instead
 * of three times. As no section surrounds it, its end stores 0 instead of counting down.
 */
struct rcu_section {
    struct urcu_bp_reader *reader;
};

#ifdef RCU_SHORT

static inline bool rcu_has_short(void)
{
    return urcu_bp_has_sys_membarrier;
}

/* Open a section the short way; call it only if rcu_has_short(). False: use rcu_enter(). */
static inline bool rcu_enter_short(struct rcu_section *ret)
{
    struct urcu_bp_reader *reader = URCU_TLS(urcu_bp_reader);
    if (NIGH_UNLIKELY(!reader) ||
        NIGH_UNLIKELY(_CMM_LOAD_SHARED(reader->ctr) & URCU_BP_GP_CTR_NEST_MASK))
        return false;
    _CMM_STORE_SHARED(reader->ctr, _CMM_LOAD_SHARED(urcu_bp_gp.ctr));
    cmm_barrier(); /* the compiler's: rcu_wait() makes all readers run a full one (membarrier) */
    ret->reader = reader;
    return true;
}

static inline void rcu_leave_short(struct rcu_section section)
{
    cmm_barrier(); /* the compiler's, as above */
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

/* Tells TSan that an object is retired: called by the thread that unlinked it, before it hands the
 * object to the reclaimer. */
static inline void rcu_retire_mark(void)
{
    RCU_TSAN_RELEASE();
}

/* Wait for every section that is open now: milliseconds. Never in a section. */
void rcu_wait(void);

/*
 * Install liburcu's fork handlers (pthread_atfork) and make the records of eight readers: once per
 * process, before the first section. Idempotent. liburcu makes further records as threads
 * read for the first time (for the 9th, and at later doublings), and aborts where the system has
 * no memory for them. Errors: NIGH_ENOMEM.
 */
int rcu_install(void);

#endif
