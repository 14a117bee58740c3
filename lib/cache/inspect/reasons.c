// SPDX-License-Identifier: MIT
/*
 * Choosing the reason: what is in L1 comes first, then what is being done, then what became of it.
 */
#include "cache/inspect/reasons.h"

#include <inttypes.h>
#include <string.h>

#include <nigh/nigh.h>

#include "cache/space_l1.h"

struct row {
    const char *name;
    const char *sentence;
};

static const struct row reasons[] = {
#define X(name, for_programs, sentence) [REASON_##name] = {for_programs, sentence},
    REASONS(X)
#undef X
};
static const struct row wheres[] = {
#define X(name, for_programs, sentence) [WHERE_##name] = {for_programs, sentence},
    WHERES(X)
#undef X
};

const char *reason_name(enum reason reason)
{
    return reasons[reason].name;
}

const char *where_name(enum where where)
{
    return wheres[where].name;
}

/* ---- choosing ---- */

/* Returns the floor that outdates the value in L1; NULL: none. A hard one comes first. */
static const struct explain_floor *outdating(const struct explanation *x)
{
    const struct explain_floor *found = NULL;
    for (uint32_t i = 0; i < x->floor_count; i++) {
        const struct explain_floor *f = &x->floors[i];
        if (f->covers && (!found || (f->covers_hard && !found->covers_hard)))
            found = f;
    }
    return found;
}

/* Returns the last invalidation that is remembered of what is over the value in Redis. It need not
 * be what outdated the value: one that is forgotten may be, or another clock, while this one may be
 * older than the value, which has a position of Redis' and none of this node's. NULL: none. */
const struct explain_floor *reason_last_raised(const struct explanation *x)
{
    const struct explain_floor *last = NULL;
    for (uint32_t i = 0; i < x->floor_count; i++) {
        const struct explain_floor *f = &x->floors[i];
        if (f->is_known && (!last || f->bump.floor > last->bump.floor))
            last = f;
    }
    return last;
}

/* Whether the value is stale because the clock of Redis is another: that raises the floor of all,
 * and no invalidation has. (One that is no longer remembered looks the same.) */
static bool by_clock(const struct explanation *x)
{
    const struct explain_floor *f = x->space->cache->l2 ? outdating(x) : NULL;
    return f && f->of == FLOOR_ALL && !f->covers_hard && !f->is_known;
}

static enum reason reason_present(const struct explanation *x)
{
    const struct explain_value *v = &x->l1;
    if (v->floors == L1_BELOW_HARD)
        return REASON_GONE_FLOOR;
    if (v->lifetime == LIFETIME_OVER)
        return REASON_OVER;
    if (v->trust == TRUST_MISS)
        return REASON_DOUBT_MISS;
    if (v->floors == L1_BELOW_SOFT && by_clock(x))
        return v->absent ? REASON_ABSENT_CLOCK : REASON_STALE_CLOCK;
    if (v->floors == L1_BELOW_SOFT)
        return v->absent ? REASON_ABSENT_FLOOR : REASON_STALE_FLOOR;
    if (v->lifetime == LIFETIME_STALE)
        return REASON_STALE;
    if (v->absent)
        return v->verdict == VERDICT_GONE ? REASON_DOUBT_ABSENT : REASON_ABSENT;
    if (v->trust == TRUST_DOUBT)
        return REASON_DOUBT;
    return v->trust == TRUST_HELD ? REASON_FRESH : REASON_LEARNT;
}

