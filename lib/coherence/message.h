/* SPDX-License-Identifier: MIT */
/*
 * The frame: what nodes tell each other over the channel and in the log. Private to coherence.
 *
 *   head   "nf" | u8 version | u8 0
 *   stamp  replid (40) | id (8) | u64 seq | u64 previous nonce | u64 nonce
 *                                              filled in by the script; seq 0: a fill frame
 *   tail   u64 incarnation | u64 call | u32 count | count x item
 *   call   u48 number | u16 for how long the oldest item had waited, in tenths of a second
 *   item   u8 kind | u8 flags (1 soft) | u8 space length | u8 0 | u32 length | u64 version
 *          | space | bytes
 *
 * Little-endian. A frame is judged as a whole before anything of it is used: a bad one is never
 * half applied. Decoding is in place and allocates nothing.
 */
#ifndef NIGH_COHERENCE_MESSAGE_H
#define NIGH_COHERENCE_MESSAGE_H

#include "coherence/coherence.h"

#define COHERENCE_ITEMS_MAX 4096u
#define COHERENCE_HEAD_BYTES 4u
#define COHERENCE_TAIL_BYTES 20u /* without items */
#define COHERENCE_ITEM_BYTES 16u /* without its strings */

struct coherence_message {
    uint64_t identity;         /* the stamping clock's: hash(replid, id) */
    uint64_t sequence;         /* 0: a fill frame */
    uint64_t previous;         /* nonce of the change before it */
    uint64_t nonce;            /* nonce of this change */
    uint64_t incarnation;      /* the sending node's */
    uint64_t call;             /* names the call among those of that node */
    uint32_t item_count;       /* items not yet taken */
    struct byte_reader reader; /* where they are */
};

/* False: not a frame, or not one of ours in any detail; `ret` untouched. */
bool coherence_message_decode(struct bytes frame, struct coherence_message *ret);
/* Whether a frame of wire version 1 was written by one of its nodes, not by us for them. */
bool coherence_message_of_old_node(struct bytes frame);
/* The next item, pointing into the frame. False: there is no other. */
bool coherence_message_next(struct coherence_message *m, struct coherence_item *ret);

/* Returns what names a call: its number, which the node counts, and for how long the oldest of its
 * items has waited. Builds that know of no waiting take the whole of it for the number. */
uint64_t coherence_call(uint64_t number, uint64_t waited_ms);
/* Returns how long that is: rounded down to a tenth of a second, an hour and 49 minutes at most
 * (COHERENCE_WAITED_MOST_MS). */
uint64_t coherence_call_waited_ms(uint64_t call);

struct bytes coherence_message_head(void);
size_t coherence_tail_size(const struct coherence_item *items, uint32_t count);
void coherence_tail_encode(void *buffer, uint64_t incarnation, uint64_t call,
                           const struct coherence_item *items, uint32_t count);

/* Wire hash of what an item names; fields that its kind does not use are left out. */
uint64_t coherence_item_hash(const struct coherence_item *item);
/* Slot of a TAG, SPACE or ALL item. */
uint16_t coherence_item_slot(const struct coherence_item *item, uint32_t group_slots);

#endif
