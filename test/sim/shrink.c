// SPDX-License-Identifier: MIT
// Delta debugging (Zeller, Hildebrandt: Simplifying and isolating failure-inducing input, 2002):
// drop ever smaller runs of steps as long as the same rule breaks; then make faults shorter.

#include <string.h>

#include "sim/schedule.h"

#define TRIES_MAX 3000

static unsigned tries;

static bool still_fails(const struct schedule *s, const char *rule)
{
    const char *broken = schedule_run(s);
    tries++;
    return broken && strcmp(broken, rule) == 0;
}

static void drop(struct schedule *to, const struct schedule *from, uint32_t at, uint32_t count)
{
    *to = *from;
    memmove(&to->steps[at], &to->steps[at + count],
            (from->count - at - count) * sizeof(to->steps[0]));
    to->count -= count;
}

/* One pass with runs of that length. True: something went. */
static bool pass(struct schedule *s, const char *rule, uint32_t run)
{
    static struct schedule smaller;
    bool any = false;
    for (uint32_t at = 0; at + run <= s->count && tries < TRIES_MAX;) {
        drop(&smaller, s, at, run);
        if (still_fails(&smaller, rule)) {
            *s = smaller;
            any = true;
        } else {
            at += run;
        }
    }
    return any;
}

static void shorten(struct schedule *s, const char *rule)
{
    static struct schedule shorter;
    for (uint32_t i = 0; i < s->count && tries < TRIES_MAX; i++) {
        shorter = *s;
        shorter.steps[i].ms = 1;
        if (s->steps[i].ms > 1 && still_fails(&shorter, rule))
            *s = shorter;
    }
}

void schedule_shrink(struct schedule *s, const char *rule)
{
    tries = 0;
    for (uint32_t run = s->count / 2; run >= 1; run /= 2)
        while (pass(s, rule, run))
            continue;
    shorten(s, rule);
}
