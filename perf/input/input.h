/* SPDX-License-Identifier: MIT */
/*
 * Requests that somebody has recorded, whatever the format: an access log (log_line.h), a trace of
 * libCacheSim's (oracleGeneral), one of {u32 key, u32 size} (NAME.t8), or a recording of nigh's own
 * (trace.file). All of them may be compressed with zstd.
 */
#ifndef PERF_INPUT_INPUT_H
#define PERF_INPUT_INPUT_H

#include <stdbool.h>

#include "bench/simulate.h"

enum input_kind { INPUT_TRACE, INPUT_LOG };

struct input {
    struct trace trace; /* keys are numbered by first appearance */
    const char *format; /* "access log", ... */
    bool has_sizes;     /* false: the trace says nothing about them, all are 0 */
    bool turned;        /* times went back, so requests were put in order */
    double rate;        /* share of the keys that were recorded: 1, or what was sampled */
    uint32_t key_bytes; /* mean length of the keys; 0: not known */
    /* of a recording */
    uint64_t invalidations; /* of the changes */
    bool has_lives;         /* lifetimes are in it, and what fell with a tag or a space */
    float *load_us;         /* how long loads of each key took in the mean; NULL: not known */
    uint64_t dropped;       /* requests that are not in it, for they came too fast */
    uint64_t reads;         /* of all keys while it was recorded; 0: not known */
    bool cut;               /* its last record is: it is written still, or its process was killed */
    /* of a log */
    uint64_t lines;
    uint64_t others;        /* requests that are no GET, or have another status than 200 and 304 */
    uint64_t garbage;       /* lines that are no requests */
    uint64_t first_garbage; /* the number of the first of them ... */
    char shown[81];         /* ... and how it begins, in printable letters */
    uint64_t sited;         /* requests that name their site, which is part of the key ... */
    char site[65];          /* ... and what the first of them names */
    uint64_t unsized;       /* requests whose size no line tells: they got the mean */
};

/*
 * Read all of it. Returns NULL, or what is wrong, which the caller frees: it cannot be read, it is
 * not what it should be, it is cut off, it has no requests, or more than half of this machine's
 * memory has room for. input_free() is for both cases.
 */
char *input_read(struct input *in, enum input_kind kind, const char *path);
/* ... with room for so many bytes, more or less. */
char *input_read_within(struct input *in, enum input_kind kind, const char *path,
                        uint64_t most_bytes);
void input_free(struct input *in);

/* Returns how long it took from the first request to the last, in seconds; 0: not known. */
uint64_t input_span_s(const struct input *in);

/* Have requests store nothing whose value is larger: space.value_max. Returns how many they are. */
size_t input_set_value_max(struct input *in, uint32_t bytes);
/* Give whatever a request or a put brings this lifetime. Wants times. */
void input_set_life(struct input *in, struct life life);

/*
 * Requests that so large a part of the keys should have: of a recording by all the reads that its
 * process had, else those that are there. Of a few popular keys a sample has too many or too few,
 * and the difference are hits in a cache of any size (tune/sample.h).
 */
double input_expected(const struct input *in);

/* Give every request and every put so many bytes, where the trace has no sizes. */
void input_set_sizes(struct input *in, uint32_t bytes);

#endif
