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
};

/* One more. `at_s` is any count of seconds; if it goes back, the time before stands. */
void builder_add(struct builder *b, uint64_t key, uint32_t size, int64_t at_s);
void builder_end(struct builder *b);

#endif
