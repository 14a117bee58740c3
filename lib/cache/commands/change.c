// SPDX-License-Identifier: MIT
/*
 * The command invalidate: its words are targets.
 */
#include "cache/commands/command.h"

/* Says how many heard of it beside this process: where nobody did and somebody should have, the
 * prefix or the database is not theirs. */
static void say_accepted(struct command *c)
{
    int64_t own = nigh_stats_value(c->cache, NULL, "listening");
    int64_t others = nigh_stats_value(c->cache, NULL, "listeners") - own;
    if (c->cache->l2)
        control_print(c->reply, "ok: heard by %lld %s\n", others > 0 ? (long long)others : 0,
                      others == 1 ? "other" : "others");
    else
        control_print(c->reply, "ok\n");
}

static void invalidate(struct command *c, const struct nigh_target *targets, uint32_t n, bool soft)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.flags = soft ? NIGH_SOFT : 0;
    int rc = nigh_invalidate_many(c->cache, targets, n, &call);
    if (rc == 0)
        say_accepted(c);
    else if (rc == NIGH_QUEUED)
        control_print(c->reply, "queued: done here, the others are told once redis accepts it\n");
    else
        command_fail(c, rc);
}

/* Fills in the targets that the words name. Returns how many; 0: an error has been answered. Who
 * says soft wants old values kept, and that of a key is not: that is refused. */
static uint32_t read_targets(struct command *c, bool soft, struct nigh_target *targets)
{
    static const char *const kinds[] = {"key", "tag", "space", "all"};
    uint32_t kind = 0;
    uint32_t first = 1;
    while (kind < ARRAY_COUNT(kinds) && !command_is_word(c->words[0], kinds[kind]))
        kind++;
    struct nigh_target t = {.kind = (enum nigh_target_kind)(kind + NIGH_TARGET_KEY)};
    if (soft && t.kind == NIGH_TARGET_KEY) {
        control_error(c->reply, "soft is for tags, spaces and all: a key that is invalidated is "
                                "gone");
        return 0;
    }
    bool of_space = t.kind == NIGH_TARGET_KEY && c->count > 2;
    if (of_space && !(t.space = command_space(c, c->words[first++])))
        return 0;
    if (kind == ARRAY_COUNT(kinds) || (t.kind == NIGH_TARGET_ALL) != (c->count == 1) ||
        (t.kind == NIGH_TARGET_KEY && c->count < 3)) {
        control_error(c->reply, "key SPACE KEY..., tag TAG..., space SPACE... or all is wanted");
        return 0;
    }
    uint32_t n = 0;
    targets[n] = t;
    for (uint32_t i = first; i < c->count; i++) {
        t.name = c->words[i].data;
        t.name_len = c->words[i].len;
        if (t.kind == NIGH_TARGET_SPACE && !(t.space = command_space(c, c->words[i])))
            return 0;
        targets[n++] = t;
    }
    return n ? n : 1;
}

void command_invalidate(struct command *c)
{
    struct nigh_target *targets = c->commands->targets;
    bool soft = c->count > 1 && command_is_word(c->words[0], "soft");
    c->words += soft;
    c->count -= soft;
    uint32_t n = read_targets(c, soft, targets);
    if (n > 0)
        invalidate(c, targets, n, soft);
}