static enum reason reason_fated(const struct l1_fated *f)
{
    static const enum reason by_fate[L1_FATE_COUNT] = {
        [L1_FATE_NONE] = REASON_NO_TRACE,
        [L1_FATE_EVICTED] = REASON_EVICTED,
        [L1_FATE_SHED] = REASON_SHED,
        [L1_FATE_REFUSED_POLICY] = REASON_REFUSED_POLICY,
        [L1_FATE_REFUSED_FULL] = REASON_REFUSED_FULL,
        [L1_FATE_EXPIRED] = REASON_EXPIRED,
        [L1_FATE_CHANGED] = REASON_CHANGED,
        [L1_FATE_REFUSED_FLOOR] = REASON_REFUSED_FLOOR,
        [L1_FATE_REFUSED_LARGE] = REASON_REFUSED_LARGE,
        [L1_FATE_OVERSIZE] = REASON_OVERSIZE,
        [L1_FATE_MOVED] = REASON_MOVED,
        [L1_FATE_FAILED] = REASON_FAILED_BEFORE,
        [L1_FATE_PUT_REFUSED] = REASON_PUT_REFUSED,
    };
    static const enum reason by_fate_of_absent[L1_FATE_COUNT] = {
        [L1_FATE_NONE] = REASON_NO_TRACE,
        [L1_FATE_EVICTED] = REASON_ABSENT_EVICTED,
        [L1_FATE_SHED] = REASON_ABSENT_EVICTED,
        [L1_FATE_REFUSED_POLICY] = REASON_ABSENT_REFUSED,
        [L1_FATE_REFUSED_FULL] = REASON_ABSENT_REFUSED,
        [L1_FATE_EXPIRED] = REASON_ABSENT_EXPIRED,
        [L1_FATE_MOVED] = REASON_MOVED,
        [L1_FATE_REFUSED_FLOOR] = REASON_REFUSED_FLOOR,
        [L1_FATE_REFUSED_LARGE] = REASON_REFUSED_LARGE,
    };
    return f->absent ? by_fate_of_absent[f->fate] : by_fate[f->fate];
}

static enum reason reason_missing(const struct explanation *x)
{
    if (x->flies)
        return REASON_LOADING;
    return x->failed_ns ? REASON_FAILED : reason_fated(&x->fate);
}

enum reason reason_of(const struct explanation *x)
{
    return x->l1.present ? reason_present(x) : reason_missing(x);
}

const struct explain_floor *reason_floor(const struct explanation *x)
{
    enum reason reason = reason_of(x);
    bool is = reason == REASON_GONE_FLOOR || reason == REASON_STALE_FLOOR ||
              reason == REASON_ABSENT_FLOOR;
    return is ? outdating(x) : NULL;
}

/* Whether the reason is what became of the key, and more may have become of it since. */
static bool is_perhaps_older(const struct explanation *x)
{
    return !x->l1.present && !x->flies && !x->failed_ns && x->fate.forgotten;
}

static enum where where_value(const struct explanation *x)
{
    const struct explain_value *v = &x->l2;
    if (v->verdict == VERDICT_FRESH)
        return v->absent ? WHERE_REDIS_ABSENT : WHERE_REDIS_FRESH;
    if (v->floors == L1_BELOW_HARD || (v->verdict == VERDICT_GONE && v->floors != L1_CURRENT))
        return WHERE_REDIS_GONE;
    if (v->lifetime == LIFETIME_KEPT)
        return WHERE_REDIS_KEPT;
    if (v->floors == L1_BELOW_SOFT)
        return WHERE_REDIS_OUTDATED;
    return v->lifetime == LIFETIME_STALE ? WHERE_REDIS_STALE : WHERE_REDIS_DOUBT;
}

static enum where where_looked(const struct explanation *x)
{
    switch (x->l2_bad) {
    case EXPLAIN_FOREIGN: return WHERE_REDIS_FOREIGN;
    case EXPLAIN_FORMAT: return WHERE_REDIS_FORMAT;
    case EXPLAIN_DAMAGED: return WHERE_REDIS_BAD;
    case EXPLAIN_PACKED: return WHERE_REDIS_PACKED;
    case EXPLAIN_GOOD: break;
    }
    if (x->l2.present)
        return where_value(x);
    return x->lease_ms ? WHERE_REDIS_LEASED : WHERE_REDIS_NONE;
}

enum where where_of(const struct explanation *x)
{
    switch (x->l2_state) {
    case EXPLAIN_L2_OFF: return WHERE_REDIS_OFF;
    case EXPLAIN_L2_COVERED: return WHERE_REDIS_COVERED;
    case EXPLAIN_L2_AWAY: return WHERE_REDIS_AWAY;
    case EXPLAIN_L2_BREAKER: return WHERE_REDIS_BREAKER;
    case EXPLAIN_L2_ERROR:
        return x->l2_error == NIGH_ENOMEM ? WHERE_REDIS_NO_MEMORY : WHERE_REDIS_ERROR;
    case EXPLAIN_L2_LOOKED: return where_looked(x);
    case EXPLAIN_L2_NONE: break;
    }
    return WHERE_NOWHERE;
}

