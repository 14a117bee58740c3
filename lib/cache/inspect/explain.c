// SPDX-License-Identifier: MIT
/*
 * An explanation as text, for people who were woken up: what matters first, in plain words, a line
 * for each fact, and nothing of what there is nothing to say of. Lines are as long as they are: how
 * wide a terminal is knows the program that shows them. Numbers that only compare with each other
 * (stamps, floors, positions) are in the JSON alone.
 */
#include "cache/inspect/explain.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <nigh/inspect.h>

#include "cache/inspect/reasons.h"

#define LABEL_COLUMNS 10
#define LINE_MAX_BYTES 2048 /* the longest is a key, escaped fourfold */
#define SAME_NS NS_PER_S    /* lifetimes in L1 and in Redis differ by less, of the same load */
#define MISSES_MANY 100u    /* fewer say nothing */
#define AGE_LEAST 160u      /* evicted in a minute, one in 16 of which is looked at: the same */

/* ---- lines of text ---- */

/* A line while it is made. */
struct line {
    struct text text;
    char buffer[LINE_MAX_BYTES + 4 * NIGH_KEY_MAX];
};

static struct text *begin(struct line *l)
{
    l->buffer[0] = 0;
    l->text = text_into(l->buffer, sizeof(l->buffer));
    return &l->text;
}

/* Adds a line, unless there is nothing in it. */
static void end(struct text *w, const char *label, const struct line *l)
{
    if (l->buffer[0])
        text_add(w, "%-*s %s\n", LABEL_COLUMNS, label, l->buffer);
}

/* ---- what a read gives ---- */

static void add_outcome(struct text *t, int outcome)
{
    static const char *const words[] = {
        [NIGH_FRESH] = "the value, fresh",
        [NIGH_STALE] = "the value, stale",
        [NIGH_ABSENT] = "the answer \"does not exist\"",
        [NIGH_MISS] = "nothing",
    };
    if (outcome < 0)
        text_add(t, "fails: %s (%s)", nigh_strerror(outcome), nigh_result_name(outcome));
    else
        text_add(t, "gives %s (%s)", words[outcome], nigh_result_name(outcome));
}

/* Says what nigh_get() gives, and what nigh_fetch() does besides. */
static void text_read(struct text *w, const struct explanation *x)
{
    struct line l;
    struct text *t = begin(&l);
    bool differs = x->fetch != NIGH_PENDING && x->fetch != x->get;
    add_outcome(t, x->get);
    if (differs || *x->fetch_does)
        text_add(t, "; one that may load ");
    if (differs)
        add_outcome(t, x->fetch);
    text_add(t, "%s%s", differs && *x->fetch_does ? ", and " : "", x->fetch_does);
    end(w, "read now", &l);
}

/* ---- values ---- */

static void add_span(struct text *t, const char *before, int64_t ns, const char *behind)
{
    text_add(t, "%s", before);
    say_span(t, (uint64_t)(ns < 0 ? -ns : ns));
    text_add(t, "%s", behind);
}

static void add_lifetime(struct text *t, const struct explain_value *v)
{
    if (v->fresh_ns >= 0)
        add_span(t, "fresh for ", v->fresh_ns, " more");
    else if (v->stale_ns >= 0)
        add_span(t, "stale since ", v->fresh_ns, "");
    else
        add_span(t, "over since ", v->stale_ns, "");
    if (v->fresh_ns >= 0 && v->stale_ns > v->fresh_ns)
        add_span(t, ", then stale for ", v->stale_ns - v->fresh_ns, "");
    else if (v->fresh_ns < 0 && v->stale_ns >= 0)
        add_span(t, ", for ", v->stale_ns, " more");
}

/* Says how old a value is, and how long it lives. `is_judged`: something else than that has decided
 * what it is good for. */
static void add_times(struct text *t, const struct explain_value *v, uint64_t cost_us,
                      bool is_judged)
{
    add_span(t, ", loaded ", v->age_ns < 0 ? 0 : v->age_ns, " ago");
    if (cost_us >= 1000)
        add_span(t, " in ", (int64_t)cost_us * 1000, "");
    text_add(t, "; %s", is_judged ? "by its age " : "");
    add_lifetime(t, v);
}

static void add_kept(struct text *t, const struct explain_value *v)
{
    if (v->hard_ms)
        add_span(t, ", kept for ", (int64_t)(v->hard_ms * NS_PER_MS), " more");
}

