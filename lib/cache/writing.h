/* SPDX-License-Identifier: MIT */
/*
 * A value that comes by the host's hand, put or write, with what L1 said of it.
 *
 * Where it ends is one of two: a change of the truth, which every node hears of, or a fenced fill
 * of a miss, which tells nobody anything new.
 */
#ifndef NIGH_CACHE_WRITING_H
#define NIGH_CACHE_WRITING_H

#include "cache/draft.h"
#include "cache/tags.h"

struct writing {
    struct draft draft;
    struct tags tags; /* the draft's */
    bool only_newer;  /* L1 takes no version that it has */
    bool refused;     /* L1 has something newer */
    bool full;        /* L1 has no room, and does not make any */
};

/* Begin one, its ticket with it; `call` may be NULL. Errors: NIGH_EVALUE, NIGH_EINVAL or NIGH_ETAGS
 * for its tags, NIGH_ENOMEM. */
int writing_init(struct writing *w, struct nigh_space *space, const void *key, size_t key_len,
                 struct bytes value, const struct nigh_call *call);
void writing_fini(struct writing *w);
/* By the call and the space's rules; again when it turns out to be an absence. */
void writing_set_lifetimes(struct writing *w, const struct nigh_call *call);

/* All of a put where L1 is all there is, of a value within the space's limit, that says nothing
 * else about it. Returns what nigh_put() does. */
int writing_put_plain(struct nigh_space *space, const void *key, size_t key_len,
                      struct bytes value);
/* What that says of one that went the long way. */
static inline int writing_outcome(const struct writing *w)
{
    return w->refused ? NIGH_REFUSED : w->full ? NIGH_EFULL : 0;
}

/* A fenced fill of L1, which need not have it: no memory and a value over its limit are no
 * failure. */
void writing_fill_l1(struct writing *w);

/* Tell Redis and every node: the key's value is `mode`d with the envelope, or deleted. Returns what
 * coherence_change() does. */
int writing_change(struct writing *w, enum l2_change_mode mode, const struct nigh_call *call);
/* Without Redis the local step is the whole change. */
void writing_change_l1_only(struct writing *w, bool keep);

#endif
