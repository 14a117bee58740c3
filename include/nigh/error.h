/* SPDX-License-Identifier: MIT */
/*
 * Outcomes and errors: one table each, from which the enum and the texts come.
 *
 * A call returns an outcome (>= 0) when it did what was asked, and the outcome says how; it returns
 * an error (< 0) when it did not. 0 is NIGH_FRESH for a read and NIGH_OK for everything else.
 */
#ifndef NIGH_ERROR_H
#define NIGH_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

#define NIGH_OUTCOMES(X)                                                                           \
    X(NIGH_FRESH, 0, "done; if a value was read, it is fresh")                                     \
    X(NIGH_STALE, 1, "stale: a value that may be out of date")                                     \
    X(NIGH_ABSENT, 2, "absent: known not to exist")                                                \
    X(NIGH_MISS, 3, "miss: not in the cache")                                                      \
    X(NIGH_PENDING, 4, "pending: the answer comes later")                                          \
    X(NIGH_QUEUED, 5, "queued: done here, Redis has not accepted it yet, retrying")                \
    X(NIGH_REFUSED, 6, "refused: as new or newer is there, too large, or ticket outdated")

#define NIGH_ERRORS(X)                                                                             \
    X(NIGH_EINVAL, -1, "invalid argument")                                                         \
    X(NIGH_ENOMEM, -2, "out of memory")                                                            \
    X(NIGH_EKEY, -3, "key is empty, or longer than 1024 bytes")                                    \
    X(NIGH_EVALUE, -4, "value is longer than 64 MiB")                                              \
    X(NIGH_ETAGS, -5, "more than 512 tags on one value")                                           \
    X(NIGH_EOPTION, -6, "unknown option, or a value that it does not take")                        \
    X(NIGH_EURI, -7, "malformed or unsupported Redis URI")                                         \
    X(NIGH_ETHREAD, -8, "a thread could not be started")                                           \
    X(NIGH_ETIMEDOUT, -9, "deadline passed")                                                       \
    X(NIGH_ELOADER, -10, "the loader failed and nothing stale was left")                           \
    X(NIGH_EWRITER, -11, "the writer failed; nothing was changed in the cache")                    \
    X(NIGH_EBUSY, -12, "too many waiters, loads, pending calls, or changes in the background")    \
    X(NIGH_EDEADLK, -13, "a loader asked for a key that waits for it")                             \
    X(NIGH_EREDIS, -14, "Redis answered with an error")                                            \
    X(NIGH_EOFFLINE, -15, "Redis cannot be reached")                                               \
    X(NIGH_EFULL, -16, "no room under the memory cap, and the policy does not evict")              \
    X(NIGH_EFORKED, -17, "the cache was opened before fork(): open one in the child")              \
    X(NIGH_ECLOSED, -18, "the cache is closing")                                                   \
    X(NIGH_EEXIST, -19, "a space of this name is open with other options")

enum nigh_result {
#define X(name, value, text) name = value,
    NIGH_OUTCOMES(X) NIGH_ERRORS(X)
#undef X
    NIGH_OK = 0,
};

/**
 * Get the text of an outcome or error, in English.
 *
 * Returns   a constant string, never NULL
 * Threads   any
 */
const char *nigh_strerror(int result);

/**
 * Get the name of an outcome or error, such as "NIGH_EBUSY".
 *
 * Returns   a constant string, never NULL ("unknown")
 * Threads   any
 */
const char *nigh_result_name(int result);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif

#endif
