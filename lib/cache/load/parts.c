// SPDX-License-Identifier: MIT
/*
 * Parts of an answer.
 *
 * The answer is freed by the last who has taken a part. A load that has landed meanwhile is told
 * all the same: what it has asked for may have been granted.
 */
#include "cache/load/parts.h"

/* The place of a load for which there was no memory to ask. */
#define UNASKED UINT32_MAX

struct parts *parts_create(struct nigh *cache, enum parts_about about)
{
    struct parts *p = mem_alloc(cache->env.mem, NULL, sizeof(*p));
    if (!p)
        return NULL;
    p->cache = cache;
    p->about = about;
    p->answer = NULL;
    p->count = 0;
    return p;
}

void parts_add(struct parts *p, struct load *l, uint32_t place)
{
    l->place = place;
    p->loads[p->count++] = l;
}

static void unref(struct parts *p)
{
    /* pair(parts.refs): release what each has read, acquire it all as the last */
    if (atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (p->answer)
        l2_answer_free(p->answer);
    mem_free(p->cache->env.mem, NULL, p, sizeof(*p));
}

void parts_tell(struct parts *p, struct l2_answer *answer,
                void (*post)(struct flight *f, uint32_t events))
{
    p->answer = answer;
    atomic_init(&p->refs, p->count + 1);
    for (uint32_t i = 0; i < p->count; i++) {
        struct load *l = p->loads[i];
        struct flight *f = l->flight;
        l->parts = p;
        post(f, FLIGHT_EV_REPLY);
        flight_unref(f);
    }
    unref(p);
}

void parts_refuse(struct load *l)
{
    struct flight *f = l->flight;
    l->place = UNASKED;
    flight_post(f, FLIGHT_EV_REPLY);
    flight_unref(f);
}

static void read_part(const struct parts *p, uint32_t i, struct l2_answer *ret)
{
    if (p->about == PARTS_LEASES) {
        ret->verdict = l2_lease_at(p->answer, i, &ret->value, &ret->held_ms);
    } else if (p->about == PARTS_FILLS) {
        ret->verdict = l2_fill_at(p->answer, i);
    } else {
        ret->verdict = l2_answer_at(p->answer, i, &ret->value);
        ret->home = l2_home_at(p->answer, i);
    }
}

bool parts_take(struct load *l, struct l2_answer *ret)
{
    struct parts *p = l->parts;
    if (!p && l->place != UNASKED)
        return false;
    *ret = (struct l2_answer){.status = NIGH_ENOMEM};
    if (p && p->answer)
        *ret = *p->answer;
    else
        l->lease = LOAD_LEASE_NONE; /* it was not asked for: there is nothing to give back */
    if (ret->status == 0)
        read_part(p, l->place, ret);
    return true;
}

void parts_end(struct load *l)
{
    struct parts *p = l->parts;
    l->parts = NULL;
    l->place = 0;
    if (p)
        unref(p);
}