/* ---- saying ---- */

#define WINDOW_FULL_NS (59 * NS_PER_S + NS_PER_S / 2) /* rounds to a minute */

const char *minute_since(const struct trend *t)
{
    static const char *const since[] = {
        [TREND_SINCE_OPENED] = "since the opening",
        [TREND_SINCE_CAP] = "since a cap was set",
        [TREND_SINCE_SMALLER_CAP] = "since a smaller cap was set"};
    bool full = trend_span_ns(t, TREND_MINUTE) >= WINDOW_FULL_NS;
    return full ? NULL : since[atomic_load_explicit(&t->since, memory_order_relaxed)];
}

void say_minute(struct text *w, const struct trend *t)
{
    const char *since = minute_since(t);
    if (!since) {
        text_add(w, "in the last minute");
        return;
    }
    text_add(w, "in the ");
    say_span(w, trend_span_ns(t, TREND_MINUTE));
    text_add(w, " %s", since);
}

static void say_either_way(struct text *w, int64_t ns)
{
    say_span(w, (uint64_t)(ns < 0 ? -ns : ns));
}

const char *say_state(const struct flight_seen *flight)
{
    switch (flight->state) {
    case FLIGHT_GET: return "asks Redis for it";
    case FLIGHT_LEASE: return "asks Redis for the right to load it";
    case FLIGHT_WAIT: return "waits for the load of another process";
    case FLIGHT_LOAD: return flight->loading ? "runs its loader" : "waits for its loader";
    case FLIGHT_FILL: return "hands the loaded value to Redis";
    case FLIGHT_LAND: break;
    }
    return "hands the result out";
}

void say_doubt(struct text *w, const struct explanation *x)
{
    if (x->coherence.slots_there)
        text_add(w, "coherence.group_slots is not the one in Redis (%u)", x->coherence.slots_there);
    else if (x->coherence.old_nodes_move)
        text_add(w, "nodes of an older nigh change values");
    else if (x->link.connected && (x->problem.refused & L2_BEATS))
        text_add(w, "Redis refuses requests (%s)", x->problem.text);
    else if (x->link.connected)
        text_add(w, "Redis has not answered a beat");
    else
        text_add(w, "Redis is not connected (%s)",
                 x->problem.text[0] ? x->problem.text : "it has not answered yet");
}

/* Says when an event was: both times from one look at the clocks. */
static void say_event(struct text *w, const struct explanation *x, uint64_t ago_ns)
{
    say_ago(w, ago_ns);
    text_add(w, ", ");
    say_clock_at(w, x->wall_ns, ago_ns);
}

#define LATE_NS (NS_PER_S / 2) /* times of events are coarse */

static bool is_about(uint64_t ago_ns, uint64_t other_ns)
{
    return ago_ns + LATE_NS > other_ns && ago_ns < other_ns + LATE_NS;
}

/* Whether a change may be one of those that had waited at their nodes. */
static bool may_have_waited(const struct explanation *x, uint64_t ago_ns)
{
    const struct coherence_late *l = &x->late;
    return l->count > 0 && ago_ns + LATE_NS > l->ago_ms * NS_PER_MS &&
           ago_ns < l->since_ms * NS_PER_MS + LATE_NS;
}

/* Says how long after its call a change was heard of here, at most, where something may have kept
 * it: this node had heard nothing since the last beat before it lost trust, or the node that made
 * it could not tell Redis, or both. */
static void say_late(struct text *w, const struct explanation *x, uint16_t name, uint64_t ago_ns)
{
    const struct coherence_late *l = &x->late;
    bool doubt = x->doubt_ago_ns && is_about(ago_ns, x->doubt_ago_ns);
    bool waited = may_have_waited(x, ago_ns);
    bool queue = waited && name == cache_node_name(l->node);
    if (!doubt && !queue)
        return;
    text_add(w, doubt ? " (as trust came back: " : " (");
    if (waited && l->waited_ms >= COHERENCE_WAITED_MOST_MS) {
        text_add(w, "it may have waited there for ");
        say_span(w, l->waited_ms * NS_PER_MS);
        text_add(w, " or more)");
        return;
    }
    text_add(w, "at most ");
    say_bound(w, u64_max(doubt ? x->heard_ns : 0, waited ? l->heard_ms * NS_PER_MS : 0));
    text_add(w, " after the call");
    if (queue) {
        text_add(w, "; of that up to ");
        say_span(w, l->waited_ms * NS_PER_MS);
        text_add(w, " in that node's queue");
    }
    text_add(w, ")");
}

