/* SPDX-License-Identifier: MIT */
/*
 * A number that threads share and that only rises: the latest of what any of them has seen.
 */
#ifndef NIGH_TEST_RAISE_H
#define NIGH_TEST_RAISE_H

#include <stdatomic.h>
#include <stdint.h>

/* Raise a number to `value`, unless it is larger already. */
static inline void raise_to(_Atomic uint64_t *at, uint64_t value)
{
    uint64_t before = atomic_load(at);
    while (before < value && !atomic_compare_exchange_weak(at, &before, value))
        continue;
}

#endif
