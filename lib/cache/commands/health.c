// SPDX-License-Identifier: MIT
/*
 * The command health: ok, degraded or doubt, as the first word says; why, and what callers get now.
 * Then, each in its file, how L1 does; what is over; how late changes come; and who answers here.
 * In an outage that comes first, and of what is over there is one line.
 */
#include "cache/commands/health.h"

#include <inttypes.h>
#include <string.h>

#include "cache/say.h"

#define HOUR_FULL_NS (3570 * NS_PER_S) /* rounds to 60 minutes */
#define QUIET_LEAST_NS (60 * NS_PER_S) /* for so long it may go on again at any moment */
#define HEARD_LATELY_MS 10000u /* longer ago than that is said */

static bool gauge(struct nigh *cache, const char *name)
{
    return nigh_stats_value(cache, NULL, name) > 0;
}

/* A look may have come since the time was read: then it is now. */
static uint64_t between(uint64_t from_ns, uint64_t to_ns)
{
    return to_ns > from_ns ? to_ns - from_ns : 0;
}

static struct said span_of(uint64_t ms)
{
    return said_span(ms * NS_PER_MS);
}

static struct said when_of(uint64_t ago_ms)
{
    return said_when(ago_ms * NS_PER_MS);
}

/* Says what is wrong, "redis is not connected" as a rule, why and since when. */
static void say_problem(struct command *c, const char *state, const char *what,
                        const struct l2_problem *p)
{
    control_print(c->reply, "%s: %s: %s (for %s, since %s)\n", state, what,
                  p->text[0] ? p->text : "it is being connected", span_of(p->for_ms).text,
                  said_clock(p->for_ms * NS_PER_MS).text);
    if (strcmp(p->first, p->text) != 0)
        control_print(c->reply, "%s: it began with: %s\n", state, p->first);
}

/* Says what a server refuses that is connected. */
static void say_refusal(struct command *c, const char *state, const struct l2_problem *p)
{
    static const struct {
        uint32_t work;
        const char *name;
    } all[] = {{L2_BEATS, "beats"}, {L2_CHANGES, "changes"}, {L2_LEASES, "leases"},
               {L2_FILLS, "fills"}, {L2_READS, "reads"},     {L2_LOOKS, "looks"}};
    char what[100];
    struct text w = text_into(what, sizeof(what));
    const char *before = "redis is connected, but refuses ";
    for (size_t i = 0; i < ARRAY_COUNT(all); i++) {
        if (!(p->refused & all[i].work))
            continue;
        text_add(&w, "%s%s", before, all[i].name);
        before = ", ";
    }
    say_problem(c, state, what, p);
}

/* Says what that means for who calls now. */
static void say_meanwhile(struct command *c, bool in_doubt, bool connected)
{
    if (in_doubt)
        control_print(c->reply,
                      c->cache->doubt_is_miss
                          ? "clients: what L1 has counts as missing (coherence.on_doubt is miss)\n"
                          : "clients: what L1 has is handed out as stale\n");
    if (!connected)
        control_print(c->reply, "clients: what L1 lacks is loaded once in each process, or fails "
                                "where no loader is\n");
}

/* Says what waits, of which other nodes know nothing. */
static void say_queued(struct command *c)
{
    int64_t queued = nigh_stats_value(c->cache, NULL, "queued");
    if (queued > 0)
        control_print(c->reply, "queued: %" PRId64 " change%s, of which other nodes know nothing "
                                "until redis accepts %s\n", queued, plural((uint64_t)queued),
                      queued == 1 ? "it" : "them");
}

/* Says since when nothing stored is fresh. */
static void say_trust_lost(struct command *c)
{
    /* pair(coherence.trust): only compared; the order does not matter here */
    uint64_t until_ns = atomic_load_explicit(c->cache->trusted_until, memory_order_acquire);
    uint64_t now_ns = clock_coarse_ns(&c->cache->clock);
    if (until_ns == 0)
        control_print(c->reply, "doubt: nothing stored was called fresh since the opening, %s\n",
                      said_when(between(c->cache->opened_ns, now_ns)).text);
    else
        control_print(c->reply, "doubt: nothing stored is called fresh since %s (for %s)\n",
                      said_clock(between(until_ns, now_ns)).text,
                      said_span(between(until_ns, now_ns)).text);
}