/* Says who a node is: "this process", or "node 17c2". */
static void say_node(struct text *w, uint16_t name)
{
    if (name)
        text_add(w, "node %04x", name);
    else
        text_add(w, "this process");
}

/* Says by whom a change was made, and when: of another node's it is known when it was heard of. */
static void say_maker(struct text *w, const struct explanation *x, uint16_t name, uint64_t ago_ns)
{
    say_node(w, name);
    text_add(w, name ? ", heard of " : " ");
    say_event(w, x, ago_ns);
    if (name)
        say_late(w, x, name, ago_ns);
}

void say_flight_end(struct text *w, const struct explanation *x)
{
    text_add(w, x->flight_ns < 0 ? "should have ended " : "gives up in ");
    say_either_way(w, x->flight_ns);
    text_add(w, x->flight_ns < 0 ? " ago: is its loader stuck?" : "");
}

/* Says what was invalidated, and whether it is the key's: tags share slots, and so do spaces. */
static void say_group(struct text *w, const struct explain_floor *f)
{
    static const char *const whose[] = {
        [OWN_YES] = "",
        [OWN_NO] = " (not its own, but of the same slot)",
        [OWN_UNKNOWN] = " (its own, or one of the same slot)",
    };
    text_add(w, "%s \"", f->of == FLOOR_TAG ? "tag" : "space");
    text_add_name(w, bytes_of(f->bump.name, f->bump.name_len));
    text_add(w, "\"%s", whose[f->own]);
}

static void say_floor(struct text *w, const struct explain_floor *f)
{
    if (f->of == FLOOR_ALL)
        text_add(w, "everything");
    else if (f->is_known && (f->of == FLOOR_TAG || f->own == OWN_NO))
        say_group(w, f);
    else if (f->of == FLOOR_TAG)
        text_add(w, "a tag of slot %u (its own, or another)", f->slot);
    else
        text_add(w, "the space");
}

static void say_waiters(struct text *w, const struct flight_seen *flight)
{
    uint32_t callers = flight->waiters + flight->watches;
    if (callers == 0)
        text_add(w, "nobody who waits");
    else
        text_add(w, "%u caller%s", callers, plural(callers));
}

void say_trust(struct text *w, const struct explanation *x)
{
    if (x->never_trusted) {
        text_add(w, "has not been won since the start");
        return;
    }
    text_add(w, "was lost ");
    say_either_way(w, x->trust_ns);
    text_add(w, " ago");
}

static void say_failures(struct text *w, const struct explanation *x)
{
    text_add(w, "%u time%s in a row", x->failures, plural(x->failures));
}

static void say_outdating(struct text *w, const struct explanation *x)
{
    const struct explain_floor *f = outdating(x);
    if (f)
        say_floor(w, f);
    else
        text_add(w, "one of its tags"); /* raised since they were looked at */
}

static void say_raiser(struct text *w, const struct explanation *x, const struct explain_floor *f)
{
    if (!f || !f->is_known) {
        text_add(w, " at a time that is forgotten");
        return;
    }
    text_add(w, " by ");
    say_maker(w, x, cache_node_name(f->bump.node), f->ago_ns);
}

void say_raised(struct text *w, const struct explanation *x, const struct explain_floor *f)
{
    bool soft = f->is_known ? f->bump.soft : f->covers && !f->covers_hard;
    say_floor(w, f);
    text_add(w, " was invalidated%s", soft ? " softly" : "");
    say_raiser(w, x, f);
}

/* Says what is remembered last of what may have outdated what Redis has: the key's own change, or
 * a group's, unless it is the reason already. No more is known of it. */
