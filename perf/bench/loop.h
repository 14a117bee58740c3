/* SPDX-License-Identifier: MIT */
/*
 * The timing loops: the same keys, in the same order, for whoever is measured.
 *
 * Every value begins with the number of its key. The loop takes the difference between that word
 * and what it should be; it is 0 unless the candidate is wrong, which only the loaded value can
 * tell. A chain adds it to the place of the next key: so the next lookup cannot begin before this
 * one's value has arrived, though the order of the keys stays the same. The difference is also the
 * check: a loop returns what it gathered, and anything but 0 ends the measurement.
 */
#ifndef PERF_BENCH_LOOP_H
#define PERF_BENCH_LOOP_H

#include <nigh/read.h>
#include <string.h>

#define KEY_BYTES_MIN 17u
#define KEY_BYTES_MAX 32u
#define LOOP_VALUE_MAX 4096u

/* One lookup to come. The key lies in the sequence itself: reading it is a stream, not a miss. */
struct step {
    uint8_t key[KEY_BYTES_MAX];
    uint32_t key_len;
    uint32_t number;
};

struct sequence {
    struct step *steps;
    uint64_t length; /* power of two */
};

enum loop_kind {
    LOOP_CHAIN,      /* the next key needs this value */
    LOOP_FREE,       /* independent lookups: as many at once as the CPU can */
    LOOP_CHAIN_COPY, /* the caller copies the value out before it releases it */
    LOOP_FREE_COPY,
    LOOP_BATCH_16, /* independent, so many at a call of get_many */
    LOOP_BATCH_16_COPY,
    LOOP_BATCH_32,
    LOOP_BATCH_32_COPY,
    LOOP_KINDS
};

#define LOOP_BATCH_MAX 32u

typedef int candidate_get_fn(struct nigh_space *space, const void *key, size_t key_len,
                             const struct nigh_call *call, struct nigh_value *ret_value);
typedef int candidate_get_many_fn(struct nigh_space *space, const struct nigh_key *keys,
                                  size_t count, const struct nigh_call *call,
                                  struct nigh_value *ret_values, int *ret_outcomes);
typedef void candidate_release_fn(struct nigh_value *value);

/* `count` lookups from place `at` on; 0 when every value was right. */
typedef uint64_t loop_fn(struct nigh_space *space, const struct sequence *sequence, uint64_t at,
                         uint64_t count);

/* The call of those who measure `get` with one: never waits, never asks L2. */
extern const struct nigh_call loop_call;

/* Returns the word that a value begins with: read where it lies, or in a copy of all of it. */
__attribute__((always_inline)) static inline uint64_t loop_word_of(const struct nigh_value *value,
                                                                   bool copies)
{
    char copy[LOOP_VALUE_MAX];
    const void *data = value->data;
    uint64_t word;
    if (copies) {
        memcpy(copy, value->data, value->len);
        __asm__ volatile("" : : "r"(copy) : "memory"); /* it is wanted */
        data = copy;
    }
    memcpy(&word, data, sizeof(word));
    return word;
}

__attribute__((always_inline)) static inline uint64_t
loop_run(candidate_get_fn *get, candidate_release_fn *release, enum loop_kind kind,
         struct nigh_space *space, const struct sequence *sequence, uint64_t at, uint64_t count)
{
    bool copies = kind == LOOP_CHAIN_COPY || kind == LOOP_FREE_COPY;
    bool chains = kind == LOOP_CHAIN || kind == LOOP_CHAIN_COPY;
    uint64_t wrong = 0;
    for (uint64_t n = 0; n < count; n++) {
        const struct step *step = &sequence->steps[at & (sequence->length - 1)];
        struct nigh_value value;
        if (get(space, step->key, step->key_len, &loop_call, &value) != NIGH_FRESH)
            return UINT64_MAX;
        uint64_t word = loop_word_of(&value, copies);
        release(&value);
        uint64_t off = word ^ step->number;
        wrong |= off;
        at += 1 + (chains ? off : 0);
    }
    return wrong;
}

/* The loops through pointers: what every candidate without its own is measured with. */
struct candidate;
uint64_t loop_through(const struct candidate *c, enum loop_kind kind, struct nigh_space *space,
                      const struct sequence *sequence, uint64_t at, uint64_t count);

#endif
