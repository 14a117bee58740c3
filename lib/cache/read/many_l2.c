// SPDX-License-Identifier: MIT
/*
 * Reading many keys in L2, in windows: all requests of a window are queued before the first answer
 * is awaited, and the I/O thread writes what is queued in one go. A request asks for as many keys
 * as may be expected to have a small reply (from_l2.c); what cannot be had that way is asked for
 * key by key, again all at once.
 */
#include "cache/load/load.h"
#include "cache/read/many.h"
#include "cache/read/from_l2.h"
#include "cache/value/sizes.h"

#define WINDOW_KEYS 256u
#define WINDOW_REQUESTS 64u

/* Keys that L1 does not have. Those whose outcome is NIGH_PENDING are yet to be asked for. */
struct window {
    const struct many *many;
    struct read_l2 ticket; /* ticket and deadline, copied into each request */
    uint32_t count;
    uint32_t indices[WINDOW_KEYS];
    struct l1_key keys[WINDOW_KEYS];
};

/* A part of a window, in one request. */
struct part {
    uint32_t from;
    uint32_t count;
    struct read_l2 read;
};

/* Turns an outcome of L2 into what it means to a fetch, which can load. A value that is not wanted
 * is looked at once more, by the key's flight: that notes what L2 had. */
static int outcome_to_fetch(const struct window *w, uint32_t n, int rc, uint64_t rejected)
{
    bool answers = rc == NIGH_FRESH || rc == NIGH_STALE || rc == NIGH_ABSENT;
    if (answers || (rc == NIGH_MISS && rejected == 0))
        odds_note(&w->many->space->odds, answers);
    if (rc == NIGH_STALE)
        load_refresh(w->many->space, &w->keys[n]);
    if (rc == NIGH_MISS)
        return rejected == 0 ? MANY_NOT_IN_L2 : MANY_UNKNOWN;
    return rc < 0 && rc != NIGH_ENOMEM ? MANY_L2_FAILED : rc;
}

static void set_outcome(const struct window *w, uint32_t n, int rc, uint64_t rejected)
{
    if (w->many->fetches)
        rc = outcome_to_fetch(w, n, rc, rejected);
    w->many->outcomes[w->indices[n]] = rc;
    if (rc < 0)
        stats_count(&w->many->space->stats, STATS_READ_ERROR);
}

static void set_outcomes(const struct window *w, const struct part *p, int rc)
{
    for (uint32_t n = p->from; n < p->from + p->count; n++)
        set_outcome(w, n, rc, 0);
}

static int ask(const struct window *w, struct part *p)
{
    struct nigh_space *space = w->many->space;
    p->read = w->ticket;
    return p->count > 1 ? read_l2_many_begin(space, &w->keys[p->from], p->count, &p->read)
                        : read_l2_begin(space, &w->keys[p->from], &p->read);
}

/* Take some parts of an answer, from the i-th on. Returns which is the next. */
static uint32_t take_some(const struct window *w, const struct part *p, uint32_t i,
                          struct l2_answer *answer)
{
    const struct many *m = w->many;
    uint32_t end;
    struct l1_shared *shared =
        read_l2_many_share(m->space, &w->keys[p->from], i, p->count, answer, m->call, &end);
    for (; i < end; i++) {
        uint32_t n = p->from + i;
        uint64_t rejected = 0;
        int rc = read_l2_many_take(m->space, &w->keys[n], i, answer, m->call, shared,
                                   p->read.ticket, &rejected, &m->values[w->indices[n]]);
        set_outcome(w, n, rc, rejected);
    }
    l1_shared_end(shared);
    return end;
}

static void take_many(const struct window *w, struct part *p)
{
    int error;
    struct l2_answer *answer = read_l2_many_wait(w->many->space, p->count, &p->read, &error);
    if (!answer) {
        set_outcomes(w, p, error);
        return;
    }
    for (uint32_t i = 0; i < p->count;)
        i = take_some(w, p, i, answer);
    l2_answer_free(answer);
}

static void take(const struct window *w, struct part *p)
{
    const struct many *m = w->many;
    uint64_t rejected = 0;
    if (p->count > 1) {
        take_many(w, p);
        return;
    }
    int rc = read_l2_end(m->space, &w->keys[p->from], m->call, &p->read, &rejected,
                         &m->values[w->indices[p->from]]);
    set_outcome(w, p->from, rc, rejected);
}

/* Find the next keys that are pending, up to `most`, side by side. False: there is none. */
static bool next_part(const struct window *w, uint32_t most, uint32_t *at, struct part *ret)
{
    const int *outcomes = w->many->outcomes;
    while (*at < w->count && outcomes[w->indices[*at]] != NIGH_PENDING)
        ++*at;
    *ret = (struct part){.from = *at};
    while (*at < w->count && ret->count < most && outcomes[w->indices[*at]] == NIGH_PENDING) {
        ++*at;
        ret->count++;
    }
    return ret->count > 0;
}

/* Ask for all keys that are pending, up to `most` in a request. Keys that are pending afterwards
 * were asked for in vain. */
static void ask_pending(const struct window *w, uint32_t most)
{
    struct part parts[WINDOW_REQUESTS];
    for (uint32_t at = 0; at < w->count;) {
        uint32_t asked = 0;
        while (asked < WINDOW_REQUESTS && next_part(w, most, &at, &parts[asked])) {
            int rc = ask(w, &parts[asked]);
            if (rc == 0)
                asked++;
            else
                set_outcomes(w, &parts[asked], rc);
        }
        for (uint32_t i = 0; i < asked; i++)
            take(w, &parts[i]);
    }
}

static void read_window(struct window *w)
{
    const struct nigh_space *space = w->many->space;
    if (w->count && l2_takes_many(space->cache->l2))
        ask_pending(w, sizes_count(space));
    ask_pending(w, 1);
    w->count = 0;
}

/* Add a missed key to the window. If L2 may not be asked about it, its outcome says so already. */
static void add_missed(struct window *w, uint32_t i)
{
    const struct many *m = w->many;
    struct l1_key *key = &w->keys[w->count];
    *key = many_key(m, i);
    int rc = read_l2_may(m->space, key);
    w->indices[w->count] = i;
    if (rc == 0) {
        m->outcomes[i] = NIGH_PENDING;
        w->count++;
    } else if (m->fetches) {
        m->outcomes[i] = MANY_UNKNOWN; /* L2 may be up by the time that the flight begins */
    } else {
        set_outcome(w, w->count, rc, 0);
    }
}

NIGH_OUTLINED void many_read_l2(const struct many *m)
{
    struct window w = {.many = m};
    read_l2_init(m->space, m->call, &w.ticket);
    for (size_t i = 0; i < m->count; i++) {
        if (m->outcomes[i] == NIGH_MISS)
            add_missed(&w, (uint32_t)i);
        if (w.count == WINDOW_KEYS)
            read_window(&w);
    }
    read_window(&w);
}
