// SPDX-License-Identifier: MIT
/*
 * Keys by the groups they belong to.
 *
 * A key that a cache may have is on the roll of each of its groups, of its space's and of all
 * (group 0). It does not look for its places there when it leaves: each of them has the key's
 * generation, which is another one from then on. A roll that is full is first rid of such places,
 * and grows if half of it is left: so it has room for four times its members, however often these
 * come and go.
 */
#include "input/lives.h"

#include <nigh/options.h>
#include <string.h>

#include "support/fail.h"

#define NUMBERS 65536u /* of groups, of spaces */
#define ALL     0u     /* the group of all */

#define ROLL_LEAST 4u

struct place {
    uint32_t key, generation;
};

struct roll {
    struct place *places;
    uint32_t count, room;
};

struct groups {
    uint16_t *numbers;
    uint32_t count, room;
};

struct key_life {
    size_t waiting; /* request + 1 that missed, or was stale, and waits for a value; 0: none */
    uint64_t fresh_until_us, stale_until_us; /* of the value that the process has */
    struct life full;                        /* of a value that is new */
    struct groups groups;                    /* but its space's and all; NIGH_TAGS_MAX at most */
    uint32_t generation;                     /* of its places on rolls that count */
    uint16_t space;
    bool has_full;
    bool may_be; /* in a cache of some size; then it is on its groups' rolls */
};

struct lives {
    struct builder *b;
    struct key_life *keys;
    uint32_t count, room;
    struct life last; /* of any new value: for keys that none was seen of */
    bool has_last;
    bool asks_l2;
    uint16_t group_of_space[NUMBERS];
    struct roll members[NUMBERS]; /* of each group */
};

/* ---- rolls ---- */

static bool counts(const struct lives *l, struct place p)
{
    return l->keys[p.key].may_be && l->keys[p.key].generation == p.generation;
}

/* Of a full roll. */
static void make_room(struct lives *l, struct roll *r)
{
    uint32_t kept = 0, room = r->room ? 2 * r->room : ROLL_LEAST;
    for (uint32_t i = 0; i < r->count; i++)
        if (counts(l, r->places[i]))
            r->places[kept++] = r->places[i];
    r->count = kept;
    if (kept < r->room / 2)
        return;
    l->b->other_bytes += (room - r->room) * sizeof(*r->places);
    r->places = must_grow(r->places, room, sizeof(*r->places));
    r->room = room;
}

static void enroll(struct lives *l, uint16_t group, uint32_t number)
{
    struct roll *r = &l->members[group];
    if (r->count == r->room)
        make_room(l, r);
    r->places[r->count++] = (struct place){number, l->keys[number].generation};
}

struct lives *lives_new(struct builder *b)
{
    struct lives *l = must_alloc(1, sizeof(*l));
    l->b = b;
    return l;
}

void lives_free(struct lives *l)
{
    if (!l)
        return;
    for (uint32_t i = 0; i < l->count; i++)
        free(l->keys[i].groups.numbers);
    for (uint32_t i = 0; i < NUMBERS; i++)
        free(l->members[i].places);
    free(l->keys);
    free(l);
}

static struct key_life *life_of(struct lives *l, uint32_t number)
{
    if (number >= l->room) {
        l->b->other_bytes += (2 * number + 1024 - l->room) * sizeof(*l->keys);
        l->room = 2 * number + 1024;
        l->keys = must_grow(l->keys, l->room, sizeof(*l->keys));
    }
    while (l->count <= number)
        l->keys[l->count++] = (struct key_life){0};
    return &l->keys[number];
}

/* ---- groups ---- */

void lives_space(struct lives *l, uint16_t space, uint16_t group)
{
    l->group_of_space[space] = group;
}

/* A cache of some size may have the key from now on. */
static void bring_in(struct lives *l, uint32_t number, uint16_t space)
{
    struct key_life *k = life_of(l, number);
    k->space = space;
    if (k->may_be)
        return;
    k->may_be = true;
    for (uint32_t i = 0; i < k->groups.count; i++)
        enroll(l, k->groups.numbers[i], number);
    if (l->group_of_space[space] != ALL)
        enroll(l, l->group_of_space[space], number);
    enroll(l, ALL, number);
}