static void text_value(struct text *w, const char *label, const struct explain_value *v,
                       uint64_t cost_us)
{
    struct line l;
    struct text *t = begin(&l);
    bool unused = v->outcome == NIGH_MISS;
    bool demoted = v->outcome == NIGH_STALE && v->lifetime == LIFETIME_FRESH;
    if (v->absent)
        text_add(t, "\"does not exist\"");
    else
        text_add(t, "%" PRIu64 " B", v->len);
    if (v->packed_len)
        text_add(t, " (%s, %" PRIu64 " B there)", codec_name(v->codec), v->packed_len);
    text_add(t, "%s", unused ? ", not used" : demoted ? ", counts as stale" : "");
    if (v->version)
        text_add(t, ", version %" PRIu64, v->version);
    if (v->tag_count)
        text_add(t, ", %u tag%s", v->tag_count, plural(v->tag_count));
    if (v->has_times)
        add_times(t, v, cost_us, unused || demoted);
    add_kept(t, v);
    end(w, label, &l);
}

/* Whether Redis has what L1 has, and both think the same of it. */
static bool is_same(const struct explain_value *a, const struct explain_value *b)
{
    return a->present && a->outcome == b->outcome && a->absent == b->absent && a->len == b->len &&
           a->version == b->version && b->packed_len == 0 && b->has_times &&
           llabs(a->fresh_ns - b->fresh_ns) < (int64_t)SAME_NS;
}

static void text_redis(struct text *w, const struct explanation *x)
{
    struct line l;
    if (!x->l2.present)
        return;
    if (!is_same(&x->l1, &x->l2)) {
        text_value(w, "Redis", &x->l2, x->cost_us);
        return;
    }
    struct text *t = begin(&l);
    text_add(t, "the same");
    add_kept(t, &x->l2);
    end(w, "Redis", &l);
}

/* ---- what became of it ---- */

/* Says what became of a key that is not there, if the reason is another one. */
static void text_last(struct text *w, const struct explanation *x)
{
    struct line l;
    struct text *t = begin(&l);
    if (x->l1.present || !(x->flies || x->failed_ns))
        return;
    reason_say_fate(t, x);
    end(w, "last", &l);
}

/* Says what else the space misses: a key without a trace is as most of that, more likely than
 * not. */
static void text_misses(struct text *w, const struct explanation *x)
{
    const struct trend *trend = &x->space->trend;
    struct line l;
    struct text *t = begin(&l);
    uint64_t misses = trend_lately(trend, TREND_L1_MISS), sum = 0;
    uint64_t absent = u64_min(trend_lately(trend, TREND_MISS_ABSENT), misses);
    for (unsigned i = TREND_MISS_OF; i < TREND_COUNTS; i++)
        sum += trend_lately(trend, (enum trend_count)i);
    if (x->l1.present || x->fate.fate != L1_FATE_NONE || misses < MISSES_MANY || sum == 0)
        return;
    text_add(t, "of all that the space missed ");
    say_minute(t, trend);
    text_add(t, ", %" PRIu64 " %% was for keys that do not exist, and of %" PRIu64 " %% L1 had no "
                "trace", 100 * absent / misses, 100 * trend_lately(trend, TREND_MISS_OF) / sum);
    end(w, "misses", &l);
}

/* ---- loads ---- */

static void text_lease(struct text *w, const struct explanation *x)
{
    struct line l;
    struct text *t = begin(&l);
    if (!x->lease_ms)
        return;
    text_add(t, "%s process may load it for ", x->lease_is_ours ? "this" : "another");
    say_span(t, x->lease_ms * NS_PER_MS);
    text_add(t, " more%s (token %016" PRIx64 ")", x->awaited ? ", and others wait for it" : "",
             x->lease_token);
    end(w, "lease", &l);
}

static void text_flight(struct text *w, const struct explanation *x)
{
    struct line l;
    struct text *t = begin(&l);
    if (!x->flies || !x->l1.present) /* else the reason says it */
        return;
    text_add(t, "this process %s; %u wait, %u call%s pending on it, it ", say_state(&x->flight),
             x->flight.waiters, x->flight.watches, x->flight.watches == 1 ? " is" : "s are");
    say_flight_end(t, x);
    end(w, "flight", &l);
}

/* ---- what is over it ---- */

/* Says what outdates the value beside what is the reason, a line each. */
static void text_outdating(struct text *w, const struct explanation *x)
{
    const struct explain_floor *reason = reason_floor(x);
    const char *label = "outdated";
    for (uint32_t i = 0; i < x->floor_count; i++) {
        const struct explain_floor *f = &x->floors[i];
        struct line l;
        if (!f->covers || f == reason)
            continue;
        struct text *t = begin(&l);
        say_raised(t, x, f);
        text_add(t, reason ? ", too" : ", after the value was loaded");
        end(w, label, &l);
        label = "";
    }
}

/* Says what was invalidated last of a key's tags, its space and all, if that is remembered and does
 * not outdate the value. */
static void text_groups(struct text *w, const struct explanation *x)
{
    const struct explain_floor *last = reason_last_raised(x);
    struct line l;
    struct text *t = begin(&l);
    if (!last || last->covers)
        return;
    say_raised(t, x, last);
    text_add(t, x->l1.present ? ", before the value was loaded" : "");
    end(w, "groups", &l);
}

