// SPDX-License-Identifier: MIT
/*
 * Putting many keys: up to NIGH_ATOMIC_TARGETS of them in a step, of one script and one frame.
 *
 * The pairs of a step are begun in their order: each has its own ticket, version, lifetimes. Of
 * those that name one key only the last goes on, so that within a script no key is named twice.
 * Pairs with the ticket of a miss are fills, each under its own lease: all of them are sent before
 * the script, and their answers are taken after it. The others are one change of the truth, with as
 * many local steps as Redis has answered that it stored.
 *
 * A step holds at most STEP_BYTES of values: Redis does nothing else while it runs a script, and a
 * connection nothing else while it is written.
 */
#include "cache/caller.h"
#include "cache/write/put.h"

#define STEP_PAIRS NIGH_ATOMIC_TARGETS
#define STEP_BYTES (1u << 20)
/* Twice as many as pairs, so that a key is found at once. */
#define NAMES (2 * STEP_PAIRS)

/* A pair on its way. */
struct one {
    struct writing w;
    struct nigh_call call;
    struct put_fill fill;
    bool begun;  /* `writing` has to be ended */
    bool fills;
    bool behind; /* in the background */
    bool stored; /* by Redis, as a change */
};

struct step {
    struct nigh_space *space;
    const struct nigh_pair *pairs;
    int *outcomes;
    uint32_t count;
    uint64_t deadline_ns;
    bool sends;                       /* put_may_send() */
    uint16_t last[STEP_PAIRS];        /* the last pair of the same key */
    uint16_t names[NAMES];            /* 1 + a pair; 0: empty */
    uint16_t changed[STEP_PAIRS];     /* the pairs that are items, in order */
    struct coherence_item items[STEP_PAIRS];
    struct coherence_write writes[STEP_PAIRS];
    uint32_t item_count;
    struct one ones[];
};

static size_t step_size(uint32_t count)
{
    return sizeof(struct step) + count * sizeof(struct one);
}

/* ---- beginning ---- */

static void begin_one(struct step *s, uint32_t i, const struct nigh_call *call)
{
    const struct nigh_pair *p = &s->pairs[i];
    struct one *one = &s->ones[i];
    one->begun = one->stored = false;
    one->fills = p->miss != NULL;
    one->behind = s->space->cache->coherence && cache_in_background(call);
    one->call = call ? *call : (struct nigh_call)NIGH_CALL_INIT;
    one->call.version = p->version;
    one->call.miss = p->miss;
    s->outcomes[i] = NIGH_EKEY;
    if (cache_key_fits(p->key.data, p->key.len))
        s->outcomes[i] = put_begin(&one->w, s->space, p->key.data, p->key.len,
                                   bytes_of(p->value, p->len), &one->call);
    one->begun = s->outcomes[i] == 0;
}

/* Ends a pair that a later one of its key makes void. */
static void supersede(struct step *s, uint32_t i, uint32_t by)
{
    struct one *one = &s->ones[i];
    s->last[i] = (uint16_t)by;
    if (one->fills && s->pairs[i].miss != s->pairs[by].miss)
        tickets_give_back(s->space, &one->w.draft.key, s->pairs[i].miss);
    writing_fini(&one->w);
    one->begun = false;
}

static bool same_key(const struct step *s, uint32_t a, uint32_t b)
{
    const struct l1_key *ka = &s->ones[a].w.draft.key, *kb = &s->ones[b].w.draft.key;
    return ka->hash == kb->hash &&
           bytes_equal(bytes_of(ka->data, ka->len), bytes_of(kb->data, kb->len));
}

/* Finds the pairs of which a later one says something else; from the last to the first. */
static void drop_duplicates(struct step *s)
{
    memset(s->names, 0, sizeof(s->names));
    for (uint32_t i = s->count; i-- > 0;) {
        s->last[i] = (uint16_t)i;
        if (!s->ones[i].begun)
            continue;
        uint32_t at = (uint32_t)(s->ones[i].w.draft.key.hash >> 16) % NAMES;
        while (s->names[at] && !same_key(s, i, s->names[at] - 1u))
            at = (at + 1) % NAMES;
        if (s->names[at])
            supersede(s, i, s->names[at] - 1u);
        else
            s->names[at] = (uint16_t)(i + 1);
    }
}

/* ---- the change ---- */

static void add_item(struct step *s, uint32_t i)
{
    struct writing *w = &s->ones[i].w;
    enum l2_change_mode mode = s->sends ? put_mode(w) : L2_DELETE;
    uint32_t at = s->item_count;
    put_name(w);
    s->changed[at] = (uint16_t)i;
    s->items[at] = writing_item(w);
    s->writes[at] = writing_value(w, mode);
    if (writing_value_lost(w, mode, &s->writes[at]))
        s->outcomes[i] = NIGH_ENOMEM;
    else
        s->item_count++;
}

/* The local step of one of them. */
static uint64_t settle_one(void *arg, const struct coherence_item *item, bool stored,
                           struct coherence_heard heard)
{
    struct step *s = arg;
    struct one *one = &s->ones[s->changed[item - s->items]];
    uint64_t stamp = writing_settle(&one->w, item, stored, heard);
    one->stored = one->w.put;
    return stamp;
}

static bool has_values(const struct step *s)
{
    for (uint32_t i = 0; i < s->item_count; i++)
        if (s->writes[i].mode != L2_DELETE)
            return true;
    return false;
}

/* Puts the pairs of a step one by one: some of their keys have changes in the background. */
static void change_one_by_one(struct step *s)
{
    for (uint32_t i = 0; i < s->item_count; i++) {
        struct one *one = &s->ones[s->changed[i]];
        writing_value_free(&one->w, &s->writes[i]);
        s->outcomes[s->changed[i]] = put_in_front(&one->w, s->sends, &one->call);
    }
}

