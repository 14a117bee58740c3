// SPDX-License-Identifier: MIT
/*
 * An explanation as text, for people at 80 columns, and as JSON.
 *
 * Text begins with the reason, and leaves out what there is nothing to say of; JSON has all.
 */
#include "cache/inspect/explain.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#include <nigh/inspect.h>

#include "cache/inspect/reasons.h"

#define LABEL_COLUMNS 10
#define COLUMNS 80
#define LINE_MAX_BYTES 2048 /* the longest is a key, escaped fourfold */

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

/* Returns how much of the words fits into a line. */
static size_t fitting(const char *words, size_t columns)
{
    size_t len = strlen(words), cut = columns;
    if (len <= columns)
        return len;
    while (cut > 0 && words[cut] != ' ')
        cut--;
    return cut ? cut : strcspn(words, " ");
}

/* Add a line, broken between words; what follows begins below the first word. */
static void end(struct text *w, const char *label, const struct line *l)
{
    for (const char *at = l->buffer; *at; label = "") {
        size_t len = fitting(at, COLUMNS - LABEL_COLUMNS - 1);
        text_add(w, "%-*s %.*s\n", LABEL_COLUMNS, label, (int)len, at);
        at += len;
        at += *at == ' ';
    }
}

/* ---- text: the parts ---- */

/* Say when a lifetime ends, or has ended: counted from now, whatever comes before it. */
static void add_lifetime(struct text *t, const char *what, int64_t left_ns)
{
    text_add(t, ", %s until ", what);
    say_span(t, (uint64_t)(left_ns < 0 ? -left_ns : left_ns));
    text_add(t, left_ns < 0 ? " ago" : " from now");
}

static void add_times(struct text *t, const struct explain_value *v, uint64_t cost_us)
{
    text_add(t, ", loaded ");
    say_span(t, v->age_ns < 0 ? 0 : (uint64_t)v->age_ns);
    text_add(t, " ago");
    if (cost_us >= 1000) {
        text_add(t, " in ");
        say_span(t, cost_us * 1000);
    }
    add_lifetime(t, "fresh", v->fresh_ns);
    add_lifetime(t, "stale", v->stale_ns);
}

static void text_value(struct text *w, const char *label, const struct explain_value *v,
                       uint64_t cost_us)
{
    struct line l;
    struct text *t = begin(&l);
    if (v->absent)
        text_add(t, "\"does not exist\"");
    else
        text_add(t, "%" PRIu64 " B", v->len);
    if (v->packed_len)
        text_add(t, " (%s, %" PRIu64 " B there)", codec_name(v->codec), v->packed_len);
    text_add(t, ", %s", v->outcome == NIGH_MISS ? "not used" : nigh_result_name(v->outcome));
    if (v->has_times)
        add_times(t, v, cost_us);
    if (v->hard_ms)
        add_lifetime(t, "kept", (int64_t)(v->hard_ms * NS_PER_MS));
    if (v->version)
        text_add(t, ", version %" PRIu64, v->version);
    text_add(t, ", stamp %" PRIu64, v->stamp);
    if (v->tag_count)
        text_add(t, ", %u tag%s", v->tag_count, v->tag_count == 1 ? "" : "s");
    end(w, label, &l);
}

static void text_last(struct text *w, const struct explanation *x)
{
    static const char *const words[L1_FATE_COUNT] = {
        [L1_FATE_NONE] = "nothing is known",
        [L1_FATE_EVICTED] = "evicted for room",
        [L1_FATE_SHED] = "evicted to give memory back",
        [L1_FATE_REFUSED_POLICY] = "not stored: refused by the policy",
        [L1_FATE_REFUSED_FULL] = "not stored: no room",
        [L1_FATE_EXPIRED] = "expired",
        [L1_FATE_CHANGED] = "invalidated, put or written by ",
        [L1_FATE_REFUSED_FLOOR] = "not stored: invalidated on its way",
        [L1_FATE_REFUSED_LARGE] = "not stored: too large for L1",
        [L1_FATE_OVERSIZE] = "not stored: above space.value_max",
        [L1_FATE_MOVED] = "left behind when the space got memory of its own",
        [L1_FATE_FAILED] = "load failed",
        [L1_FATE_PUT_REFUSED] = "put refused",
    };
    struct line l;
    struct text *t = begin(&l);
    text_add(t, "%s%s", x->fate.absent ? "the answer \"does not exist\" " : "",
             words[x->fate.fate]);
    if (x->fate.fate == L1_FATE_CHANGED)
        say_node(t, x->fate.who);
    if (x->fate.fate != L1_FATE_NONE) {
        text_add(t, ", ");
        say_ago(t, x->fate.ago_ns);
        text_add(t, x->fate.forgotten ? "; whether it was evicted since is forgotten" : "");
    } else {
        text_add(t, " (remembered are the last causes of %u keys that were evicted, refused or "
                    "expired)", l1_fates_kept(x->space->cache->l1));
    }
    end(w, "last", &l);
}

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
    if (!x->flies)
        return;
    text_add(t, "this process %s; %u wait, %u calls are pending on it, it ", say_state(&x->flight),
             x->flight.waiters, x->flight.watches);
    say_flight_end(t, x);
    end(w, "flight", &l);
}

