// SPDX-License-Identifier: MIT
// What requests to Redis took in the last minute, as health says it: the answer to "is Redis slow?"

#include <inttypes.h>

#include "cache/commands/health.h"
#include "cache/say.h"

#define SLOW_SAID 100u /* one in so many: of fewer p99 tells enough */

static void say_window(struct command *c, const struct took *t)
{
    control_print(c->reply, t->since_opening ? "in the %s since the opening" : "in the last %s",
                  said_span(t->span_ns).text);
}

static void say_times(struct command *c, const struct took *t)
{
    if (t->count > 0)
        control_print(c->reply, "redis: requests took %s (median), %s (p99) ",
                      said_bound(t->median_ns).text, said_bound(t->p99_ns).text);
    else
        control_print(c->reply, "redis: no request for a value was answered ");
    say_window(c, t);
    control_print(c->reply, "\n");
}

/* Says what makes it slow, and what to look at. */
static void say_slow(struct command *c, const struct took *t)
{
    const char *before = "redis: slow: ";
    if (t->slow * SLOW_SAID >= t->count && t->slow > 0) {
        control_print(c->reply, "%s%" PRIu64 " of %" PRIu64 " took more than %s, which counts as "
                                "failing (redis.deadline)", before, t->slow, t->count,
                      said_span(l2_slow_ns(c->cache->l2)).text);
        before = "; ";
    }
    if (t->given_up * SLOW_SAID >= t->count && t->given_up > 0) {
        control_print(c->reply, "%s%" PRIu64 " had no answer in time", before, t->given_up);
        before = "; ";
    }
    if (*before == ';')
        control_print(c->reply, ": look at its SLOWLOG, its CPU, and the network\n");
}

void health_say_requests(struct command *c)
{
    struct took t;
    took_read(c->cache, &t);
    if (t.count > 0 || t.given_up > 0)
        say_times(c, &t);
    say_slow(c, &t);
}
