// SPDX-License-Identifier: MIT
// Reading the clock: the beat brings what followed a position, the resync brings all of it.
//
// Both pass the breaker: they are rare, the trust of every reader hangs on them, and a good
// answer closes the breaker again.

#include "l2/client.h"

#define BEAT_ENTRIES_MAX SCRIPT_LOG_MAX
#define BEAT_ENTRIES_BYTES (2u << 20) /* of frames in one beat: within the reader's limit */

/* Both scripts begin alike. */
static int begin(struct l2 *l2, struct command *c, enum script_id id, uint32_t more_args,
                 uint64_t new_id)
{
    size_t scratch = 8 + (1 + more_args) * COMMAND_NUMBER_BYTES;
    int failed = script_begin(l2, c, id, 3, 2 + more_args, scratch);
    if (failed)
        return failed;
    command_bytes(c, l2->keys.clk);
    command_bytes(c, l2->keys.log);
    command_bytes(c, l2->keys.nil);
    command_le64(c, new_id);
    command_number(c, l2->clk_bytes);
    return 0;
}

int l2_beat(struct l2 *l2, uint64_t after_seq, uint32_t limit, uint64_t new_id,
            const struct l2_op *op)
{
    const struct submit submit = {
        .op = op,
        .decode = answer_decode_beat,
        .script = &script_table[SCRIPT_BEAT],
        .always = true,
    };
    struct command c;
    if (begin(l2, &c, SCRIPT_BEAT, 3, new_id))
        return NIGH_ENOMEM;
    command_number(&c, after_seq);
    command_number(&c, u64_min(limit, BEAT_ENTRIES_MAX));
    command_number(&c, BEAT_ENTRIES_BYTES);
    return pipeline_submit(l2, &c, &submit);
}

int l2_resync(struct l2 *l2, uint64_t new_id, const struct l2_op *op)
{
    const struct submit submit = {
        .op = op,
        .decode = answer_decode_script,
        .script = &script_table[SCRIPT_RESYNC],
        .always = true,
    };
    struct command c;
    if (begin(l2, &c, SCRIPT_RESYNC, 0, new_id))
        return NIGH_ENOMEM;
    return pipeline_submit(l2, &c, &submit);
}
