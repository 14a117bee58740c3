/* SPDX-License-Identifier: MIT */
/*
 * Finds the cache of an entry by the number that the entry bears.
 *
 * Entries name their cache by number; numbers are used again after destroy. In a child of fork()
 * all numbers of the parent's caches stay taken: the child may hold values that bear them.
 */
#include "l1/registry.h"

static _Atomic(struct l1 *) registry[L1_CACHES_MAX]; /* pair(l1.registry) */
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;

/* Stands for the caches that a child of fork() has from its parent. */
#define INHERITED ((struct l1 *)(uintptr_t)1)

struct l1 *l1_by_id(uint32_t id)
{
    /* Relaxed: the caller has got the entry in a way that orders more than this. */
    struct l1 *l1 = atomic_load_explicit(&registry[id], memory_order_relaxed);
    return l1 == INHERITED ? NULL : l1;
}

/* Runs in the child of a fork: no cache of the child's gets a number that inherited values bear. */
static void note_inherited(void)
{
    for (uint32_t id = 0; id < L1_CACHES_MAX; id++)
        if (atomic_load_explicit(&registry[id], memory_order_relaxed))
            atomic_store_explicit(&registry[id], INHERITED, memory_order_relaxed);
}

static void watch_forks(void)
{
    pthread_atfork(NULL, NULL, note_inherited);
}

int registry_add(struct l1 *l1)
{
    pthread_once(&fork_once, watch_forks);
    for (uint32_t id = 0; id < L1_CACHES_MAX; id++) {
        struct l1 *expected = NULL;
        if (atomic_compare_exchange_strong_explicit(&registry[id], &expected, l1,
                                                    memory_order_acq_rel, /* pair(l1.registry) */
                                                    memory_order_relaxed)) {
            l1->id = id;
            return 0;
        }
    }
    return NIGH_ENOMEM;
}

void registry_remove(const struct l1 *l1)
{
    /* pair(l1.registry): a cache that takes the number finds nothing of this one in use */
    atomic_store_explicit(&registry[l1->id], NULL, memory_order_release);
}