/* Say what a group's floors do to values: those with a stamp below are stale, or gone. */
static void add_floor(struct text *t, const struct explain_floor *f)
{
    if (!f->any)
        return;
    text_add(t, "%sof %s", t->needed ? "; " : "", f->of == FLOOR_ALL ? "all values" : "values of ");
    if (f->of != FLOOR_ALL)
        say_floor(t, f);
    if (f->any != f->hard)
        text_add(t, ", those with a stamp below %" PRIu64 " are stale", f->any);
    if (f->hard)
        text_add(t, ", those with a stamp below %" PRIu64 " are gone", f->hard);
}

/* Say who has raised a floor, and whether that outdates the value. */
static void text_raised(struct text *w, const struct explain_floor *f)
{
    struct line l;
    struct text *t = begin(&l);
    if (!f->covers && !f->is_known)
        return;
    say_floor(t, f);
    text_add(t, " was invalidated%s", f->covers && !f->covers_hard ? " softly" : "");
    if (f->is_known) {
        text_add(t, " by ");
        say_node(t, cache_node_name(f->bump.node));
        text_add(t, ", ");
        say_ago(t, f->ago_ns);
    }
    text_add(t, f->covers ? ", after the value was loaded" : "");
    end(w, "", &l);
}

static void text_floors(struct text *w, const struct explanation *x)
{
    struct line l;
    struct text *t = begin(&l);
    for (uint32_t i = 0; i < x->floor_count; i++)
        add_floor(t, &x->floors[i]);
    if (x->key_floor)
        text_add(t, "%sof the key, or one that shares its floor, values with a stamp below %" PRIu64
                    " are gone", t->needed ? "; " : "", x->key_floor);
    if (t->needed)
        text_add(t, " (a value's stamp: changes that this process knew of when its load began)");
    else
        text_add(t, "none: nothing that is over the key was ever invalidated here");
    end(w, "floors", &l);
    for (uint32_t i = 0; i < x->floor_count; i++)
        text_raised(w, &x->floors[i]);
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

/* Say, of a key that is not there, whether there is room, and what became of others for want of
 * it. */
static void text_room(struct text *w, const struct explanation *x)
{
    struct line l;
    struct text *t = begin(&l);
    if (x->l1.present || x->evicted + x->refused == 0)
        return;
    text_add(t, "L1 %s (", x->room.is_full ? "is full" : "has room now");
    room_say(t, &x->room);
    text_add(t, "): of this space it has evicted %" PRIu64 " and found no room for %" PRIu64 " ",
             x->evicted_1m, x->refused_1m);
    say_minute(t, &x->space->trend);
    text_add(t, " (%" PRIu64 " and %" PRIu64 " in all)", x->evicted, x->refused);
    if (!x->room_is_wanted && x->room_wanted_ago_ns != UINT64_MAX) {
        text_add(t, ", the last one ");
        say_ago(t, x->room_wanted_ago_ns);
    }
    if (x->evicted_age_ns) {
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
        text_add(begin(&l), "%u changes of this process wait for Redis", x->coherence.queued);
        end(w, "note", &l);
    }
    if (x->space->rules.invalidations_only)
        text_note(w, "values of this space stay out of Redis (space.l2 is invalidations)");
    if (x->l2_state == EXPLAIN_L2_BREAKER)
        text_note(w, "Redis was not asked for this: the breaker is not closed");
    if (x->closing)
        text_note(w, "the cache is closing: no load begins any more");
}

static void text_call(struct text *w, const char *label, int outcome, const char *does)
{
    struct line l;
    struct text *t = begin(&l);
    if (outcome != NIGH_PENDING)
        text_add(t, "%s%s", nigh_result_name(outcome), *does ? ", " : "");
    text_add(t, "%s", does);
    end(w, label, &l);
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
    text_call(w, "get now", x->get, x->get < 0 ? nigh_strerror(x->get) : "");
    text_call(w, "fetch now", x->fetch, x->fetch_does);
    if (x->l1.present)
        text_value(w, "L1", &x->l1, 0);
    else
        text_last(w, x);
    text_room(w, x);
    text_flight(w, x);
    if (x->l2.present)
        text_value(w, "Redis", &x->l2, x->cost_us);
    text_lease(w, x);
    text_floors(w, x);
    text_trust(w, x);
    t = begin(&l);
    if (x->coherence.node)
        text_add(t, "node %04x, ", cache_node_name(x->coherence.node));
    text_add(t, "process %d, which knows of %" PRIu64 " changes (by its own count: stamps of two "
                "processes do not compare)", (int)getpid(), x->position);
    end(w, "here", &l);
    text_notes(w, x);
}

/* ---- JSON ---- */

static const char *truth(bool is)
{
    return is ? "true" : "false";
}

/* A duration or point in time in ms; negative: in the past. */
static void json_ms(struct text *w, const char *name, int64_t ns)
{
    text_add(w, ", \"%s\": %" PRId64, name, ns / (int64_t)NS_PER_MS);
}

static void json_value(struct text *w, const char *name, const struct explain_value *v)
{
    static const char *const floors[] = {
        [L1_CURRENT] = "above", [L1_BELOW_SOFT] = "below_soft", [L1_BELOW_HARD] = "below_hard"};
    if (!v->present) {
        text_add(w, ", \"%s\": null", name);
        return;
    }
    text_add(w, ", \"%s\": {\"outcome\": \"%s\", \"absent\": %s, \"bytes\": %" PRIu64, name,
             nigh_result_name(v->outcome), truth(v->absent), v->len);
    if (v->packed_len)
        text_add(w, ", \"codec\": \"%s\", \"packed_bytes\": %" PRIu64, codec_name(v->codec),
                 v->packed_len);
    if (v->has_times) {
        json_ms(w, "age_ms", v->age_ns);
        json_ms(w, "fresh_ms", v->fresh_ns);
        json_ms(w, "stale_ms", v->stale_ns);
    }
    text_add(w, ", \"kept_ms\": %" PRIu64 ", \"version\": %" PRIu64 ", \"stamp\": %" PRIu64
                ", \"tags\": %u, \"floors\": \"%s\"}",
             v->hard_ms, v->version, v->stamp, v->tag_count, floors[v->floors]);
}

static void json_node(struct text *w, uint16_t name)
{
    text_add(w, ", \"by\": ");
    if (name)
        text_add(w, "\"%04x\"", name);
    else
        text_add(w, "\"here\"");
}

static void json_fate(struct text *w, const struct explanation *x)
{
    struct explanation gone = {.space = x->space, .fate = x->fate};
    if (x->fate.fate == L1_FATE_NONE) {
        text_add(w, ", \"last\": null");
        return;
    }
    text_add(w, ", \"last\": {\"what\": \"%s\"", reason_name(reason_of(&gone)));
    json_ms(w, "ago_ms", (int64_t)x->fate.ago_ns);
    if (x->fate.fate == L1_FATE_CHANGED)
        json_node(w, x->fate.who);
    text_add(w, ", \"forgotten\": %s}", truth(x->fate.forgotten));
}

static void json_loads(struct text *w, const struct explanation *x)
{
    if (x->flies) {
        text_add(w, ", \"flight\": {\"does\": \"%s\", \"waiters\": %u, \"pending\": %u, "
                    "\"background\": %s",
                 say_state(&x->flight), x->flight.waiters, x->flight.watches,
                 truth(x->flight.background));
        json_ms(w, "left_ms", x->flight_ns);
        text_add(w, "}");
    } else {
        text_add(w, ", \"flight\": null");
    }
    text_add(w, ", \"failures\": %u", x->failures);
    json_ms(w, "spared_ms", (int64_t)x->failed_ns);
    text_add(w, ", \"load_error\": %d", x->load_error);
    if (x->lease_ms)
        text_add(w, ", \"lease\": {\"here\": %s, \"left_ms\": %u, \"awaited\": %s}",
                 truth(x->lease_is_ours), x->lease_ms, truth(x->awaited));
    else
        text_add(w, ", \"lease\": null");
}

static void json_floor(struct text *w, const struct explain_floor *f)
{
    static const char *const of[] = {
        [FLOOR_TAG] = "tag", [FLOOR_SPACE] = "space", [FLOOR_ALL] = "all"};
    text_add(w, "{\"of\": \"%s\", \"slot\": %u, \"any\": %" PRIu64 ", \"hard\": %" PRIu64
                ", \"covers\": \"%s\", \"name\": ",
             of[f->of], f->slot, f->any, f->hard,
             f->covers_hard ? "hard" : f->covers ? "soft" : "no");
    if (f->is_known) {
        text_add_json(w, bytes_of(f->bump.name, f->bump.name_len));
        json_ms(w, "ago_ms", (int64_t)f->ago_ns);
        json_node(w, cache_node_name(f->bump.node));
    } else {
        text_add(w, "null");
    }
    text_add(w, "}");
}

static void json_around(struct text *w, const struct explanation *x)
{
    text_add(w, ", \"trusted\": %s", truth(x->trusted));
    json_ms(w, "trust_ms", x->trust_ns == INT64_MAX ? 0 : x->trust_ns);
    text_add(w, ", \"never_trusted\": %s, \"connected\": %s, \"redis_problem\": ",
             truth(x->never_trusted), truth(x->link.connected));
    text_add_json(w, bytes_of_string(x->problem.text));
    text_add(w, ", \"breaker\": %u, \"group_slots_in_redis\": %u, \"schema_refused\": %s, "
                "\"queued\": %u, \"position\": %" PRIu64 ", \"key_floor\": %" PRIu64,
             x->link.breaker, x->coherence.slots_there, truth(x->crowded), x->coherence.queued,
             x->position, x->key_floor);
    text_add(w, ", \"node\": \"%04x\", \"pid\": %d", cache_node_name(x->coherence.node),
             (int)getpid());
}

static void json_why(struct text *w, const struct explanation *x)
{
    struct line l;
    struct text *t = begin(&l);
    reason_say(t, x);
    text_add(w, "{\"why\": ");
    text_add_json(w, bytes_of_string(l.buffer));
    text_add(w, ", \"reason\": \"%s\", \"redis\": \"%s\", \"space\": ", reason_name(reason_of(x)),
             where_name(where_of(x)));
    text_add_json(w, bytes_of(x->space->name, x->space->name_len));
    text_add(w, ", \"schema\": ");
    text_add_json(w, bytes_of_string(x->space->schema));
    text_add(w, ", \"key\": ");
    text_add_json(w, bytes_of(x->key.data, x->key.len));
    text_add(w, ", \"get\": \"%s\", \"fetch\": \"%s\", \"fetch_does\": ", nigh_result_name(x->get),
             nigh_result_name(x->fetch));
    text_add_json(w, bytes_of_string(x->fetch_does));
}

/* An array while it is written. */
struct json_array {
    struct text *w;
    const char *comma;
};

static void json_element(void *arg, struct bytes element)
{
    struct json_array *a = arg;
    text_add(a->w, "%s", a->comma);
    text_add_json(a->w, element);
    a->comma = ", ";
}

static void json_schemas(struct text *w, const struct nigh_space *space)
{
    struct json_array a = {w, ""};
    if (!space->cache->coherence)
        return;
    text_add(w, ", \"schemas\": [");
    coherence_schemas_tell(space->cache->coherence, bytes_of(space->name, space->name_len),
                           json_element, &a);
    text_add(w, "]");
}

static void json_whole(struct text *w, const struct explanation *x)
{
    json_why(w, x);
    json_value(w, "l1", &x->l1);
    json_value(w, "l2", &x->l2);
    json_fate(w, x);
    json_loads(w, x);
    text_add(w, ", \"floors\": [");
    for (uint32_t i = 0; i < x->floor_count; i++) {
        text_add(w, "%s", i ? ", " : "");
        json_floor(w, &x->floors[i]);
    }
    text_add(w, "], \"room\": {\"evicted\": %" PRIu64 ", \"refused\": %" PRIu64
                ", \"evicted_1m\": %" PRIu64 ", \"refused_1m\": %" PRIu64
                ", \"cap\": \"%s\", \"used\": %" PRIu64 ", \"most\": %" PRIu64
                ", \"wanted\": %s}",
             x->evicted, x->refused, x->evicted_1m, x->refused_1m, x->room.cap, x->room.used,
             x->room.most, truth(x->room_is_wanted));
    json_schemas(w, x->space);
    json_around(w, x);
    text_add(w, "}\n");
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
        json_whole(&w, &x);
    else
        text_whole(&w, &x);
    return (long)w.needed;
}
