// SPDX-License-Identifier: MIT
/*
 * Building the two tables of the alias method.
 */
#include "support/sampler.h"

#include <stdlib.h>

#include "support/fail.h"

static double total_of(const uint32_t *weights, uint32_t count)
{
    double total = 0;
    for (uint32_t i = 0; i < count; i++)
        total += weights[i];
    if (total <= 0)
        fail("nothing to draw from: %u weights, all zero", count);
    return total;
}

void sampler_init(struct sampler *s, const uint32_t *weights, uint32_t count)
{
    double *share = must_alloc(count, sizeof(*share)); /* 1 = exactly its own slot */
    uint32_t *small = must_alloc(count, sizeof(*small));
    uint32_t *large = must_alloc(count, sizeof(*large));
    uint32_t smalls = 0, larges = 0;
    double scale = count / total_of(weights, count);
    s->count = count;
    s->slots = must_alloc(count, sizeof(*s->slots));
    for (uint32_t i = 0; i < count; i++) {
        share[i] = weights[i] * scale;
        s->slots[i] = (struct sampler_slot){UINT32_MAX, i};
        if (share[i] < 1)
            small[smalls++] = i;
        else
            large[larges++] = i;
    }
    /* Each small slot is topped up by a large one, which may become small by it. What is left over
     * is 1 up to rounding and keeps its slot whole. */
    while (smalls && larges) {
        uint32_t poor = small[--smalls], rich = large[larges - 1];
        s->slots[poor] = (struct sampler_slot){(uint32_t)(share[poor] * 0x1p32), rich};
        share[rich] -= 1 - share[poor];
        if (share[rich] < 1) {
            larges--;
            small[smalls++] = rich;
        }
    }
    free(share);
    free(small);
    free(large);
}

void sampler_free(struct sampler *s)
{
    free(s->slots);
    *s = (struct sampler){0};
}
