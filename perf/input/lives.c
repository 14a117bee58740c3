// SPDX-License-Identifier: MIT
/*
 * Keys by the groups they belong to.
 *
 * A key that a cache may have is in the list of each of its groups, of its space's and of all
 * (group 0). It may be in a list twice, or in one that it has left: who empties a list asks the
 * key.
 */
#include "input/lives.h"

#include <nigh/options.h>
#include <string.h>

#include "support/fail.h"

#define NUMBERS 65536u /* of groups, of spaces */
#define ALL     0u     /* the group of all */

struct list {
    uint32_t *items;
    uint32_t count, room;
};

struct key_life {
    size_t waiting; /* request + 1 that missed, or was stale, and waits for a value; 0: none */
    uint64_t fresh_until_us, stale_until_us; /* of the value that the process has */
    struct life full;                        /* of a value that is new */
    struct list groups;                      /* but its space's and all; NIGH_TAGS_MAX at most */
    uint16_t space;
    bool has_full;
    bool may_be; /* in a cache of some size; then it is in its groups' lists */
};

struct lives {
    struct builder *b;
    struct key_life *keys;
    uint32_t count, room;
    struct life last; /* of any new value: for keys that none was seen of */
    bool has_last;
    bool asks_l2;
    uint16_t group_of_space[NUMBERS];
    struct list members[NUMBERS]; /* of each group */
};

static void list_add(struct list *l, uint32_t item)
{
    if (l->count == l->room) {
        l->room = l->room ? 2 * l->room : 4;
        l->items = must_grow(l->items, l->room, sizeof(*l->items));
    }
    l->items[l->count++] = item;
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
        free(l->keys[i].groups.items);
    for (uint32_t i = 0; i < NUMBERS; i++)
        free(l->members[i].items);
    free(l->keys);
    free(l);
}

static struct key_life *life_of(struct lives *l, uint32_t number)
{
    if (number >= l->room) {
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
        list_add(&l->members[k->groups.items[i]], number);
    if (l->group_of_space[space] != ALL)
        list_add(&l->members[l->group_of_space[space]], number);
    list_add(&l->members[ALL], number);
}

static bool belongs(const struct lives *l, const struct key_life *k, uint16_t group)
{
    for (uint32_t i = 0; i < k->groups.count; i++)
        if (k->groups.items[i] == group)
            return true;
    return group == ALL || group == l->group_of_space[k->space];
}

static void take_out(struct key_life *k)
{
    k->may_be = false;
    k->fresh_until_us = k->stale_until_us = 0;
}

void lives_invalidated(struct lives *l, uint64_t key)
{
    take_out(life_of(l, key_map_number(&l->b->keys, key)));
}

void lives_fall(struct lives *l, uint16_t group, uint64_t at_us)
{
    struct list *members = &l->members[group];
    for (uint32_t i = 0; i < members->count; i++) {
        struct key_life *k = &l->keys[members->items[i]];
        if (!k->may_be || !belongs(l, k, group))
            continue;
        take_out(k);
        builder_change(l->b, &(struct change){.key = members->items[i], .at_us = at_us,
                                              .size = SIZE_UNKNOWN, .kind = CHANGE_FELL});
    }
    members->count = 0;
}

void lives_group_of(struct lives *l, uint64_t key, uint16_t group)
{
    uint32_t number = key_map_number(&l->b->keys, key);
    struct key_life *k = life_of(l, number);
    if (k->groups.count == NIGH_TAGS_MAX || belongs(l, k, group))
        return;
    list_add(&k->groups, group);
    if (k->may_be)
        list_add(&l->members[group], number);
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