static void say_redis_floor(struct text *w, const struct explanation *x)
{
    const struct explain_floor *f = reason_last_raised(x);
    bool of_key = x->fate.fate == L1_FATE_CHANGED && (!f || x->fate.ago_ns < f->ago_ns);
    if ((!of_key && !f) || (!of_key && f == reason_floor(x)) || (of_key && !x->l1.present))
        return;
    text_add(w, " (remembered last: ");
    if (of_key) {
        text_add(w, "the key was invalidated, put or written by ");
        say_maker(w, x, x->fate.who, x->fate.ago_ns);
    } else {
        say_raised(w, x, f);
    }
    text_add(w, ")");
}

static void say_reach(struct text *w, const char *of, uint64_t reach_ns)
{
    text_add(w, "%s (", of);
    if (reach_ns == UINT64_MAX) {
        text_add(w, "since the opening)");
        return;
    }
    text_add(w, reach_ns < NS_PER_S ? "at most the last " : "the last ");
    say_span(w, u64_max(reach_ns, NS_PER_S)); /* the times of causes are as coarse */
    text_add(w, ")");
}

/* Says whether it is known that nothing ever became of the key, or else how far back that would be
 * known: each of the three is remembered so far back as others have not taken its place. */
static void say_untraced(struct text *w, const struct l1_fated *f)
{
    if (u64_min(f->reach_ns, u64_min(f->no_value_reach_ns, f->rare_reach_ns)) == UINT64_MAX) {
        text_add(w, "it was never here since the opening");
        return;
    }
    say_reach(w, "it was never here, or not within what is remembered of values", f->reach_ns);
    say_reach(w, ", of \"does not exist\" and failed loads", f->no_value_reach_ns);
    say_reach(w, ", and of changes", f->rare_reach_ns);
}

/* Returns how much longer than until it was evicted a value would have stayed, at most: by what
 * Redis has of it, if that is as old, or else by the times of its space. Negative: it would have
 * expired before now. `*ret_sure`: exactly so long. */
static int64_t left_of_evicted(const struct explanation *x, bool *ret_sure)
{
    const struct rules *r = &x->space->rules;
    int64_t lives_ns = ((int64_t)r->soft_ttl_ms + r->stale_ms) * (int64_t)NS_PER_MS;
    *ret_sure = x->l2.present && x->l2.has_times && x->l2.age_ns > (int64_t)x->fate.ago_ns;
    return *ret_sure ? x->l2.stale_ns : lives_ns - (int64_t)x->fate.ago_ns;
}

/* Says whether more room would have kept it, as far as its life goes. */
static void say_more(struct text *w, const struct explanation *x)
{
    bool sure;
    int64_t left_ns = left_of_evicted(x, &sure);
    if (left_ns < 0)
        text_add(w, "; by now it would have expired anyway (space.soft_ttl, space.stale)");
    else if (sure)
        text_add(w, ": with more %s it would be there still", x->room.cap);
    else
        text_add(w, ": with more %s it might be there still, if it was loaded shortly before",
                 x->room.cap);
}

/* Says how long "does not exist" would have had to be kept to be there still. */
static void say_longer(struct text *w, const struct explanation *x)
{
    uint64_t ttl_ns = x->space->rules.absent_ttl_ms * NS_PER_MS;
    if (ttl_ns == 0)
        return;
    text_add(w, ", and would be there still if kept for ");
    say_span(w, ttl_ns + u64_max(x->fate.ago_ns, NS_PER_S));
}

void say_absent_ttl(struct text *w, const struct nigh_space *space)
{
    if (space->rules.absent_ttl_ms == 0) {
        text_add(w, "is not kept (space.absent_ttl is none)");
        return;
    }
    text_add(w, "is kept for ");
    say_span(w, space->rules.absent_ttl_ms * NS_PER_MS);
    text_add(w, " (space.absent_ttl)");
}

/* Says of which cap a value may have an eighth. */
static void say_eighth_of(struct text *w, const struct explanation *x)
{
    struct l1 *apart = space_l1_apart(x->space);
    bool own = apart && l1_memory(apart) < l1_memory(x->space->cache->l1);
    text_add(w, own ? "space.memory" : "l1.memory");
}

static void say_problem(struct text *w, const struct explanation *x)
{
    text_add(w, "%s", x->problem.text[0] ? x->problem.text : "it has not answered yet");
}

