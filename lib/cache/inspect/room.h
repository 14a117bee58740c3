/* SPDX-License-Identifier: MIT */
/*
 * How full L1 is at this moment, for people who ask whether its cap is too small: by which cap, and
 * whether anything had to go for it lately.
 *
 * Both have to hold now. What was evicted within the last minute says nothing of a cap that was
 * raised ten seconds ago.
 */
#ifndef NIGH_CACHE_INSPECT_ROOM_H
#define NIGH_CACHE_INSPECT_ROOM_H

#include "cache/cache.h"

struct room {
    const char *cap; /* the option that is nearest to its limit */
    bool by_count;   /* of values, else of bytes */
    uint64_t used, most;
    uint64_t tables; /* of the bytes used: what no value has */
    bool is_full;    /* all but an eighth */
};

/* Look at the table that has the values of the space, and at l1.memory, which has all tables. */
void room_look(const struct nigh_space *space, struct room *ret);
/* Returns how long ago the space last had something evicted, or refused for want of room; to a
 * second or two. UINT64_MAX: never. */
uint64_t room_wanted_ago_ns(const struct nigh_space *space);
/* Whether that is so at present. */
bool room_is_wanted(const struct nigh_space *space);
/* Say how much is used: "3.7 of 4.0 MiB of l1.memory, 1.2 of it tables". */
void room_say(struct text *w, const struct room *room);

#endif
