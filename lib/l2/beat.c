// SPDX-License-Identifier: MIT
// Reading the clock: a beat brings the changes after a position, a resync brings all of the clock.
//
// Both are sent whatever is in flight: they are rare, and the trust of every reader hangs on them.

#include "l2/client.h"

#define BEAT_ENTRIES_MAX SCRIPT_LOG_MAX
#define BEAT_ENTRIES_BYTES (2u << 20) /* frames in one beat: within the reader's limit */

/* A guest names no number, which is never the clock's: it makes none, and renews one that it has
 * followed. */
static uint32_t slots_told(const struct l2 *l2)
{
    return l2->guest ? 0 : l2->group_slots;
}

int l2_beat(struct l2 *l2, const struct l2_beat *beat, const struct l2_op *op)
{
    const struct submit submit = submit_of(SCRIPT_BEAT, SUBMIT_BEAT, answer_decode_beat, op);
    struct command c;
    if (script_begin(l2, &c, SCRIPT_BEAT, 4))
        return NIGH_ENOMEM;
    command_bytes(&c, l2->keys.log);
    command_bytes(&c, l2->keys.nil);
    command_bytes(&c, l2->keys.old.clk);
    command_bytes(&c, l2->keys.log_aside);
    script_args(&c);
    command_le64(&c, beat->nonce);
    command_number(&c, slots_told(l2));
    command_number(&c, beat->after_seq);
    command_number(&c, u64_min(beat->limit, BEAT_ENTRIES_MAX));
    command_number(&c, BEAT_ENTRIES_BYTES);
    command_bytes(&c, l2->keys.now.channel);
    command_bytes(&c, beat->frame_head);
    command_bytes(&c, l2->keys.old.channel);
    return submit_queue(l2->home, &c, &submit);
}

int l2_resync(struct l2 *l2, const struct l2_resync *resync, const struct l2_op *op)
{
    const struct submit submit = submit_of(SCRIPT_RESYNC, SUBMIT_BEAT, answer_decode_resync, op);
    struct command c;
    if (script_begin(l2, &c, SCRIPT_RESYNC, 4))
        return NIGH_ENOMEM;
    command_bytes(&c, l2->keys.log);
    command_bytes(&c, l2->keys.nil);
    command_bytes(&c, l2->keys.log_aside);
    command_bytes(&c, l2->keys.old.clk);
    script_args(&c);
    command_le64(&c, resync->nonce);
    command_number(&c, slots_told(l2));
    command_bytes(&c, resync->replid);
    command_le64(&c, resync->id);
    command_number(&c, resync->after_seq);
    command_le64(&c, resync->renew);
    command_bytes(&c, resync->renew_replid);
    return submit_queue(l2->home, &c, &submit);
}
