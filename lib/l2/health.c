// SPDX-License-Identifier: MIT
// Whether Redis serves us, as its answers show: the breaker's verdicts and refusals, and what the
// log hears of both.

#include "l2/client.h"

void health_judge(struct l2 *l2, bool good, uint64_t now_ns)
{
    if (!breaker_record(&l2->breaker, l2->env->random, good, now_ns))
        return;
    bool open = breaker_state(&l2->breaker) == BREAKER_OPEN;
    if (open)
        stats_count(l2->stats, STATS_L2_BREAKER_OPEN);
    LOG(l2->env->log, NIGH_LOG_WARN, open ? "redis is slow or failing: asking it only now and then"
                                          : "redis answers again");
}

void health_refused(struct l2 *l2)
{
    const char *words = l2->conn.words;
    outage_note(&l2->refusal, words, l2->conn.heard_ns);
    l2->refused = true;
    if (outage_is_news(&l2->refusal, words) &&
        LOG(l2->env->log, NIGH_LOG_WARN, "redis at %s refuses a request: %s", l2->uri.shown, words))
        outage_told(&l2->refusal, words);
}

void health_served(struct l2 *l2)
{
    if (l2->refused)
        outage_over(&l2->refusal);
    l2->refused = false;
}