/* Says why beats that are answered bring no trust, or that none is answered. */
static void say_unvouched(struct command *c)
{
    struct coherence_gauges g;
    coherence_gauges_read(c->cache->coherence, &g);
    if (g.slots_there)
        control_print(c->reply, "doubt: coherence.group_slots is %u here but %u in redis\n",
                      c->cache->group_slots, g.slots_there);
    else if (g.old_nodes_move)
        control_print(c->reply, "doubt: nodes of an older nigh change values under this prefix\n");
    else
        control_print(c->reply, "doubt: redis is connected, but has not vouched for what is stored "
                                "within coherence.trust\n");
}

static void say_in_doubt(struct command *c, int health)
{
    struct l2_problem p = {0};
    l2_problem_read(c->cache->l2, &p);
    if (health == NIGH_EOFFLINE)
        say_problem(c, "doubt", "redis is not connected", &p);
    else if (!(p.refused & L2_BEATS))
        say_unvouched(c);
    if (health != NIGH_EOFFLINE && p.refused)
        say_refusal(c, "doubt", &p);
    say_trust_lost(c);
    say_meanwhile(c, true, health != NIGH_EOFFLINE);
}

/* Says what a server that is connected refuses, or that certificates or a password are wrong.
 * False: nothing of that. */
static bool say_wrong(struct command *c)
{
    struct l2_problem p = {0};
    l2_problem_read(c->cache->l2, &p);
    if (p.refused)
        say_refusal(c, "degraded", &p);
    else if (p.text[0])
        control_print(c->reply, "degraded: %s\n", p.text);
    if (p.refused & (L2_LEASES | L2_READS | L2_FILLS))
        control_print(c->reply, "clients: what L1 lacks each process may have to load for "
                                "itself\n");
    if (p.unheard)
        control_print(c->reply, "clients: other nodes hear of changes made here with their next "
                                "beat, not at once\n"
                                "clients: where another node waits for a load of this one, it "
                                "waits for all of lease.time\n");
    return p.text[0] != '\0';
}

/* Says what is wrong although values may be called fresh. False: nothing is. */
static bool say_degraded(struct command *c)
{
    struct l2_problem p = {0};
    if (!gauge(c->cache, "connected")) {
        l2_problem_read(c->cache->l2, &p);
        say_problem(c, "degraded", "redis is not connected", &p);
        say_meanwhile(c, false, false);
        return true;
    }
    bool wrong = say_wrong(c);
    bool deaf = !gauge(c->cache, "listening"), slow = gauge(c->cache, "breaker");
    if (deaf) {
        coherence_problem_read(c->cache->coherence, &p);
        say_problem(c, "degraded", "the listener is not connected", &p);
    }
    if (slow)
        control_print(c->reply, "degraded: redis is slow or failing: asked only now and then\n");
    return wrong || deaf || slow;
}

/* What may be over, and what is known of the last time. */
enum { OVER_REDIS, OVER_REFUSAL, OVER_LISTENER, OVERS };
struct over {
    const char *was;
    struct l2_outage o; /* its text is "" if there was none */
};

static void read_overs(struct command *c, struct over ret[OVERS])
{
    ret[OVER_REDIS].was = "redis was away";
    l2_outage_read(c->cache->l2, &ret[OVER_REDIS].o);
    ret[OVER_REFUSAL].was = "redis was connected, but refused requests,";
    l2_refusal_read(c->cache->l2, &ret[OVER_REFUSAL].o);
    ret[OVER_LISTENER].was = "the listener was away";
    coherence_outage_read(c->cache->coherence, &ret[OVER_LISTENER].o);
}

static void say_over(struct command *c, const struct over *over)
{
    control_print(c->reply, "last outage: %s for %s, which ended %s\n", over->was,
                  span_of(over->o.lasted_ms).text, when_of(over->o.ago_ms).text);
}

static void say_outages(struct command *c)
{
    struct over overs[OVERS];
    read_overs(c, overs);
    for (unsigned i = 0; i < OVERS; i++) {
        const struct l2_outage *o = &overs[i].o;
        if (!o->text[0])
            continue;
        say_over(c, &overs[i]);
        control_print(c->reply, "last outage: it began with: %s\n", o->first);
        if (strcmp(o->first, o->text) != 0)
            control_print(c->reply, "last outage: the last reason: %s\n", o->text);
    }
}

#define TOGETHER_MS 1000u /* both connections end one outage within so long */

