// SPDX-License-Identifier: MIT
// Whether Redis serves us, as its answers show: the breaker's verdicts and refusals, and what the
// log hears of both.
//
// A server that is connected may refuse one thing and do the others: leases while its memory is
// full, changes for want of a right. So what it refuses is over when it has done that again, and
// not when it has done something else; beats go on all the time. Three exceptions:
//
// - A server on the brink of its memory refuses now and then: it is over after QUIET_NS without.
// - What was refused may not be asked for again: it is forgotten after FORGET_NS.
// - A right that lacks is not there because something was served that does not need it. It is over
//   when the server says that the right is there (rights.c). And one that lacks is told before
//   anything is refused for it.
//
// An error that ends the connection (is_fatal() in pipeline.c) is the reason of an outage. Where
// the handshake does not meet it (a master that wants replicas to write) the next connection comes
// up, and is no better: that outage is over when a script was executed that writes, or refused in
// other words.

#include "l2/client.h"

#define QUIET_NS (2 * NS_PER_S)
#define FORGET_NS (30 * NS_PER_S)

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

static void tell_connected(struct link *link, uint64_t now_ns)
{
    link->turned_away = false;
    if (outage_end(&link->outage, now_ns)) /* at the level of what it ends */
        LOG(link->env->log, NIGH_LOG_WARN, "redis at %s is connected again", link_shown(link));
    else if (link->connections == 1)
        LOG(link->env->log, NIGH_LOG_INFO, "redis at %s is connected", link_shown(link));
}

static void note(struct link *link, const char *words)
{
    outage_note(&link->refusal, words, link->conn.heard_ns);
    link->refused_ns = link->conn.heard_ns;
}

void health_refused(struct link *link, uint32_t work)
{
    if (link->turned_away) /* not for that any more, and the connection stays */
        tell_connected(link, link->conn.heard_ns);
    bool of_rights = is_of_rights(link->conn.words);
    const char *words = of_rights && link->lacks[0] ? link->lacks : link->conn.words;
    uint32_t refused = atomic_load_explicit(&link->refused, memory_order_relaxed);
    atomic_store_explicit(&link->refused, refused | work, memory_order_relaxed);
    link->unserved |= work;
    note(link, words);
    link->rights_doubted = link->rights_doubted || of_rights;
    if (outage_is_news(&link->refusal, words) &&
        LOG(link->env->log, NIGH_LOG_WARN, "redis at %s refuses a request: %s", link_shown(link),
            words))
        outage_told(&link->refusal, words);
}

void health_lacks(struct link *link)
{
    struct log_site own = {0}; /* the line of the refusal must not hold this one back */
    bool refuses = atomic_load_explicit(&link->refused, memory_order_relaxed);
    note(link, link->lacks);
    outage_retell(&link->refusal, is_of_rights, link->lacks);
    if (!outage_is_news(&link->refusal, link->lacks))
        return;
    log_write(link->env->log, NIGH_LOG_WARN, &own,
              refuses ? "redis at %s refuses a request: %s"
                      : "redis at %s gives too few rights: %s",
              link_shown(link), link->lacks);
    outage_told(&link->refusal, link->lacks);
}

/* Returns whether the log has been told. */
static bool forget_refused(struct link *link, uint64_t now_ns)
{
    atomic_store_explicit(&link->refused, 0, memory_order_relaxed);
    link->unserved = 0;
    return outage_end(&link->refusal, now_ns);
}

static void end_refusal(struct link *link)
{
    if (forget_refused(link, link->conn.heard_ns))
        LOG(link->env->log, NIGH_LOG_WARN, "redis at %s takes all requests again",
            link_shown(link));
}

void health_served(struct link *link, uint32_t work)
{
    if (link->turned_away && (work & ~(uint32_t)(L2_READS | L2_LOOKS)))
        tell_connected(link, link->conn.heard_ns);
    if (!atomic_load_explicit(&link->refused, memory_order_relaxed))
        return;
    link->unserved &= ~work;
    uint64_t quiet_ns = link->conn.heard_ns - link->refused_ns;
    if (quiet_ns < (link->unserved ? FORGET_NS : QUIET_NS))
        return;
    if (!link->lacks[0])
        end_refusal(link);
    else if (link->unserved)
        link->rights_doubted = true;
    else /* what lacks goes on, and nothing is refused for want of it */
        atomic_store_explicit(&link->refused, 0, memory_order_relaxed);
}

void health_lacks_none(struct link *link)
{
    bool is_reason = link->lacks[0] && outage_tells(&link->refusal, link->lacks);
    link->lacks[0] = '\0';
    if (!is_reason)
        return; /* another one, until what was refused is served again */
    if (!atomic_load_explicit(&link->refused, memory_order_relaxed))
        outage_drop(&link->refusal);
    end_refusal(link);
}

void health_turned_away(struct link *link, struct bytes words)
{
    conn_problem(&link->conn, "", words);
    link->turned_away = true;
}

void health_begin(struct link *link, uint64_t now_ns)
{
    if (!link->turned_away)
        tell_connected(link, now_ns);
    forget_refused(link, now_ns);
    link->rights_doubted = false; /* the handshake has asked */
    link->rights_look_ns = 0;
    link->lacks[0] = '\0';
}
