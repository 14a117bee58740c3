// SPDX-License-Identifier: MIT
// See judge.h. Everything is kept in arrays that are looked through: a schedule has some hundreds
// of changes and loads.
//
// What is not judged, because the library is known not to keep it: a put with a version that Redis
// executes after a newer value was invalidated, or lost. Nothing is left there that the version
// could be compared with (rule 14).

#include "sim/judge.h"

#include <nigh/error.h>

#include "coherence/message.h"
#include "l2/l2.h"
#include "l2/script.h"

#define VERSIONS_MAX 512
#define LOADS_MAX 8192
#define COVERS_MAX 8192
#define ISSUED_MAX 4096
#define FILLS_MAX 4096
#define LOSSES_MAX 256
#define WAIT_MAX_NS (SIM_S / 2) /* far above a load and below a lease, 2 s */

/* One reading of the origin, whose text a value carries. */
struct load {
    int key, node;
    uint32_t version;
    uint64_t read_ns;
    uint64_t wall_ms; /* of the servers, then */
    bool put;
};

/* From then on (`from_ns`) readers of `key` see at least `version`. node -1: all, else its own. */
struct cover {
    int key, node, server;
    uint32_t version;
    uint64_t done_ns;
    uint64_t from_ns;
    bool put;  /* it left its value in Redis */
    uint32_t deletes; /* ... and deleted there what is below this version */
    bool hard; /* of one node: what is older is gone there, not only stale */
};

struct issued {
    int node, key;
    uint32_t id;
    uint64_t call;
    uint32_t version;
    bool put;
    uint64_t executed_ns; /* by this frame or a later one; 0: not yet */
};

/* What a server had executed since then was lost at that time. */
struct loss {
    uint64_t since_ns, at_ns;
};

static struct {
    struct judge_config config;
    uint32_t version[KEYS];
    bool absent[KEYS][VERSIONS_MAX];
    struct load loads[LOADS_MAX];
    uint32_t load_count;
    struct cover covers[COVERS_MAX];
    uint32_t cover_count;
    struct issued issued[ISSUED_MAX];
    uint32_t issued_count;
    uint32_t ids;
    struct loss losses[LOSSES_MAX];
    uint32_t loss_count;
    uint64_t incarnations[SIM_NODES_MAX];
    uint32_t stored_floor[SERVERS][KEYS];
    uint32_t stored[SERVERS][KEYS]; /* version of the value that was set last */
    struct {
        uint32_t stored, told;
    } script[KEYS]; /* by the script that runs: version of the value, version in its frame */
    bool invalid[SERVERS];
    uint64_t invalid_ns; /* since when, if one is */
    uint64_t stepped_ns; /* when the wall clock last did */
    uint64_t fills[FILLS_MAX];
    uint32_t fill_count;
    uint64_t clocks[256];
    unsigned clock_count;
    bool ending;
    unsigned end_loads[KEYS];
    struct {
        uint32_t version;
        uint64_t ended_ns;
    } seen[SIM_NODES_MAX][KEYS];
} j;

void judge_init(const struct judge_config *config)
{
    memset(&j, 0, offsetof(__typeof__(j), absent));
    memset(j.absent, 0, sizeof(j.absent));
    j.config = *config;
    j.load_count = j.cover_count = j.issued_count = j.fill_count = j.loss_count = 0;
    j.clock_count = j.ids = 0;
    j.stepped_ns = 0;
    j.ending = false;
    memset(j.end_loads, 0, sizeof(j.end_loads));
    memset(j.incarnations, 0, sizeof(j.incarnations));
    memset(j.stored_floor, 0, sizeof(j.stored_floor));
    memset(j.stored, 0, sizeof(j.stored));
    memset(j.script, 0, sizeof(j.script));
    memset(j.invalid, 0, sizeof(j.invalid));
    memset(j.seen, 0, sizeof(j.seen));
    for (int k = 0; k < KEYS; k++)
        j.version[k] = 1;
}

void judge_fini(void)
{
}

/* ---- the origin ---- */