/* Says, to who has a present outage to read of, when the last one was over: in one line. */
static void say_outage_before(struct command *c)
{
    struct over overs[OVERS];
    const struct over *last = NULL;
    read_overs(c, overs);
    for (unsigned i = 0; i < OVERS; i++)
        if (overs[i].o.text[0] && (!last || overs[i].o.ago_ms + TOGETHER_MS < last->o.ago_ms))
            last = &overs[i];
    if (last)
        say_over(c, last);
}

/* Says when trust was lost last, for how long, why, and what has become of the values. */
static void say_last_doubt(struct command *c, const struct coherence_past *past)
{
    const char *meanwhile = c->cache->doubt_is_miss ? "counted as missing" : "was stale";
    if (!past->doubt.why[0])
        return;
    control_print(c->reply, "last doubt: for %s, which ended %s\n",
                  span_of(past->doubt.lasted_ms).text, when_of(past->doubt.ago_ms).text);
    control_print(c->reply, "last doubt: %s\n", past->doubt.why);
    control_print(c->reply,
                  past->doubt.stale
                      ? "last doubt: what L1 had %s, and had to be loaded again\n"
                      : "last doubt: what L1 had %s; what nobody had changed is fresh again\n",
                  meanwhile);
}

/* Says when all that L1 had turned stale, and why. */
static void say_last_resync(struct command *c, const struct coherence_past *past)
{
    if (past->resync.why)
        control_print(c->reply, "last resync: all that L1 had turned stale %s\nlast resync: %s\n",
                      when_of(past->resync.ago_ms).text, past->resync.why);
}

/* Says what has become of changes that had to wait. */
static void say_delivered(struct command *c, const struct coherence_delivery *d)
{
    const char *them = d->count == 1 ? "change that waited was" : "changes that waited were";
    if (d->count == 0)
        return;
    control_print(c->reply, "delivered: %" PRIu64 " %s told to all nodes %s\n", d->count, them,
                  when_of(d->ago_ms).text);
    if (d->after_ms > 0)
        control_print(c->reply, "delivered: the last %s after the link came back",
                      span_of(d->after_ms).text);
    else
        control_print(c->reply, "delivered: the last after %s", span_of(d->waited_ms).text);
    if (d->folded > 0)
        control_print(c->reply, "; %" PRIu64 " more, for which the queue had no room, as one of "
                                "everything\n", d->folded);
    else
        control_print(c->reply, "; none was dropped\n");
}

/* Says that changes of other nodes came late, and who had held them up. */
static void say_late(struct command *c, const struct coherence_late *l)
{
    if (l->count == 0)
        return;
    control_print(c->reply, "late: %" PRIu64 " %s of other nodes came here late, the last %s\n",
                  l->count, l->count == 1 ? "change" : "changes", when_of(l->ago_ms).text);
    if (l->waited_ms < COHERENCE_WAITED_MOST_MS)
        control_print(c->reply, "late: at most %s after the call; of that up to %s in node %04x's "
                                "queue\n",
                      said_bound(l->heard_ms * NS_PER_MS).text, span_of(l->waited_ms).text,
                      cache_node_name(l->node));
    else
        control_print(c->reply, "late: they had waited for %s or more in node %04x's queue\n",
                      span_of(l->waited_ms).text, cache_node_name(l->node));
}

static uint64_t load(const _Atomic uint64_t *ns)
{
    return atomic_load_explicit(ns, memory_order_relaxed);
}

/* Says when the change came that was the latest; one that was made while the listener was away,
 * most often in an outage, came with a beat, and the beat before had not told of it: no more is
 * known. */
static void say_longest(struct command *c)
{
    const struct trend_lag *lag = &c->cache->lag;
    uint64_t took_ns = load(&lag->longest_ns), most_ns = load(&lag->longest_most_ns);
    uint64_t now_ns = clock_now_ns(&c->cache->clock);
    struct said at = said_clock(between(load(&lag->longest_at_ns), now_ns));
    if (most_ns)
        control_print(c->reply, "lag: the longest was %s at most, at %s: the listener was "
                                "away\n", said_bound(most_ns).text, at.text);
    else
        control_print(c->reply, "lag: the longest was %s at %s\n", said_span(took_ns).text,
                      at.text);
}

