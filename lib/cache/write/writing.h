/* SPDX-License-Identifier: MIT */
/*
 * A value that the host puts or writes, with what L1 said of it.
 *
 * It ends in one of two ways: as a change of the truth, which every node hears of, or as a fenced
 * fill of a miss, which tells nobody anything new.
 */
#ifndef NIGH_CACHE_WRITE_WRITING_H
#define NIGH_CACHE_WRITE_WRITING_H

#include "cache/value/draft.h"
#include "cache/value/tags.h"

struct writing {
    struct draft draft;
    struct tags tags; /* the draft's */
    bool only_newer;  /* L1 refuses a version that it has already */
    bool keeps;       /* L1 stores it though Redis does not */
    bool refused;     /* L1 has something newer ... */
    bool outdated;    /* ... of a version that is known */
    bool put;         /* by its local step: stored by Redis, or where that has none of the space's
                       * values, not kept out by a version */
    bool full;        /* L1 has no room, and does not make any */
};

/* Begin a put or write, and take its ticket; `call` may be NULL. Errors: NIGH_EVALUE, NIGH_EINVAL
 * or NIGH_ETAGS for its tags, NIGH_ENOMEM. */
int writing_init(struct writing *w, struct nigh_space *space, const void *key, size_t key_len,
                 struct bytes value, const struct nigh_call *call);
void writing_fini(struct writing *w);
/* Take the ticket anew, before the commit of a write that had to wait: what was invalidated in the
 * meantime was older. */
void writing_look_anew(struct writing *w);
/* Set the lifetimes by the call and the space's rules; again when the value turns out to be an
 * absence. */
void writing_set_lifetimes(struct writing *w, const struct nigh_call *call);

/* Do a whole put where L1 is all there is: of a value within the space's limit, by a call that says
 * nothing else about it. Returns what nigh_put() does. */
int writing_put_plain(struct nigh_space *space, const void *key, size_t key_len,
                      struct bytes value);
/* Returns what nigh_put() does, for a put that took the long path. */
static inline int writing_outcome(const struct writing *w)
{
    return w->refused ? NIGH_REFUSED : w->full ? NIGH_EFULL : 0;
}

/* Fill L1, fenced by the ticket. L1 need not have the value: no memory and a value over the limit
 * are no failure. */
void writing_fill_l1(struct writing *w);

/* Returns the name of its key, as changes have it, made now. */
struct coherence_item writing_item(const struct writing *w);
/* Do its local step: coherence_change.local_key. Notes whether the value is `put`. */
uint64_t writing_settle(struct writing *w, const struct coherence_item *item, bool stored,
                        struct coherence_heard heard);
/* Describe its value to Redis; the envelope is to be freed with writing_value_free(). The mode is
 * L2_DELETE where there is no memory for it, and where values stay out of Redis: then the value
 * `keeps`, in the local step. */
struct coherence_write writing_value(struct writing *w, enum l2_change_mode mode);
/* Whether there was no memory for that, though `mode` asked for a value. */
static inline bool writing_value_lost(const struct writing *w, enum l2_change_mode mode,
                                      const struct coherence_write *value)
{
    return value->mode != mode && !w->keeps;
}
void writing_value_free(const struct writing *w, struct coherence_write *value);
/* Change the key in Redis, and tell every node: its value is set to the envelope, as `mode` says,
 * or deleted; in a space whose values stay out of Redis it enters L1 alone. Returns what
 * coherence_change() does; NIGH_ENOMEM for the value of a put: nothing was done. That of a writer,
 * which has committed (L2_SET_TOKEN), is deleted then. */
int writing_change(struct writing *w, enum l2_change_mode mode, const struct nigh_call *call);
/* Do the same in the background: `waiter`, if there is one, is told when Redis has accepted it. A
 * value that is not accepted by the call's deadline, else within coherence.trust, is deleted
 * instead. Returns NIGH_QUEUED; NIGH_EBUSY: nothing was done; NIGH_ENOMEM. */
int writing_change_behind(struct writing *w, enum l2_change_mode mode,
                          const struct nigh_call *call, struct coherence_waiter *waiter);
/* Change the key where there is no Redis: the local step is the whole change. */
void writing_change_l1_only(struct writing *w, bool keep);

#endif
