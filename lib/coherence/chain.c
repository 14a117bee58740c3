// SPDX-License-Identifier: MIT
// The chain of changes: how far it is applied, and what continues it. See chain.h.

#include "coherence/chain.h"

int coherence_chain_init(struct coherence_chain *chain, struct mem *mem)
{
    chain->nonces = mem_alloc_zero(mem, COHERENCE_CHAIN_NONCES * sizeof(*chain->nonces));
    return chain->nonces ? 0 : NIGH_ENOMEM;
}

void coherence_chain_fini(struct coherence_chain *chain, struct mem *mem)
{
    mem_free(mem, NULL, chain->nonces, COHERENCE_CHAIN_NONCES * sizeof(*chain->nonces));
}

static uint64_t *nonce_at(const struct coherence_chain *chain, uint64_t sequence)
{
    return &chain->nonces[sequence % COHERENCE_CHAIN_NONCES];
}

void coherence_chain_begin(struct coherence_chain *chain, uint64_t sequence, uint64_t nonce)
{
    chain->applied = chain->nonces_from = sequence;
    *nonce_at(chain, sequence) = nonce;
}

void coherence_chain_advance(struct coherence_chain *chain, uint64_t sequence, uint64_t nonce)
{
    if (sequence != chain->applied + 1)
        return;
    chain->applied = sequence;
    *nonce_at(chain, sequence) = nonce;
}

bool coherence_chain_remembers(const struct coherence_chain *chain, uint64_t sequence)
{
    return sequence <= chain->applied && sequence >= chain->nonces_from &&
           chain->applied - sequence < COHERENCE_CHAIN_NONCES;
}

bool coherence_chain_agrees(const struct coherence_chain *chain, uint64_t sequence, uint64_t nonce)
{
    return !coherence_chain_remembers(chain, sequence) ||
           nonce == *nonce_at(chain, sequence);
}

bool coherence_chain_goes_on_from(const struct coherence_chain *chain, uint64_t previous)
{
    return previous == *nonce_at(chain, chain->applied);
}

bool coherence_chain_agrees_beyond(const struct coherence_chain *chain,
                                   const struct coherence_point *known, uint64_t sequence,
                                   uint64_t nonce)
{
    if (sequence == known->sequence && nonce != known->nonce)
        return false;
    return coherence_chain_agrees(chain, sequence, nonce);
}

bool coherence_chain_reaches(const struct coherence_chain *chain, const struct l2_clock *clock,
                             const struct coherence_point *known)
{
    return clock->sequence >= known->sequence &&
           coherence_chain_agrees_beyond(chain, known, clock->sequence, clock->nonce);
}