uint32_t origin_commit(int key, bool absent)
{
    uint32_t version = j.version[key] + 1;
    if (version < VERSIONS_MAX) {
        j.version[key] = version;
        j.absent[key][version] = absent;
    }
    return j.version[key];
}

uint32_t origin_version(int key)
{
    return j.version[key];
}

bool origin_absent(int key, uint32_t version)
{
    return j.absent[key][version];
}

static uint32_t note_load(int node, int key, uint32_t version, bool put)
{
    if (j.load_count == LOADS_MAX)
        abort();
    j.loads[j.load_count] =
        (struct load){key, node, version, world_now(), server_wall_ms(&servers[0]), put};
    return j.load_count++;
}

void origin_text(int node, int key, uint32_t version, bool put, char *text, size_t size)
{
    snprintf(text, size, "k%d:%u:%u", key, version, note_load(node, key, version, put));
}

uint32_t origin_read(int node, int key, bool *ret_absent, char *text, size_t size)
{
    uint32_t version = j.version[key];
    *ret_absent = j.absent[key][version];
    if (j.ending && ++j.end_loads[key] > 1 && j.config.judges_back)
        world_fail("one load", "k%d is loaded once more by n%d", key, node);
    origin_text(node, key, version, false, text, size);
    return version;
}

/* NULL: the text is none of ours. */
static const struct load *load_of(const char *text, size_t len)
{
    char copy[64] = {0};
    int key;
    unsigned version, load;
    if (len >= sizeof(copy))
        return NULL;
    memcpy(copy, text, len);
    if (sscanf(copy, "k%d:%u:%u", &key, &version, &load) != 3 || load >= j.load_count ||
        j.loads[load].key != key || j.loads[load].version != version)
        return NULL;
    return &j.loads[load];
}

/* A put that may have come after the deletion of something newer: by what it was invalidated with,
 * or by a change that had been made before it and was executed after it. Where data can be lost, a
 * newer put is no guard either: its value may be gone when this one comes. */
static bool is_late_put(const struct load *l)
{
    uint32_t guard = 0; /* the newest that a put has left in Redis */
    if (!l->put || j.config.judges_puts)
        return false;
    for (uint32_t i = 0; i < j.cover_count; i++) {
        const struct cover *c = &j.covers[i];
        if (c->key != l->key || c->node != -1)
            continue;
        if (c->version > l->version && (!c->put || !j.config.keeps_data))
            return true;
        if (!c->put && guard > l->version && c->deletes > guard)
            return true;
        guard = c->put && c->version > guard ? c->version : guard;
    }
    return false;
}

/* ---- changes ---- */

static bool is_target(enum target target, int which, int key)
{
    return target == TARGET_ALL || (target == TARGET_KEY && which == key) ||
           (target == TARGET_TAG && which == key_tag(key)) ||
           (target == TARGET_SPACE && which == key_space(key));
}

uint32_t judge_issued(int node, uint64_t call, enum target target, int which, uint32_t version,
                      bool put)
{
    j.ids++;
    for (int k = 0; k < KEYS; k++) {
        if (!is_target(target, which, k) || j.issued_count == ISSUED_MAX)
            continue;
        j.issued[j.issued_count++] =
            (struct issued){node, k, j.ids, call, version ? version : j.version[k], put, 0};
    }
    return j.ids;
}

static struct cover *add_cover(int key, int node, int server, uint32_t version, uint64_t from_ns)
{
    if (j.cover_count == COVERS_MAX)
        abort();
    j.covers[j.cover_count] =
        (struct cover){.key = key, .node = node, .server = server, .version = version,
                       .done_ns = world_now(), .from_ns = from_ns};
    return &j.covers[j.cover_count++];
}

/* From when on it counts: later, if what Redis had executed was lost before the call returned. */
static uint64_t counts_from_ns(const struct issued *d)
{
    uint64_t from_ns = world_now();
    for (uint32_t i = 0; i < j.loss_count && d->executed_ns; i++) {
        const struct loss *l = &j.losses[i];
        if (d->executed_ns >= l->since_ns && d->executed_ns <= l->at_ns)
            from_ns = u64_max(from_ns, l->at_ns + LOST_NS);
    }
    return from_ns;
}

