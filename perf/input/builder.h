/* SPDX-License-Identifier: MIT */
/*
 * Requests as they are read, one after the other.
 */
#ifndef PERF_INPUT_BUILDER_H
#define PERF_INPUT_BUILDER_H

#include "input/input.h"
#include "input/key_map.h"

#define SIZE_UNKNOWN UINT32_MAX
#define TIME_UNKNOWN INT64_MIN

/* The loads of a key. */
struct builder_load {
    uint64_t us;
    uint32_t count;
};

/* What became of a key's misses, and of requests that got a stale value. */
struct builder_miss {
    size_t open;   /* request + 1 of that kind after which nothing was stored yet; 0: none */
    bool put;      /* a value of it was put */
    bool stores;   /* after some miss a value came */
    bool looks;    /* after some miss none came */
    bool stale;    /* the open one was no miss */
};

struct builder {
    struct input *in;
    struct key_map keys;
    size_t room, change_room;
    uint64_t most_bytes; /* of memory, more or less */
    uint64_t other_bytes; /* that the format has beside what is here */
    bool full;           /* it would take more: nothing is added any more */
    bool has_story;   /* the format tells what requests bring, and how long it lives */
    bool timed;       /* a time was known */
    int64_t first_us; /* the first of them */
    int64_t since_us; /* the last one, since the first */
    uint64_t key_bytes_sum;
    uint32_t *sizes; /* that were noted, of each key; SIZE_UNKNOWN: none */
    uint32_t sized;  /* so many keys have a place there */
    struct builder_load *loads;
    uint32_t loaded; /* the same */
    struct builder_miss *misses;
    uint32_t missed; /* the same */
};

/* One more. `at_us` is any count of microseconds; unknown: that of the request before. */
void builder_add(struct builder *b, uint64_t key, uint32_t size, int64_t at_us);
/* A key, by its number, was invalidated or put, since the request that was added last. */
void builder_change(struct builder *b, const struct change *c);
/* A record that is no request says how large a key's value is. */
void builder_note_size(struct builder *b, uint64_t key, uint32_t size);
/* A load of the key took so long. */
void builder_note_load(struct builder *b, uint64_t key, uint32_t us);
/* The request that was added last has missed, or got a stale value; a value of the key came from
 * somewhere. */
void builder_note_miss(struct builder *b, uint64_t key, bool stale);
void builder_note_value(struct builder *b, uint64_t key, bool is_put);
/* Tell which requests store nothing when they miss: those that did, and those that hit of a key
 * whose values come by puts of their own accord alone. */
void builder_settle_misses(struct builder *b);
/* Give each request the largest size that is known of its key: an answer that broke off is smaller.
 * Where none is known it gets the mean of the keys. */
void builder_settle_sizes(struct builder *b);
/* Make times run forwards from 0. Where they go back by more than a minute (files in the wrong
 * order: access.log.2 is older than access.log.1), requests are put in order; a slow request that
 * was written late gets the time of the one before. */
void builder_settle_times(struct builder *b);
void builder_end(struct builder *b);

#endif