static void say_foreign(struct text *w, const struct explanation *x)
{
    if (x->l2_bad_len > 0)
        text_add(w, "%zu B", x->l2_bad_len);
    else
        text_add(w, "empty, or of another type than a string");
}

#define SAYS(name, statement)                                                                      \
    static void name(struct text *w, const struct explanation *x)                                  \
    {                                                                                              \
        statement;                                                                                 \
    }
SAYS(say_fresh, say_either_way(w, x->l1.fresh_ns))
SAYS(say_stale, say_either_way(w, x->l1.stale_ns))
SAYS(say_redis_fresh, say_either_way(w, x->l2.fresh_ns))
SAYS(say_fate_ago, say_event(w, x, x->fate.ago_ns))
SAYS(say_changer, say_maker(w, x, x->fate.who, x->fate.ago_ns))
SAYS(say_raised_by, say_raiser(w, x, outdating(x)))
SAYS(say_kept, say_absent_ttl(w, x->space))
SAYS(say_traces, say_untraced(w, &x->fate))
SAYS(say_flight_state, text_add(w, "%s", say_state(&x->flight)))
SAYS(say_flight_waiters, say_waiters(w, &x->flight))
SAYS(say_flight_left, say_flight_end(w, x))
SAYS(say_spared, say_span(w, x->failed_ns))
SAYS(say_error, text_add(w, "%d", x->load_error))
SAYS(say_lease, say_span(w, x->lease_ms * NS_PER_MS))
SAYS(say_holder, text_add(w, x->lease_is_ours ? "this process" : "another process"))
SAYS(say_redis_error, text_add(w, "%s", nigh_strerror(x->l2_error)))
SAYS(say_limit, text_add(w, "%u B", x->space->rules.value_max))
#undef SAYS

/* Lists what the names in braces stand for. */
static const struct {
    const char *name;
    void (*say)(struct text *w, const struct explanation *x);
} names[] = {
    {"fresh", say_fresh},
    {"stale", say_stale},
    {"redis fresh", say_redis_fresh},
    {"ago", say_fate_ago},
    {"changer", say_changer},
    {"more", say_more},
    {"absent ttl", say_kept},
    {"longer", say_longer},
    {"traces", say_traces},
    {"floor", say_outdating},
    {"raised", say_raised_by},
    {"trust", say_trust},
    {"doubt", say_doubt},
    {"state", say_flight_state},
    {"waiters", say_flight_waiters},
    {"flight", say_flight_left},
    {"spared", say_spared},
    {"error", say_error},
    {"failures", say_failures},
    {"lease", say_lease},
    {"eighth of", say_eighth_of},
    {"holder", say_holder},
    {"problem", say_problem},
    {"redis error", say_redis_error},
    {"foreign", say_foreign},
    {"redis floor", say_redis_floor},
    {"limit", say_limit},
};

static void say(struct text *w, const struct explanation *x, const char *name, size_t len)
{
    for (size_t i = 0; i < ARRAY_COUNT(names); i++)
        if (strlen(names[i].name) == len && memcmp(names[i].name, name, len) == 0)
            names[i].say(w, x);
}

static void say_row(struct text *w, const struct explanation *x, const char *sentence)
{
    for (const char *at = sentence; *at;) {
        const char *end = *at == '{' ? strchr(at, '}') : NULL;
        if (end) {
            say(w, x, at + 1, (size_t)(end - at - 1));
            at = end + 1;
        } else {
            size_t len = strcspn(at, "{");
            text_add(w, "%.*s", (int)len, at);
            at += len;
        }
    }
}

void reason_say_fate(struct text *w, const struct explanation *x)
{
    say_row(w, x, reasons[reason_fated(&x->fate)].sentence);
}

void reason_say(struct text *w, const struct explanation *x)
{
    enum where where = where_of(x);
    char *first = w->at;
    bool has_first = w->room > 1;
    say_row(w, x, reasons[reason_of(x)].sentence);
    if (is_perhaps_older(x))
        text_add(w, "; it may have been evicted since");
    if (x->l1.outcome == NIGH_MISS && where != WHERE_NOWHERE) {
        text_add(w, "; ");
        say_row(w, x, wheres[where].sentence);
    }
    text_add(w, ".");
    if (has_first && *first >= 'a' && *first <= 'z')
        *first = (char)(*first - 'a' + 'A');
}
