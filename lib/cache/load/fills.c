// SPDX-License-Identifier: MIT
/*
 * Collected fills.
 *
 * A script takes as many as l2_fills_fit() says; one that is too large for company goes in a script
 * of its own. All in a script have their leases of one connection. Each has its own verdict; if the
 * script is refused, lost or late, each gives its lease back.
 *
 * Flights of which no fill is waited for have landed by the time that it is sent: what they read of
 * their load then is constant. Those that wait, in state FILL, are told with their part.
 */
#include "cache/load/fills.h"

#include "cache/load/parts.h"
#include "cache/value/draft.h"

/* Holds what is sent together, from the first fill to the answer of Redis. */
struct sending {
    struct nigh_space *space;
    uint64_t connection;
    uint32_t hard_ms;                    /* the longest */
    uint32_t count;
    struct parts *waiting;               /* those whose flights wait; NULL: none */
    struct load *loads[L2_MANY_MAX];     /* each with a reference to its flight; NULL: it waits */
    struct l2_fill_of list[L2_MANY_MAX];
};

static _Thread_local struct fills *collector;

void fills_begin(struct fills *s)
{
    *s = (struct fills){NULL, NULL};
    collector = s;
}

void fills_for(struct fills *s, const struct flight *f)
{
    s->flight = f;
}

static struct sending *create(struct nigh_space *space, uint64_t connection)
{
    struct sending *s = mem_alloc(space->cache->env.mem, NULL, sizeof(*s));
    if (!s)
        return NULL;
    s->space = space;
    s->connection = connection;
    s->hard_ms = 0;
    s->count = 0;
    s->waiting = NULL;
    cache_note_sent(space->cache);
    return s;
}

static void destroy(struct sending *s)
{
    struct nigh *cache = s->space->cache;
    mem_free(cache->env.mem, NULL, s, sizeof(*s));
    cache_note_answered(cache);
}

/* ---- the answer ---- */

static void end_lease(const struct load *l, const struct l2_answer *answer)
{
    leases_end_filled(l->space, &l->key, l->token, answer);
}

/* `answer`: NULL, they were not sent. */
static void end_leases(const struct sending *s, const struct l2_answer *answer)
{
    for (uint32_t i = 0; i < s->count; i++)
        if (s->loads[i])
            end_lease(s->loads[i], answer);
    for (uint32_t i = 0; s->waiting && i < s->waiting->count; i++)
        end_lease(s->waiting->loads[i], answer);
}

static void count(const struct sending *s, struct l2_answer *answer)
{
    uint32_t most = answer && answer->status == 0 ? s->count : 0;
    if (most)
        draft_note_fills(s->space, answer);
    for (uint32_t i = 0; i < s->count; i++) {
        if (!s->loads[i])
            continue;
        enum l2_verdict verdict = most ? l2_fill_at(answer, i) : L2_NONE;
        draft_count_fill(s->space, most ? 0 : NIGH_EOFFLINE, verdict);
        flight_unref(s->loads[i]->flight);
    }
}

/* Ends all of them; takes the answer. */
static void told(struct sending *s, struct l2_answer *answer)
{
    struct parts *waiting = s->waiting;
    end_leases(s, answer);
    count(s, answer);
    if (waiting)
        parts_tell(waiting, answer, flight_post);
    else if (answer)
        l2_answer_free(answer);
    destroy(s);
}

/* The `done` of the request. */
static void done(void *arg, struct l2_answer *answer)
{
    told(arg, answer);
}

/* ---- the request ---- */

static int request(struct sending *s, const struct bytes keys[], void *buffer)
{
    const struct nigh_space *space = s->space;
    struct nigh *cache = space->cache;
    struct bytes name = bytes_of(space->name, space->name_len);
    struct l2_op op = l2_op_of(cache_l2_deadline_ns(cache, NULL), done, s);
    struct l2_fills all = {
        .space = name,
        .schema = bytes_of_string(space->schema),
        .connection = s->connection,
        .list = s->list,
        .count = s->count,
        .frame = coherence_fills_frame(cache->coherence, name, keys, s->count, buffer),
        .registration = coherence_register(cache->coherence, &s->space->registered, s->hard_ms),
    };
    return l2_fill_many(cache->l2, &all, &op);
}

/* Sends it, as a rule: else it has failed. Its envelopes are copied, and freed. */
static void send(struct sending *s)
{
    struct nigh *cache = s->space->cache;
    struct mem *mem = cache->env.mem;
    struct bytes keys[L2_MANY_MAX], envelopes[L2_MANY_MAX];
    uint32_t n = s->count;
    for (uint32_t i = 0; i < n; i++) {
        keys[i] = s->list[i].key;
        envelopes[i] = s->list[i].envelope;
    }
    size_t size = coherence_fills_frame_size(bytes_of(s->space->name, s->space->name_len), keys, n);
    void *buffer = mem_alloc(mem, NULL, size);
    if (!buffer || request(s, keys, buffer) != 0)
        told(s, NULL);
    if (buffer)
        mem_free(mem, NULL, buffer, size);
    for (uint32_t i = 0; i < n; i++)
        mem_free(mem, NULL, (void *)(uintptr_t)envelopes[i].data, envelopes[i].len);
}

static void send_collected(struct fills *s)
{
    struct sending *sending = s->sending;
    s->sending = NULL;
    if (sending)
        send(sending);
}

void fills_end(struct fills *s)
{
    collector = NULL;
    send_collected(s);
}

/* ---- collecting ---- */

/* Whether there is room for one more. */
static bool fits(struct sending *s, const struct l2_fill_of *fill, uint64_t connection)
{
    if (s->count == L2_MANY_MAX || s->connection != connection)
        return false;
    s->list[s->count] = *fill;
    return l2_fills_fit(s->list, s->count + 1) == s->count + 1;
}

static bool add(struct sending *s, struct load *l, const struct l2_fill_of *fill, bool waits)
{
    if (waits && !s->waiting)
        s->waiting = parts_create(s->space->cache, PARTS_FILLS);
    if (waits && !s->waiting)
        return false;
    flight_ref(l->flight);
    if (waits)
        parts_add(s->waiting, l, s->count);
    s->loads[s->count] = waits ? NULL : l;
    s->hard_ms = (uint32_t)u64_max(s->hard_ms, fill->hard_ms);
    s->list[s->count++] = *fill;
    return true;
}

static bool collect(struct fills *s, struct load *l, const struct l2_fill_of *fill, bool waits)
{
    if (s->sending && !fits(s->sending, fill, l->connection))
        send_collected(s);
    if (!s->sending)
        s->sending = create(l->space, l->connection);
    return s->sending && add(s->sending, l, fill, waits);
}

bool fills_take(struct load *l, const struct draft *d, bool waits)
{
    struct fills *s = collector;
    struct mem *mem = l->space->cache->env.mem;
    size_t size;
    if (!s || s->flight != l->flight)
        return false;
    void *envelope = draft_envelope(d, &size);
    if (!envelope)
        return false;
    struct l2_fill_of fill = {
        .key = bytes_of(l->key.data, l->key.len),
        .hard_ms = draft_hard_ms(d),
        .envelope = bytes_of(envelope, size),
    };
    bool taken = collect(s, l, &fill, waits);
    if (!taken)
        mem_free(mem, NULL, envelope, size);
    return taken;
}
