/* SPDX-License-Identifier: MIT */
/*
 * The counted side of instructions.c: one operation, again and again, on a cache without threads.
 */
#ifndef NIGH_PERF_INSTRUCTIONS_LOOPS_H
#define NIGH_PERF_INSTRUCTIONS_LOOPS_H

/* valgrind throws away what it has counted when this is called. */
#define LOOP_BEGINS "loop_begins"

enum loop_keys {
    KEYS_5,        /* all of 5 bytes: what the hash does longer, and the comparison too */
    KEYS_24,
    KEYS_17_TO_32, /* so that entries differ in size */
};

struct loop {
    /* Calls the operation for the number, and says whether it did what it is counted for. */
    int (*operate)(unsigned long number);
    unsigned long operations;
    unsigned long warm;    /* of them before, not counted */
    unsigned long entries; /* numbers are taken from so many; 0: no number comes twice */
    unsigned long memory;  /* the cache's, in bytes */
    enum loop_keys keys;
};

int loop_hit(unsigned long number);
int loop_hit_l1_only(unsigned long number);
int loop_hit_quiet(unsigned long number);
int loop_many(unsigned long number); /* LOOP_BATCH keys */
int loop_put(unsigned long number);
int loop_miss(unsigned long number);

#define LOOP_BATCH 16

/* Runs it under a policy. Prints how many operations did something else than they are counted for.
 * Returns the exit status; does not come back if a loop is none. */
int loop_run(const struct loop *loop, const char *policy);

#endif