static void add_told(int node, const struct issued *d, bool hard)
{
    struct cover *c = add_cover(d->key, node, -1, d->version, counts_from_ns(d));
    c->hard = hard && c->from_ns == c->done_ns;
}

void judge_applied(int node, uint32_t id, bool hard)
{
    for (uint32_t i = 0; i < j.issued_count; i++) {
        const struct issued *d = &j.issued[i];
        if (d->id == id)
            add_told(node, d, hard);
    }
}

void judge_node(int node, uint64_t incarnation)
{
    j.incarnations[node] = incarnation;
}

static int node_of(uint64_t incarnation)
{
    for (int i = 0; i < SIM_NODES_MAX; i++)
        if (j.incarnations[i] == incarnation && incarnation)
            return i;
    return -1;
}

/* What a frame of that call covers of a key: all that its node had issued by then. 0: nothing. */
static uint32_t covered(int node, uint64_t call, int key)
{
    uint32_t version = 0;
    for (uint32_t i = 0; i < j.issued_count; i++) {
        struct issued *d = &j.issued[i];
        if (d->node != node || d->key != key || d->call > call)
            continue;
        d->executed_ns = d->executed_ns ? d->executed_ns : world_now();
        version = d->version > version ? d->version : version;
    }
    return version;
}

/* Whether that very call was a put of the version. */
static bool is_put(int node, uint64_t call, int key, uint32_t version)
{
    for (uint32_t i = 0; i < j.issued_count; i++) {
        const struct issued *d = &j.issued[i];
        if (d->node == node && d->key == key && d->call == call && d->version == version)
            return d->put;
    }
    return false;
}

static int number_in(struct bytes b)
{
    return b.len ? ((const char *)b.data)[b.len - 1] - '0' : -1;
}

static bool names(const struct coherence_item *item, int key)
{
    switch (item->kind) {
    case WIRE_KEY: return number_in(item->bytes) == key;
    case WIRE_TAG: return number_in(item->bytes) == key_tag(key);
    case WIRE_SPACE: return number_in(item->space) == key_space(key);
    case WIRE_ALL: return true;
    default: return false;
    }
}

/* Whether that script has left the version in Redis, by a put: what is tried again later only
 * deletes. */
static bool has_put(const struct server *s, int node, uint64_t call, int key, uint32_t version)
{
    return is_put(node, call, key, version) && j.stored[s->index][key] == version;
}

static void executed(struct server *s, const struct coherence_item *item, int node, uint64_t call)
{
    uint32_t deletes = item->version ? (uint32_t)item->version : UINT32_MAX;
    for (int k = 0; k < KEYS; k++) {
        uint32_t version = names(item, k) ? covered(node, call, k) : 0;
        if (!version)
            continue;
        uint64_t from_ns = j.invalid[s->index] ? CLOCK_NEVER_NS : world_now();
        struct cover *c = add_cover(k, -1, s->index, version, from_ns);
        c->put = has_put(s, node, call, k, version);
        c->deletes = item->kind == WIRE_KEY ? deletes : 0;
        j.script[k].told = item->kind == WIRE_KEY ? (uint32_t)item->version : 0;
        if (item->kind == WIRE_KEY && version > j.stored_floor[s->index][k])
            j.stored_floor[s->index][k] = version;
    }
}

static void trace_item(const struct coherence_item *item, struct server *s, int node, uint64_t seq)
{
    static const char *const kinds[] = {"?", "key", "tag", "space", "all", "fill"};
    TRACE(-1, "      redis %d executes seq %llu of n%d: %s%s %.*s", s->index,
          (unsigned long long)seq, node, item->soft ? "soft " : "",
          kinds[(int)item->kind < 6 ? item->kind : 0], (int)item->bytes.len,
          item->bytes.len ? (const char *)item->bytes.data : "");
}

void judge_published(struct server *s, struct bytes channel, struct bytes payload)
{
    struct coherence_message m;
    struct coherence_item item;
    (void)channel;
    if (!coherence_message_decode(payload, &m) || m.sequence == 0)
        return;
    int node = node_of(m.incarnation);
    uint64_t call = m.call, seq = m.sequence;
    while (coherence_message_next(&m, &item)) {
        trace_item(&item, s, node, seq);
        if (node >= 0)
            executed(s, &item, node, call);
    }
}

