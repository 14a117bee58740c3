// SPDX-License-Identifier: MIT
/*
 * The loops for those who are called through pointers.
 */
#include "bench/candidate.h"

const struct nigh_call loop_call = {.size = sizeof(struct nigh_call), .flags = NIGH_L1_ONLY};

/* The keys are gathered in the loop that is timed: who asks for many has to put them somewhere. */
__attribute__((always_inline)) static inline uint64_t
loop_batches(const struct candidate *c, unsigned batch, bool copies, struct nigh_space *space,
             const struct sequence *sequence, uint64_t at, uint64_t count)
{
    struct nigh_key keys[LOOP_BATCH_MAX];
    struct nigh_value values[LOOP_BATCH_MAX];
    int outcomes[LOOP_BATCH_MAX];
    uint64_t wrong = 0;
    for (uint64_t n = 0; n < count; n += batch, at += batch) {
        for (unsigned i = 0; i < batch; i++) {
            const struct step *step = &sequence->steps[(at + i) & (sequence->length - 1)];
            keys[i] = (struct nigh_key){step->key, step->key_len};
        }
        if (c->get_many(space, keys, batch, &loop_call, values, outcomes) != 0)
            return UINT64_MAX;
        for (unsigned i = 0; i < batch; i++) {
            if (outcomes[i] != NIGH_FRESH)
                return UINT64_MAX;
            wrong |= loop_word_of(&values[i], copies) ^
                     sequence->steps[(at + i) & (sequence->length - 1)].number;
            c->release(&values[i]);
        }
    }
    return wrong;
}

/* A loop for each kind: what differs is decided outside it. */
uint64_t loop_through(const struct candidate *c, enum loop_kind kind, struct nigh_space *space,
                      const struct sequence *sequence, uint64_t at, uint64_t count)
{
    candidate_get_fn *get = c->get;
    candidate_release_fn *release = c->release;
    switch (kind) {
    case LOOP_CHAIN:
        return loop_run(get, release, LOOP_CHAIN, space, sequence, at, count);
    case LOOP_CHAIN_COPY:
        return loop_run(get, release, LOOP_CHAIN_COPY, space, sequence, at, count);
    case LOOP_FREE_COPY:
        return loop_run(get, release, LOOP_FREE_COPY, space, sequence, at, count);
    case LOOP_BATCH_16:
        return loop_batches(c, 16, false, space, sequence, at, count);
    case LOOP_BATCH_16_COPY:
        return loop_batches(c, 16, true, space, sequence, at, count);
    case LOOP_BATCH_32:
        return loop_batches(c, 32, false, space, sequence, at, count);
    case LOOP_BATCH_32_COPY:
        return loop_batches(c, 32, true, space, sequence, at, count);
    default:
        return loop_run(get, release, LOOP_FREE, space, sequence, at, count);
    }
}