/* Says of which time the figures of lag are. */
static void say_hour(struct command *c)
{
    uint64_t now_ns = clock_now_ns(&c->cache->clock), since_ns = load(&c->cache->lag.since_ns);
    uint64_t span_ns = between(since_ns, now_ns);
    if (since_ns == c->cache->opened_ns)
        control_print(c->reply, "in the %s since the opening", said_span(span_ns).text);
    else if (span_ns >= HOUR_FULL_NS)
        control_print(c->reply, "in the last hour");
    else
        control_print(c->reply, "in the last %s", said_span(span_ns).text);
}

/* Says how late changes came here in the last hour, since when none has, and what is owed now. */
static void say_lag(struct command *c)
{
    const struct trend_lag *lag = &c->cache->lag;
    uint64_t heard_ns = load(&lag->heard_ns), now_ns = clock_now_ns(&c->cache->clock);
    uint64_t ago_ms = between(heard_ns, now_ns) / NS_PER_MS;
    int64_t behind_ms = nigh_stats_value(c->cache, NULL, "behind_ms");
    if (load(&lag->longest_ns) > 0)
        control_print(c->reply, "lag: changes came here within %s (median), %s (p99) ",
                      said_span(load(&lag->median_ns)).text, said_span(load(&lag->p99_ns)).text);
    else if (heard_ns)
        control_print(c->reply, "lag: no change came here ");
    if (heard_ns)
        say_hour(c);
    if (heard_ns && ago_ms >= HEARD_LATELY_MS)
        control_print(c->reply, "; nothing was heard for %s", span_of(ago_ms).text);
    if (heard_ns)
        control_print(c->reply, "\n");
    if (load(&lag->longest_ns) > 0)
        say_longest(c);
    if (behind_ms > 0)
        control_print(c->reply, "lag: the listener has owed a change for %s\n",
                      span_of((uint64_t)behind_ms).text);
}

/* Says what a full server does to what is stored, or that it did once. */
static void say_evictions(struct command *c, const struct l2_server *server)
{
    const struct l2_usage *u = &server->usage;
    if (u->evicted == 0)
        return;
    control_print(c->reply, "redis: it has evicted %" PRIu64 " key%s since it was started",
                  u->evicted, plural(u->evicted));
    if (u->quiet_ns >= QUIET_LEAST_NS)
        control_print(c->reply, ", none of them in the last %s", said_span(u->quiet_ns).text);
    control_print(c->reply, " (it uses %" PRIu64 " of %" PRIu64 " bytes)", u->memory_bytes,
                  u->cap_bytes);
    if (u->quiet_ns < QUIET_LEAST_NS)
        control_print(c->reply, server->evicts_all
                                    ? ": the order of changes may be among them, and then all "
                                      "values turn stale: see advice"
                                    : ": values leave it before their time");
    control_print(c->reply, "\n");
}

/* Says what is over. */
static void say_past(struct command *c)
{
    struct coherence_past past;
    say_outages(c);
    coherence_past_read(c->cache->coherence, &past);
    say_last_doubt(c, &past);
    say_last_resync(c, &past);
    say_delivered(c, &past.delivery);
    say_late(c, &past.late);
}

/* Says what should be changed about the server. */
static void say_server(struct command *c)
{
    struct l2_server server;
    l2_server_read(c->cache->l2, &server);
    say_evictions(c, &server);
    for (unsigned i = 0; i < L2_ADVICE; i++)
        if (server.advice[i])
            control_print(c->reply, "advice: redis: %s\n", server.advice[i]);
}

static void say_here(struct command *c)
{
    control_print(c->reply, "here: ");
    command_version(c);
}

/* While redis is away nobody looks for more hits: what could be better is left out then. */
void command_health(struct command *c)
{
    int health = nigh_health(c->cache);
    bool alone = !c->cache->l2;
    bool away = !alone && (health != NIGH_FRESH || !gauge(c->cache, "connected"));
    if (alone)
        control_print(c->reply, "ok: L1 alone, without redis.uri\n");
    else if (health != NIGH_FRESH)
        say_in_doubt(c, health);
    else if (!say_degraded(c))
        control_print(c->reply, "ok\n");
    if (!away) {
        health_say_room(c);
        health_say_misses(c);
        if (!alone)
            health_say_cheaper(c);
    }
    if (!alone) {
        say_queued(c);
        if (away || !gauge(c->cache, "listening"))
            say_outage_before(c);
        else
            say_past(c);
        if (!away) {
            say_lag(c);
            health_say_requests(c);
        }
        say_server(c);
    }
    say_here(c);
}
