/* SPDX-License-Identifier: MIT */
/*
 * A value on its way in by the host's hand, put or write: built once, used for the envelope and for
 * the L1 entry.
 *
 * Where it ends is one of two: a change of the truth, which every node hears of, or a fenced fill
 * of a miss, which tells nobody anything new.
 */
#ifndef NIGH_CACHE_WRITING_H
#define NIGH_CACHE_WRITING_H

#include "cache/cache.h"
#include "cache/fill.h"

struct writing {
    struct nigh_space *space;
    struct l1_key key;
    struct bytes value;
    uint64_t ticket;
    uint64_t version;
    uint32_t soft_ms;
    uint32_t stale_ms;
    struct coherence_position position; /* in Redis, with the ticket */
    uint64_t home;
    uint64_t token;
    bool absent;                        /* "does not exist": no value, and not stale at its end */
    bool only_newer;                    /* L1 takes no version that it has */
    bool refused;                       /* L1 has something newer */
    bool full;                          /* L1 has no room, and does not make any */
    uint32_t group_count;
    struct nigh_fill tags;              /* only its list of group hashes; set if there are any */
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

/* Whether Redis may have the value, as far as its size goes: L1's limit is looked at elsewhere. */
bool writing_fits_l2(struct writing *w);
/* An envelope in general memory (*ret_size bytes), or NULL. */
void *writing_envelope(const struct writing *w, size_t *ret_size);
/* Its lifetime in Redis. */
uint32_t writing_hard_ms(const struct writing *w);

/* Tell Redis and every node: the key's value is `mode`d with the envelope, or deleted. Returns what
 * coherence_change() does. */
int writing_change(struct writing *w, enum l2_change_mode mode, const struct nigh_call *call);
/* Without Redis the local step is the whole change. */
void writing_change_l1_only(struct writing *w, bool keep);

#endif