/* Whether what it covers was executed since then: a call may have been queued for long before. */
static bool executed_since(const struct cover *c, uint64_t since_ns)
{
    for (uint32_t i = 0; i < j.issued_count; i++) {
        const struct issued *d = &j.issued[i];
        if (d->node == c->node && d->key == c->key && d->version == c->version &&
            d->executed_ns >= since_ns)
            return true;
    }
    return false;
}

void judge_lost(int server, uint64_t since_ns)
{
    uint64_t from_ns = world_now() + LOST_NS;
    if (j.loss_count < LOSSES_MAX)
        j.losses[j.loss_count++] = (struct loss){since_ns, world_now()};
    for (uint32_t i = 0; i < j.cover_count; i++) {
        struct cover *c = &j.covers[i];
        if ((c->server == server || c->server == -1) &&
            (c->done_ns >= since_ns || executed_since(c, since_ns))) {
            c->from_ns = from_ns;
            c->hard = false;
        }
    }
    memset(j.stored_floor[server], 0, sizeof(j.stored_floor[server]));
}

/* Returns when a server executed last what a node's cover is about, told again or not; 0: never. */
static uint64_t last_executed(const struct cover *own)
{
    uint64_t last_ns = 0;
    for (uint32_t i = 0; i < j.cover_count; i++) {
        const struct cover *c = &j.covers[i];
        if (c->node == -1 && c->key == own->key && c->version >= own->version)
            last_ns = u64_max(last_ns, c->done_ns);
    }
    return last_ns;
}

void judge_forgotten(uint64_t since_ns)
{
    uint64_t told_ns = world_now() + RECONNECT_NS;
    for (uint32_t i = 0; i < j.cover_count; i++) {
        struct cover *c = &j.covers[i];
        if (c->hard && c->done_ns + LOST_NS < told_ns && last_executed(c) >= since_ns)
            c->hard = false;
    }
}

void judge_valid(int server, bool valid)
{
    for (uint32_t i = 0; valid && j.invalid[server] && i < j.cover_count; i++) {
        struct cover *c = &j.covers[i];
        if (c->server == server && c->from_ns == CLOCK_NEVER_NS)
            c->from_ns = world_now() + LOST_NS;
        if (c->done_ns >= j.invalid_ns || executed_since(c, j.invalid_ns))
            c->hard = false;
    }
    j.invalid[server] = !valid;
    j.invalid_ns = world_now();
}

/* ---- what servers store ---- */

static bool ends_with_clk(const struct value *v)
{
    return v->type == TYPE_STRING && v->key_len > 5 &&
           memcmp(v->key + v->key_len - 3, "clk", 3) == 0 &&
           memchr(v->key + v->key_len - 5, '!', 2);
}

/* The id of the clock of this server, if it is new. */
static void note_clock(struct server *s, unsigned db)
{
    struct db *d = &s->store.dbs[db];
    for (size_t i = 0; i < d->count; i++) {
        struct value *v = d->values[i];
        if (!ends_with_clk(v) || v->string.len < 8)
            continue;
        uint64_t id = get_le64(v->string.data);
        for (unsigned c = 0; c < j.clock_count; c++)
            if (j.clocks[c] == id)
                return;
        if (j.clock_count < ARRAY_COUNT(j.clocks))
            j.clocks[j.clock_count++] = id;
        TRACE(-1, "      redis %d has a new clock %016llx", s->index, (unsigned long long)id);
        judge_forgotten(0); /* it knows no tags' floors */
        return;
    }
}

/* At the end of a script. A put that came late is excused elsewhere for what others have told, but
 * not for what is told together with it. */
static void check_told(struct session *session)
{
    for (int k = 0; k < KEYS; k++)
        if (j.script[k].stored && j.script[k].stored < j.script[k].told)
            world_fail("wins", "k%d:%u stored by n%d, which told version %u with it", k,
                       j.script[k].stored, session->node, j.script[k].told);
    memset(j.script, 0, sizeof(j.script));
}

