/* SPDX-License-Identifier: MIT */
/*
 * Logs of what the loader did and of what befell the nodes: append-only, in shared memory.
 *
 * They are written while the job runs and judged after it (generations.c), when everything that may
 * excuse a second load is known. A full log loses its latest records and says so.
 *
 * Keys: (c) written by one thread, read after that process has ended   (a) atomic
 */
#ifndef PERF_LOADS_H
#define PERF_LOADS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Tells what L1 alone had just before the call that led to a load. */
enum load_look { LOAD_NOT_LOOKED, LOAD_LOOKED_EMPTY, LOAD_LOOKED_FULL };

/* One call of the loader. Keys: all (c) */
struct load {
    uint64_t begin_ns; /* not after the flight's ticket */
    uint64_t start_ns; /* of the loader */
    uint64_t end_ns;   /* of the loader */
    uint64_t look_ns;  /* before its client asked itself whether to look; of a worker: begin_ns */
    uint32_t key;
    uint8_t node;
    uint8_t look;  /* enum load_look */
    bool found;
};

/* Something that ends generations, or takes Redis away, at one node for some time. */
enum trouble_kind {
    TROUBLE_AWAY,    /* the node could not reach Redis: one load per process */
    TROUBLE_RENEWED, /* trail or trust lost: everything became stale and may be loaded once */
    TROUBLE_ISSUED_AGAIN, /* it may have met another clock: it issues its latest changes again */
};

/* Keys: all (c) */
struct trouble {
    uint64_t from_ns;
    uint64_t known_ns; /* from when its clients knew, and looked first; 0: from its beginning */
    uint64_t to_ns;
    uint32_t node;
    uint32_t kind; /* enum trouble_kind */
};

/* A process' view of the logs; what it points to is shared. */
struct loads {
    uint32_t capacity;
    uint32_t trouble_capacity;
    _Atomic uint32_t *count;         /* (a) reserved so far: may pass the capacity */
    _Atomic uint32_t *trouble_count; /* (a) likewise */
    struct load *loads;
    struct trouble *troubles;
};

#define LOADS_TROUBLES 4096u

size_t loads_bytes(uint32_t capacity);
struct loads loads_at(void *memory, uint32_t capacity);

void loads_add(struct loads *l, const struct load *load);
void loads_add_trouble(struct loads *l, const struct trouble *trouble);

/* Records kept, and records lost because the log was full. */
uint32_t loads_count(const struct loads *l);
uint32_t loads_trouble_count(const struct loads *l);
uint32_t loads_lost(const struct loads *l);

#endif
