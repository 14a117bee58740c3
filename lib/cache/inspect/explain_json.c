// SPDX-License-Identifier: MIT
/*
 * An explanation as JSON, for programs: all that is in it, with fixed words beside the sentence.
 */
#include <inttypes.h>
#include <unistd.h>

#include "cache/inspect/explain.h"
#include "cache/inspect/reasons.h"

#define WHY_BYTES 2048

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

/* Tells how far back something of the key would be remembered; null: to the opening. */
static void json_reach(struct text *w, const char *name, uint64_t reach_ns)
{
    if (reach_ns == UINT64_MAX)
        text_add(w, "%s: null", name);
    else
        text_add(w, "%s: %" PRIu64, name, (uint64_t)(reach_ns / NS_PER_MS));
}

static void json_reaches(struct text *w, const struct l1_fated *f)
{
    json_reach(w, ", \"reach\": {\"value_ms\"", f->reach_ns);
    json_reach(w, ", \"no_value_ms\"", f->no_value_reach_ns);
    json_reach(w, ", \"change_ms\"", f->rare_reach_ns);
    text_add(w, "}");
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
        text_add(w, ", \"own\": %s", f->of == FLOOR_ALL || f->own == OWN_YES ? "true"
                                     : f->own == OWN_NO ? "false" : "null");
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
    char why[WHY_BYTES] = "";
    struct text t = text_into(why, sizeof(why));
    reason_say(&t, x);
    text_add(w, "{\"why\": ");
    text_add_json(w, bytes_of_string(why));
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

void explain_json(struct text *w, const struct explanation *x)
{
    json_why(w, x);
    json_value(w, "l1", &x->l1);
    json_value(w, "l2", &x->l2);
    json_fate(w, x);
    json_reaches(w, &x->fate);
    json_loads(w, x);
    text_add(w, ", \"floors\": [");
    for (uint32_t i = 0; i < x->floor_count; i++) {
        text_add(w, "%s", i ? ", " : "");
        json_floor(w, &x->floors[i]);
    }
    text_add(w, "], \"room\": {\"evicted\": %" PRIu64 ", \"shed\": %" PRIu64
                ", \"refused\": %" PRIu64 ", \"evicted_1m\": %" PRIu64
                ", \"refused_1m\": %" PRIu64 ", \"cap\": \"%s\", \"used\": %" PRIu64
                ", \"most\": %" PRIu64 ", \"wanted\": %s}",
             x->evicted, x->shed, x->refused, x->evicted_1m, x->refused_1m, x->room.cap,
             x->room.used, x->room.most, truth(x->room_is_wanted));
    json_schemas(w, x->space);
    json_around(w, x);
    text_add(w, "}\n");
}