void judge_script(struct session *session, int script, struct bytes reply)
{
    static const char *const names_of[SCRIPT_COUNT] = {
        [SCRIPT_LEASE] = "lease",     [SCRIPT_LEASE_MANY] = "leases", [SCRIPT_EXTEND] = "extend",
        [SCRIPT_FILL] = "fill",       [SCRIPT_FILL_MANY] = "fills",   [SCRIPT_RELEASE] = "release",
        [SCRIPT_TELL] = "tell",       [SCRIPT_OVERRIDE] = "override", [SCRIPT_CHANGE] = "change",
        [SCRIPT_BEAT] = "beat",       [SCRIPT_CHANGE_OLD] = "change", [SCRIPT_RESYNC] = "resync",
        [SCRIPT_PEEK] = "peek"};
    (void)reply;
    check_told(session);
    note_clock(session->server, session->db);
    if (world_tracing && script != SCRIPT_BEAT)
        TRACE(session->node, "      %s at redis %d", names_of[script], session->server->index);
}

static void check_once(uint64_t fill_id)
{
    for (uint32_t i = 0; i < j.fill_count; i++)
        if (j.fills[i] == fill_id)
            world_fail("once", "the fill %016llx was accepted twice", (unsigned long long)fill_id);
    if (j.fill_count < FILLS_MAX)
        j.fills[j.fill_count++] = fill_id;
}

void judge_stored(struct session *session, struct bytes key, struct bytes value)
{
    struct l2_envelope e;
    (void)key;
    /* The key is the one that it says it is of. */
    uint64_t name = value.len >= 96 ? get_le64((const char *)value.data + 88) : 0;
    if (!l2_envelope_decode(value, name, &e))
        return;
    check_once(e.fill_id);
    const struct load *l = load_of(e.payload.data, e.payload.len);
    if (!l)
        return;
    TRACE(session->node, "      redis %d stores %.*s", session->server->index,
          (int)e.payload.len, (const char *)e.payload.data);
    uint32_t floor = j.stored_floor[session->server->index][l->key];
    j.stored[session->server->index][l->key] = l->version;
    j.script[l->key].stored = l->version;
    if (l->version < floor && !is_late_put(l))
        world_fail("wins", "k%d:%u stored by n%d, though version %u was invalidated here", l->key,
                   l->version, session->node, floor);
}

/* ---- reads ---- */

static const struct cover *needed(const struct reading *r)
{
    const struct cover *most = NULL;
    for (uint32_t i = 0; i < j.cover_count; i++) {
        const struct cover *c = &j.covers[i];
        bool counts = c->node == r->node ? c->from_ns <= r->began_ns
                                         : c->node == -1 && c->from_ns < r->began_ns &&
                                               r->began_ns - c->from_ns > j.config.trust_ns;
        if (c->key == r->key && counts && (!most || c->version > most->version))
            most = c;
    }
    return most;
}

static void fail_needed(const struct reading *r, const struct cover *c, const char *what)
{
    double ago = (double)(r->began_ns - c->done_ns) / 1e9;
    if (c->node >= 0)
        world_fail("own", "n%d answered %s for k%d, but had itself applied version %u %.3f s ago",
                   r->node, what, r->key, c->version, ago);
    else
        world_fail("trust", "n%d answered %s for k%d, but version %u was executed %.3f s ago",
                   r->node, what, r->key, c->version, ago);
}

/* Who has told a change does not see what was before it, not even marked as stale. */
static void judge_stale(const struct reading *r, const struct load *l)
{
    for (uint32_t i = 0; i < j.cover_count; i++) {
        const struct cover *c = &j.covers[i];
        if (c->node == r->node && c->key == r->key && c->hard && c->from_ns <= r->began_ns &&
            l->version < c->version && !is_late_put(l))
            world_fail("told", "n%d answered STALE %u for k%d, but had itself told version %u",
                       r->node, l->version, r->key, c->version);
    }
}