static void change(struct step *s)
{
    struct coherence_change c = {
        .items = s->items,
        .item_count = s->item_count,
        .writes = has_values(s) ? s->writes : NULL,
        .keeps = s->space->rules.invalidations_only,
        .deadline_ns = s->deadline_ns,
        .local_key = settle_one,
        .local_arg = s,
    };
    if (s->item_count == 0)
        return;
    if (coherence_comes_after(s->space->cache->coherence, &c)) {
        change_one_by_one(s);
        return;
    }
    int rc = coherence_change(s->space->cache->coherence, &c, NULL);
    bool accepted = rc == 0 || rc == NIGH_REFUSED;
    for (uint32_t i = 0; i < s->item_count; i++) {
        const struct one *one = &s->ones[s->changed[i]];
        int outcome = !one->stored ? NIGH_REFUSED : one->w.keeps && one->w.full ? NIGH_EFULL : 0;
        s->outcomes[s->changed[i]] = accepted ? outcome : rc;
        writing_value_free(&one->w, &s->writes[i]);
    }
}

/* ---- a step ---- */

static void send(struct step *s)
{
    s->item_count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        struct one *one = &s->ones[i];
        if (one->begun && one->behind)
            s->outcomes[i] = one->fills ? put_fill_behind(&one->w, &one->call)
                                        : put_behind(&one->w, &one->call, NULL);
        else if (one->begun && one->fills)
            put_fill_begin(&one->fill, &one->w, s->pairs[i].miss, s->deadline_ns);
        else if (one->begun && !s->space->cache->coherence)
            s->outcomes[i] = put_l1_only(&one->w);
        else if (one->begun)
            add_item(s, i);
    }
}

static void end(struct step *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        struct one *one = &s->ones[i];
        if (!one->begun)
            continue;
        if (one->fills && !one->behind)
            s->outcomes[i] = put_fill_end(&one->fill);
        writing_fini(&one->w);
    }
    for (uint32_t i = 0; i < s->count; i++)
        if (s->last[i] != i)
            s->outcomes[i] = s->outcomes[s->last[i]];
}

/* Returns how many of the pairs are one step: at least one. */
static uint32_t pairs_of_step(const struct nigh_pair *pairs, size_t count)
{
    uint32_t n = 0;
    size_t bytes = 0;
    while (n < count && n < STEP_PAIRS && (n == 0 || pairs[n].len <= STEP_BYTES - bytes))
        bytes += u64_min(pairs[n++].len, STEP_BYTES - bytes);
    return n;
}

/* Whether one of the pairs is put without a ticket, and somebody waits for it. */
static bool changes(const struct step *s, const struct nigh_call *call)
{
    bool plain = false;
    for (uint32_t i = 0; i < s->count && !plain; i++)
        plain = !s->pairs[i].miss;
    return plain && s->space->cache->coherence && !cache_in_background(call);
}

static void put_step(struct step *s, const struct nigh_call *call)
{
    s->sends = changes(s, call) && put_may_send(s->space, s->deadline_ns);
    for (uint32_t i = 0; i < s->count; i++)
        begin_one(s, i, call);
    drop_duplicates(s);
    send(s);
    change(s);
    end(s);
}

static int put_in_steps(struct nigh_space *space, const struct nigh_pair *pairs, size_t count,
                       const struct nigh_call *call, int *ret_outcomes)
{
    struct mem *mem = space->cache->env.mem;
    size_t size = step_size((uint32_t)u64_min(count, STEP_PAIRS));
    struct step *s = count ? mem_alloc(mem, NULL, size) : NULL;
    if (!s)
        return count ? NIGH_ENOMEM : 0;
    for (size_t from = 0; from < count; from += s->count) {
        s->space = space;
        s->pairs = pairs + from;
        s->outcomes = ret_outcomes + from;
        s->count = pairs_of_step(pairs + from, count - from);
        s->deadline_ns = cache_l2_deadline_ns(space->cache, call);
        put_step(s, call);
    }
    mem_free(mem, NULL, s, size);
    return 0;
}

/* ---- the call ---- */

/* Whether each of them is put as it is, one after the other, without Redis, and in the end the last
 * of each key is there. */
static bool are_plain(const struct nigh_space *space, const struct nigh_pair *pairs, size_t count,
                      const struct nigh_call *call)
{
    if (space->cache->coherence || call)
        return false;
    for (size_t i = 0; i < count; i++)
        if (pairs[i].version || pairs[i].miss)
            return false;
    return true;
}

bool put_many_may(const struct nigh_pair *pairs, size_t count, const struct nigh_call *call,
                  const int *ret_outcomes)
{
    return cache_change_call_fits(call) && !(call && (call->miss || call->version)) &&
           (count == 0 || (pairs && ret_outcomes)) && count <= UINT32_MAX;
}

int nigh_put_many(struct nigh_space *space, const struct nigh_pair *pairs, size_t count,
                  const struct nigh_call *call, int *ret_outcomes)
{
    if (cache_is_gone(space->cache))
        return cache_why_gone(space->cache);
    if (!put_many_may(pairs, count, call, ret_outcomes))
        return NIGH_EINVAL;
    if (are_plain(space, pairs, count, call)) {
        for (size_t i = 0; i < count; i++)
            ret_outcomes[i] = nigh_put(space, pairs[i].key.data, pairs[i].key.len, pairs[i].value,
                                       pairs[i].len, NULL);
        return 0;
    }
    struct caller caller;
    caller_enter(&caller);
    int rc = put_in_steps(space, pairs, count, call, ret_outcomes);
    drive_flush(space->cache);
    caller_leave(&caller);
    return rc;
}