static bool belongs(const struct lives *l, const struct key_life *k, uint16_t group)
{
    for (uint32_t i = 0; i < k->groups.count; i++)
        if (k->groups.numbers[i] == group)
            return true;
    return group == ALL || group == l->group_of_space[k->space];
}

static void take_out(struct key_life *k)
{
    k->may_be = false;
    k->generation++;
    k->fresh_until_us = k->stale_until_us = 0;
}

void lives_invalidated(struct lives *l, uint64_t key)
{
    take_out(life_of(l, key_map_number(&l->b->keys, key)));
}

void lives_fall(struct lives *l, uint16_t group, uint64_t at_us)
{
    struct roll *members = &l->members[group];
    for (uint32_t i = 0; i < members->count; i++) {
        uint32_t number = members->places[i].key;
        if (!counts(l, members->places[i]))
            continue;
        take_out(&l->keys[number]);
        builder_change(l->b, &(struct change){.key = number, .at_us = at_us, .size = SIZE_UNKNOWN,
                                              .kind = CHANGE_FELL});
    }
    members->count = 0;
}

static void add_group(struct groups *g, uint16_t group)
{
    if (g->count == g->room) {
        g->room = g->room ? 2 * g->room : ROLL_LEAST;
        g->numbers = must_grow(g->numbers, g->room, sizeof(*g->numbers));
    }
    g->numbers[g->count++] = group;
}

void lives_group_of(struct lives *l, uint64_t key, uint16_t group)
{
    uint32_t number = key_map_number(&l->b->keys, key);
    struct key_life *k = life_of(l, number);
    if (k->groups.count == NIGH_TAGS_MAX || belongs(l, k, group))
        return;
    add_group(&k->groups, group);
    if (k->may_be)
        enroll(l, group, number);
}

/* ---- lifetimes ---- */

static uint32_t ms_left(uint64_t until_us, uint64_t from_us)
{
    uint64_t ms = until_us > from_us ? (until_us - from_us) / 1000 : 0;
    return ms < LIFE_FOREVER ? (uint32_t)ms : LIFE_FOREVER - 1;
}

/* What a miss would bring that the process did not have. */
static struct life would_bring(const struct lives *l, const struct key_life *k, uint64_t at_us)
{
    struct life left = {ms_left(k->fresh_until_us, at_us), 0};
    left.stale_ms = ms_left(k->stale_until_us, at_us) - left.fresh_ms;
    if (l->asks_l2 && (left.fresh_ms || left.stale_ms))
        return left;
    return k->has_full   ? k->full
           : l->has_last ? l->last
                         : (struct life){LIFE_FOREVER, 0};
}

void lives_request(struct lives *l, uint64_t key, uint16_t space, uint64_t at_us, bool waits)
{
    struct trace *t = &l->b->in->trace;
    uint32_t number = key_map_number(&l->b->keys, key);
    struct key_life *k = life_of(l, number);
    t->lives[t->count - 1] = would_bring(l, k, at_us);
    k->waiting = waits ? t->count : k->waiting;
    bring_in(l, number, space);
}

/* The request that waited for the value has brought it. If it had a stale one, whoever replays it
 * may know of no reason for that (a group that fell softly): it brings the value all the same. */
static void settle(struct lives *l, struct key_life *k, struct life life)
{
    struct trace *t = &l->b->in->trace;
    if (!k->waiting)
        return;
    t->lives[k->waiting - 1] = life;
    k->waiting = 0;
}

void lives_value(struct lives *l, uint64_t key, uint16_t space, uint64_t at_us, struct life life,
                 enum lives_by by)
{
    uint32_t number = key_map_number(&l->b->keys, key);
    struct key_life *k = life_of(l, number);
    take_out(k); /* of the groups that its last value had */
    k->groups.count = 0;
    k->fresh_until_us = life_end_us(at_us, life, false);
    k->stale_until_us = life_end_us(at_us, life, true);
    l->asks_l2 |= by == LIVES_BY_L2;
    if (by != LIVES_BY_L2 || !k->has_full) {
        k->full = l->last = life;
        k->has_full = l->has_last = true;
    }
    settle(l, k, life);
    bring_in(l, number, space);
}
