// SPDX-License-Identifier: MIT
// Whether Redis serves us, as its answers show: the breaker's verdicts and refusals, and what the
// log hears of both.

#include "l2/client.h"

void health_judge(struct link *link, bool good, uint64_t now_ns)
{
    if (!breaker_record(&link->breaker, link->env->random, good, now_ns))
        return;
    bool open = breaker_state(&link->breaker) == BREAKER_OPEN;
    if (open)
        stats_count(link->stats, STATS_L2_BREAKER_OPEN);
    LOG(link->env->log, NIGH_LOG_WARN,
        open ? "redis is slow or failing: asking it only now and then" : "redis answers again");
}

/* Whether a server's words, of a refusal, are about what the user may do. */
static bool is_of_rights(const char *words)
{
    return strncmp(words, "NOPERM", 6) == 0 || /* and of scripts: */
           strstr(words, "The user executing the script can't") || /* 7.0 */
           strstr(words, "ACL failure in script");                 /* 8.0 */
}

void health_refused(struct link *link)
{
    bool of_rights = is_of_rights(link->conn.words);
    const char *words = of_rights && link->lacks[0] ? link->lacks : link->conn.words;
    outage_note(&link->refusal, words, link->conn.heard_ns);
    link->refused = true;
    link->rights_doubted = link->rights_doubted || of_rights;
    if (outage_is_news(&link->refusal, words) &&
        LOG(link->env->log, NIGH_LOG_WARN, "redis at %s refuses a request: %s", link_shown(link),
            words))
        outage_told(&link->refusal, words);
}

void health_lacks(struct link *link)
{
    struct log_site own = {0}; /* the line of the refusal must not hold this one back */
    outage_note(&link->refusal, link->lacks, link->conn.heard_ns);
    link->refused = true;
    if (!outage_is_news(&link->refusal, link->lacks))
        return;
    log_write(link->env->log, NIGH_LOG_WARN, &own, "redis at %s refuses a request: %s",
              link_shown(link), link->lacks);
    outage_told(&link->refusal, link->lacks);
}

void health_served(struct link *link)
{
    if (link->refused)
        outage_over(&link->refusal, clock_now_ns(link->env->clock));
    link->refused = false;
}
