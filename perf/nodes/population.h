/* SPDX-License-Identifier: MIT */
/*
 * The names that clients ask for, with their popularity, and what each page depends on. In memory.
 *
 * A *key* is a number: 1 .. packages are the packages of the catalogue, the numbers after them are
 * names that occur only in dependencies. A package is as popular as it has dependants, plus one;
 * an absent name as often as it is mentioned.
 */
#ifndef PERF_POPULATION_H
#define PERF_POPULATION_H

#include <stdbool.h>
#include <stdint.h>

#include "support/random.h"
#include "support/sampler.h"
#include "support/text.h"

struct population {
    uint32_t packages;
    uint32_t keys; /* packages and absent names; keys are 1 .. keys */
    struct text *names;         /* by key; owned as one piece */
    struct name_map *by_name;   /* name -> key */
    uint32_t *edge_start;       /* by package: edges[edge_start[p]] .. edges[edge_start[p + 1]] */
    uint32_t *edges;            /* targets of direct dependencies: the page's tags */
    struct sampler popular;     /* packages, by popularity */
    struct sampler absent;      /* absent names, by mentions */
    char *text;                 /* all names */
};

struct population *population_open(const char *catalogue);
void population_close(struct population *p);

static inline bool population_is_package(const struct population *p, uint32_t key)
{
    return key <= p->packages;
}

/* The next request's key: one in ten is for a name that has no record. */
static inline uint32_t population_draw(const struct population *p, struct random_stream *r)
{
    if (p->absent.count && random_below(r, 10) == 0)
        return p->packages + 1 + sampler_draw(&p->absent, r);
    return 1 + sampler_draw(&p->popular, r);
}

/* The key of a name; NAME_MAP_NONE if nobody has it. */
uint32_t population_find(const struct population *p, struct text name);

#endif
