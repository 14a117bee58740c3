/* SPDX-License-Identifier: MIT */
/*
 * Assertions about programmer errors, and the annotations that say what a function needs.
 *
 * CHECK stays on in every build: it stops errors that would corrupt memory. DCHECK is for Debug.
 * Neither may be reached by bad input: input gets an error code.
 */
#ifndef NIGH_BASE_CHECK_H
#define NIGH_BASE_CHECK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NIGH_LIKELY(x) __builtin_expect(!!(x), 1)
#define NIGH_UNLIKELY(x) __builtin_expect(!!(x), 0)

/* Inline a function whatever its size, or never: where the path of a hit depends on it. */
#define NIGH_INLINED inline __attribute__((always_inline))
#define NIGH_OUTLINED __attribute__((noinline))
/* Keep a variable that a hit reads inside the library: its address is then known without a look
 * into the table of global offsets (GOT). */
#define NIGH_HIDDEN __attribute__((visibility("hidden")))

#define NIGH_CHECK(x) (NIGH_LIKELY(x) ? (void)0 : check_failed())
#ifdef NDEBUG
#define NIGH_DCHECK(x) ((void)0)
#else
#define NIGH_DCHECK(x) NIGH_CHECK(x)
#endif

/* A trap rather than abort(): no handler of the host runs on top of a broken invariant. */
__attribute__((noreturn)) static inline void check_failed(void)
{
    __builtin_trap();
}

#define CONTAINER_OF(ptr, type, member) ((type *)(void *)((char *)(ptr) - offsetof(type, member)))
#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))
#define CACHE_LINE_BYTES 64

/*
 * Locks, for readers and for clang -Wthread-safety (test/checks/clang.sh): what a function needs,
 * takes or gives back. A lock is named as in C, by the parameters: REQUIRES(c->lock).
 *
 * C cannot say in a struct by which of its own locks a field is guarded (clang 14): that stays with
 * the key letters. A lock that is known by an expression only, like that of a stripe, is compared
 * by its kind: any lock of that field will do.
 */
#if defined(__clang__)
#define LOCKING(attribute) __attribute__((attribute))
#else
#define LOCKING(attribute)
#endif
#define LOCK_TYPE LOCKING(capability("lock"))
#define GUARDED_BY(lock) LOCKING(guarded_by(lock))
#define REQUIRES(...) LOCKING(requires_capability(__VA_ARGS__))
#define ACQUIRES(...) LOCKING(acquire_capability(__VA_ARGS__))
#define ACQUIRES_IF(result, ...) LOCKING(try_acquire_capability(result, __VA_ARGS__))
#define RELEASES(...) LOCKING(release_capability(__VA_ARGS__))
/* Leave out a function that takes or leaves locks in a way that cannot be said: it says why. */
#define LOCKS_UNCHECKED LOCKING(no_thread_safety_analysis)

#if defined(__clang__)
extern int pthread_mutex_lock(pthread_mutex_t *mutex) ACQUIRES(*mutex);
extern int pthread_mutex_trylock(pthread_mutex_t *mutex) ACQUIRES_IF(0, *mutex);
extern int pthread_mutex_unlock(pthread_mutex_t *mutex) RELEASES(*mutex);
extern int pthread_cond_wait(pthread_cond_t *cond, pthread_mutex_t *mutex) REQUIRES(*mutex);
#endif

static inline uint64_t u64_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static inline uint32_t u32_max(uint32_t a, uint32_t b)
{
    return a > b ? a : b;
}

static inline uint64_t u64_max(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

#endif