static void judge_absent(const struct reading *r)
{
    const struct cover *c = needed(r);
    for (uint32_t v = c ? c->version : 1; v <= j.version[r->key]; v++)
        if (j.absent[r->key][v])
            return;
    if (c)
        fail_needed(r, c, "ABSENT");
    else
        world_fail("truth", "n%d answered ABSENT for k%d, which never was", r->node, r->key);
}

/*
 * Lifetimes go by the servers' wall clock, which may step: back, and a value seems younger than it
 * is. That cannot be told, unless it seems to come from the future. In the first moments after a
 * step nodes do not know of it.
 */
static bool outlives(const struct load *l, uint64_t now_ns)
{
    int64_t age_ms = (int64_t)((now_ns - l->read_ns) / SIM_MS);
    int64_t wall_age_ms = (int64_t)(server_wall_ms(&servers[0]) - l->wall_ms);
    int64_t limit_ms = (int64_t)(j.config.lifetime_ns / SIM_MS);
    int64_t trust_ms = (int64_t)(j.config.trust_ns / SIM_MS);
    if (age_ms <= limit_ms || now_ns < j.stepped_ns + j.config.trust_ns + SIM_S)
        return false;
    return wall_age_ms > limit_ms || wall_age_ms < -trust_ms / 2;
}

static void judge_fresh(const struct reading *r, const struct load *l)
{
    const struct cover *c = needed(r);
    char what[32];
    snprintf(what, sizeof(what), "FRESH %u", l->version);
    if (c && l->version < c->version && !is_late_put(l))
        fail_needed(r, c, what);
    if (outlives(l, r->began_ns))
        world_fail("lifetime", "n%d answered %s for k%d, %.3f s after it was read", r->node, what,
                   r->key, (double)(r->began_ns - l->read_ns) / 1e9);
    if (j.config.judges_back && !is_late_put(l) && l->version < j.seen[r->node][r->key].version &&
        j.seen[r->node][r->key].ended_ns < r->began_ns)
        world_fail("back", "n%d answered %s for k%d after %u", r->node, what, r->key,
                   j.seen[r->node][r->key].version);
    if (l->version > j.seen[r->node][r->key].version) {
        j.seen[r->node][r->key].version = l->version;
        j.seen[r->node][r->key].ended_ns = world_now();
    }
}

/* Where nothing is broken nobody waits for a lease that nobody holds: every load is short. */
static void judge_time(const struct reading *r)
{
    uint64_t took_ns = world_now() - r->began_ns;
    if (j.config.judges_back && took_ns > WAIT_MAX_NS)
        world_fail("waits", "n%d was answered for k%d after %.3f s", r->node, r->key,
                   (double)took_ns / SIM_S);
}

void judge_answer(const struct reading *r, int outcome, const char *text, size_t len)
{
    judge_time(r);
    if (outcome == NIGH_ABSENT) {
        judge_absent(r);
        return;
    }
    if (outcome != NIGH_FRESH && outcome != NIGH_STALE)
        return;
    const struct load *l = load_of(text, len);
    if (!l || l->key != r->key)
        world_fail("truth", "n%d answered '%.*s' for k%d", r->node, (int)len, text, r->key);
    else if (outcome == NIGH_FRESH)
        judge_fresh(r, l);
    else
        judge_stale(r, l);
}

void judge_begin_end(void)
{
    j.ending = true;
}

void judge_settled(const struct reading *r, int outcome, const char *text, size_t len)
{
    uint32_t version = j.version[r->key];
    bool absent = j.absent[r->key][version];
    const struct load *l = outcome == NIGH_FRESH ? load_of(text, len) : NULL;
    if ((absent && outcome == NIGH_ABSENT) || (l && is_late_put(l)) ||
        (!absent && l && l->version == version))
        return;
    world_fail("settled", "n%d: %s %.*s for k%d, but the origin has %s%u", r->node,
               nigh_result_name(outcome), l ? (int)len : 0, l ? text : "", r->key,
               absent ? "no " : "", version);
}

void judge_stepped(void)
{
    j.stepped_ns = world_now();
}

unsigned judge_clocks(void)
{
    return j.clock_count;
}
