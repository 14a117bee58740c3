/* SPDX-License-Identifier: MIT */
/*
 * Requests as they are read, one after the other.
 */
#ifndef PERF_INPUT_BUILDER_H
#define PERF_INPUT_BUILDER_H

#include "input/input.h"
#include "input/key_map.h"

#define SIZE_UNKNOWN UINT32_MAX

struct builder {
    struct input *in;
    struct key_map keys;
    size_t room;
    int64_t first_s; /* the time of the first request */
    uint64_t key_bytes_sum;
    uint32_t *sizes; /* that were noted, of each key; SIZE_UNKNOWN: none */
    uint32_t sized;  /* so many keys have a place there */
};

/* One more. `at_s` is any count of seconds; if it goes back, the time before stands. */
void builder_add(struct builder *b, uint64_t key, uint32_t size, int64_t at_s);
/* A record that is no request says how large a key's value is. */
void builder_note_size(struct builder *b, uint64_t key, uint32_t size);
/* Give each request the largest size that is known of its key: an answer that broke off is smaller.
 * Where none is known it gets the mean of the keys. */
void builder_settle_sizes(struct builder *b);
void builder_end(struct builder *b);

#endif