static void text_trust(struct text *w, const struct explanation *x)
{
    struct line l;
    struct text *t = begin(&l);
    if (!x->space->cache->l2)
        return;
    if (x->trusted) {
        text_add(t, "held for ");
        say_span(t, (uint64_t)x->trust_ns);
        text_add(t, " more");
    } else {
        say_trust(t, x);
        text_add(t, ": ");
        say_doubt(t, x);
    }
    end(w, "trust", &l);
}

static void text_note(struct text *w, const char *words)
{
    struct line l;
    text_add(begin(&l), "%s", words);
    end(w, "note", &l);
}

/* Says, of a key that is not there, whether there is room, and what became of others for want of
 * it. */
static void text_room(struct text *w, const struct explanation *x)
{
    struct line l;
    struct text *t = begin(&l);
    if (x->l1.present || x->evicted + x->refused + x->shed == 0)
        return;
    text_add(t, "L1 %s (", x->room.is_full ? "is full" : "has room now");
    room_say(t, &x->room);
    text_add(t, "): of this space it has evicted %" PRIu64 " and found no room for %" PRIu64 " ",
             x->evicted_1m, x->refused_1m);
    say_minute(t, &x->space->trend);
    text_add(t, " (%" PRIu64 " and %" PRIu64 " in all", x->evicted, x->refused);
    if (x->shed)
        text_add(t, ", and %" PRIu64 " to give memory back", x->shed);
    text_add(t, ")");
    if (!x->room_is_wanted && x->room_wanted_ago_ns != UINT64_MAX) {
        text_add(t, ", the last one ");
        say_ago(t, x->room_wanted_ago_ns);
    }
    if (x->evicted_age_ns && x->evicted_1m >= AGE_LEAST) {
        text_add(t, "; a tenth of the evicted had been there for less than ");
        say_span(t, x->evicted_age_ns);
    }
    end(w, "room", &l);
}

static void text_notes(struct text *w, const struct explanation *x)
{
    struct line l;
    if (x->crowded)
        text_note(w, "Redis takes no values of this schema: too many schemas of the space are in "
                     "use (space.schema)");
    if (x->coherence.slots_there) {
        text_add(begin(&l), "coherence.group_slots is %u here but %u in Redis: nothing is fresh",
                 x->space->cache->group_slots, x->coherence.slots_there);
        end(w, "note", &l);
    }
    if (x->coherence.queued) {
        text_add(begin(&l), "%u change%s of this process wait%s for Redis", x->coherence.queued,
                 plural(x->coherence.queued), x->coherence.queued == 1 ? "s" : "");
        end(w, "note", &l);
    }
    if (x->space->rules.invalidations_only)
        text_note(w, "values of this space stay out of Redis (space.l2 is invalidations)");
    if (x->l2_state == EXPLAIN_L2_BREAKER)
        text_note(w, "Redis was not asked for this: the breaker is not closed");
    if (x->closing)
        text_note(w, "the cache is closing: no load begins any more");
}

static void text_whole(struct text *w, const struct explanation *x)
{
    struct line l;
    struct text *t = begin(&l);
    reason_say(t, x);
    end(w, "why", &l);
    t = begin(&l);
    text_add(t, "\"");
    text_add_name(t, bytes_of(x->key.data, x->key.len));
    text_add(t, "\" of space ");
    text_add_name(t, bytes_of(x->space->name, x->space->name_len));
    text_add(t, ", schema ");
    text_add_name(t, bytes_of_string(x->space->schema));
    end(w, "key", &l);
    text_read(w, x);
    if (x->l1.present)
        text_value(w, "L1", &x->l1, 0);
    text_redis(w, x);
    text_last(w, x);
    text_misses(w, x);
    text_room(w, x);
    text_flight(w, x);
    text_lease(w, x);
    text_outdating(w, x);
    text_groups(w, x);
    text_trust(w, x);
    t = begin(&l);
    text_add(t, "process %d", (int)getpid());
    if (x->coherence.node)
        text_add(t, ", node %04x", cache_node_name(x->coherence.node));
    end(w, "here", &l);
    text_notes(w, x);
}

long nigh_explain(struct nigh_space *space, const void *key, size_t key_len,
                  enum nigh_stats_format format, char *buffer, size_t size)
{
    struct explanation x;
    int rc = cache_check(space, key, key_len, NULL);
    rc = rc ? rc : cache_check_open(space->cache);
    if (rc == 0 && format != NIGH_STATS_TEXT && format != NIGH_STATS_JSON)
        rc = NIGH_EINVAL;
    if (rc != 0)
        return rc;
    explain_collect(space, key, key_len, &x);
    struct text w = text_into(buffer, size);
    if (format == NIGH_STATS_JSON)
        explain_json(&w, &x);
    else
        text_whole(&w, &x);
    return (long)w.needed;
}
