// SPDX-License-Identifier: MIT
/*
 * Filling, and looking up.
 */
#include "bench/stage.h"

#include <stdatomic.h>

#include "support/fail.h"

#define PROGRESS_EVERY 65536u
#define VALUE_MAX_BYTES 65536u /* larger than what is looked up: `memory` fills only */

void stage_put(const struct candidate *c, struct nigh_space *space, uint32_t number,
               const struct candidate_need *need)
{
    struct step step;
    static _Thread_local char value[VALUE_MAX_BYTES];
    struct nigh_call call = NIGH_CALL_INIT;
    if (need->value_bytes > sizeof(value))
        fail("values of %zu bytes are more than a stage takes", (size_t)need->value_bytes);
    if (need->tag) {
        call.tags = &need->tag;
        call.tag_count = 1;
    }
    key_make(number, &step);
    value_make(number, value, need->value_bytes);
    int rc = c->put(space, step.key, step.key_len, value, need->value_bytes,
                    need->tag ? &call : NULL);
    if (rc != 0)
        fail("%s: put failed: %s", c->name, nigh_strerror(rc));
}

struct nigh_space *stage_create(const struct candidate *c, const struct candidate_need *need)
{
    struct nigh_space *space = c->create(need);
    for (uint32_t number = 0; number < need->entries; number++) {
        stage_put(c, space, number, need);
        if (number % PROGRESS_EVERY == 0)
            progress("filling %s: %u of %lu", c->name, number, (unsigned long)need->entries);
    }
    if (c->settle)
        c->settle(space);
    progress_end();
    return space;
}

/* ---- lookups ---- */

struct team {
    const struct lookup *lookup;
    _Atomic uint64_t wrong;
};

static void look_up(void *arg, unsigned thread)
{
    struct team *team = arg;
    const struct lookup *l = team->lookup;
    const struct candidate *c = l->candidate;
    struct nigh_space *space = l->spaces[thread] ? l->spaces[thread] : l->spaces[0];
    uint64_t at = l->at + thread * (l->sequence->length / l->threads);
    uint64_t wrong = c->loop[l->kind] ? c->loop[l->kind](space, l->sequence, at, l->count)
                                      : loop_through(c, l->kind, space, l->sequence, at, l->count);
    atomic_fetch_or(&team->wrong, wrong);
}

double lookup_round(void *arg)
{
    struct lookup *l = arg;
    struct team team = {l, 0};
    uint64_t cpu_ns = team_run(l->threads, look_up, &team);
    if (team.wrong)
        fail("%s: a lookup gave no value, or a wrong one", l->candidate->name);
    l->at += l->count;
    return (double)cpu_ns / (double)l->count;
}
