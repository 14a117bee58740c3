/* SPDX-License-Identifier: MIT */
/*
 * The queued items, each with the value that its key is to be set to and with who waits for
 * it. Private to queue.c, which puts and asks, and batch.c, which takes out.
 *
 * Under the queue lock:
 *   - A thing named has one item, which is in the table (by its wire hash) and in the line (oldest
 *     first); `count` is how many are.
 *   - The item of ALL always exists. It is in both while `queued`.
 *   - Only the keeper takes items out, when they were accepted: what a batch points to stays.
 *   - Items are numbered as they come; `late` of them have a number up to `late_to`, but one that
 *     was accepted and stays gets a new number.
 *   - An item has one value at most, the last; `value_bytes` is the sum of their lengths. A script
 *     has a reference of its own to a value, so that it can be replaced meanwhile.
 */
#ifndef NIGH_COHERENCE_QUEUED_H
#define NIGH_COHERENCE_QUEUED_H

#include "coherence/queue.h"

/* Keys: (c) constant while queued  (q) queue lock */
struct coherence_queue_item {
    struct coherence_queue_item *chain; /* (q) next under the same head */
    struct coherence_queue_item *prev;  /* (q) */
    struct coherence_queue_item *next;  /* (q) */
    uint64_t hash;                      /* (c) wire hash */
    uint64_t number;                    /* (q) by which it is known whether it waits for long */
    uint64_t since_ns;                  /* (q) since when the first change of it has waited ... */
    uint64_t again_ns;                  /* (q) ... and the first after the attempt on its way */
    uint64_t made_ns;                   /* (q) when the last change was made of what waits */
    enum wire_kind kind;                /* (c) */
    bool queued;                        /* (q) false: the item of ALL, at rest */
    bool sent;                          /* (q) an attempt that covers it is on its way */
    bool soft;                          /* (q) */
    bool noted;                         /* (q) queued only to be told again: `recent` has it */
    uint64_t version;                   /* (q) */
    uint64_t own;                       /* (q) stamp of the value's entry in L1; 0: none */
    struct coherence_value *value;      /* (q) what the key is set to; NULL: it is deleted */
    struct coherence_waiter *waiters;   /* (q) for the attempt on its way, or the next */
    struct coherence_waiter *later;     /* (q) for the one after it */
    uint32_t space_len;                 /* (c) */
    uint32_t bytes_len;                 /* (c) */
    uint8_t text[];                     /* (c) space, bytes */
};

/* A value in the background: a copy. */
struct coherence_value {
    uint32_t refs;                   /* (q) the item's, a batch's */
    bool tried;                      /* (q) a script has taken it; none after that may */
    enum l2_change_mode mode;        /* (c) */
    uint64_t token;                  /* (c) */
    uint64_t version;                /* (c) */
    uint64_t due_ns;                 /* (c) given up then */
    uint64_t identity;               /* (c) of the clock that it was put under */
    uint32_t hard_ms;                /* (c) */
    struct coherence_schema *schema; /* (c) */
    size_t len;                      /* (c) */
    uint8_t envelope[];              /* (c) */
};

/* Copies a value, to be given up at `due_ns`. NULL: no memory. */
struct coherence_value *queued_value_create(struct coherence *c, const struct coherence_write *w,
                                            uint64_t version, uint64_t due_ns);
void queued_value_unref_locked(struct coherence *c, struct coherence_value *v)
    REQUIRES(c->queue->lock);

/* Makes an item that is not linked yet. NULL: no memory. */
struct coherence_queue_item *queued_create(struct coherence *c, const struct coherence_item *item);
/* Frees one that is not linked any more. */
void queued_free(struct coherence *c, struct coherence_queue_item *i);
/* Returns what the item names. Its bytes stay while it does. */
struct coherence_item queued_named(const struct coherence_queue_item *i);
/* Lets go of what the key was to be set to, and of the stamp that it has here. */
void queued_drop_value_locked(struct coherence *c, struct coherence_queue_item *i)
    REQUIRES(c->queue->lock);

/* Returns the item of what is named, NULL: none. Not that of ALL. */
struct coherence_queue_item *queued_find_locked(struct coherence_queue *q,
                                                const struct coherence_item *item)
    REQUIRES(q->lock);
bool queued_has_hash_locked(struct coherence_queue *q, uint64_t hash) REQUIRES(q->lock);
/* `item`: for its times. */
void queued_link_locked(struct coherence_queue *q, struct coherence_queue_item *i,
                        const struct coherence_item *item)
    REQUIRES(q->lock);
void queued_unlink_locked(struct coherence_queue *q, struct coherence_queue_item *i)
    REQUIRES(q->lock);
/* Takes an item that was accepted from those that wait since a failure; if it stays, for it was
 * named again, it is a new one. Returns whether it was one of them. */
bool queued_accepted_locked(struct coherence_queue *q, struct coherence_queue_item *i)
    REQUIRES(q->lock);

/* Moves all that wait in `list` to `told`, with this outcome: for coherence_waiters_tell(). */
void queued_tell_locked(struct coherence_waiter **told, struct coherence_waiter **list,
                        int outcome);

#endif
