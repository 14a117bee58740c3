// SPDX-License-Identifier: MIT
/*
 * nigh invalidate --redis: changes of keys, tags, or all, that every node under the prefix hears.
 */
#include "tool/redis.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define TARGETS_MAX 4096u /* in one call */
#define CHANNEL_MS 500u /* to wait for the channel, which a user may not be allowed to hear */

/* Lets the channel come up, too: else it is not known whether this program heard its own change. */
static bool wait_for_channel(const struct redis_node *n, unsigned timeout_ms)
{
    const struct timespec pause = {.tv_nsec = REDIS_LOOK_MS * 1000000L};
    long long end_ms = line_now_ms() + (timeout_ms < CHANNEL_MS ? timeout_ms : CHANNEL_MS);
    while (line_now_ms() < end_ms) {
        if (nigh_stats_value(n->cache, NULL, "listening") == 1)
            return true;
        nanosleep(&pause, NULL);
    }
    return false;
}

/* Says who heard of it (of the last part), and where nobody did why that may be. A status. */
static int say_accepted(const struct redis_node *n, size_t count, bool listens)
{
    int64_t heard = nigh_stats_value(n->cache, NULL, "listeners") - listens;
    printf("accepted: %zu, heard by %" PRId64 "\n", count, heard > 0 ? heard : 0);
    fflush(stdout);
    if (heard > 0)
        return TOOL_DONE;
    redis_look_at_prefix(n);
    fprintf(stderr, "nigh: note: no process listens under the prefix %s in this database: are "
                    "both the right ones?\n", n->prefix);
    return TOOL_REFUSED;
}

/* Says that it was told to nobody, although somebody is there, or may be. */
static int say_deaf(const struct redis_node *n)
{
    fprintf(stderr, "nigh: told to nobody: no node has come to the prefix %s within the time, and ",
            n->prefix);
    if (n->others > 0)
        fprintf(stderr, n->others == 1 ? "%u listens there: is it a node that is stopped?\n"
                                       : "%u listen there: are they nodes that are stopped?\n",
                n->others);
    else if (redis_is_old(n))
        fprintf(stderr, "one of wire version 1 may be there: tell such a process, or its nigh\n");
    else
        fprintf(stderr, "that there is none is not known so soon: --timeout is too short\n");
    return TOOL_DOUBT;
}

/* Tells them in parts. 0, or what the first part that was not accepted met with. */
static int tell_parts(const struct tool_args *args, const struct redis_node *n,
                      const struct nigh_target *targets, size_t count, size_t *ret_told)
{
    struct nigh_call call = NIGH_CALL_INIT;
    call.deadline_ms = args->timeout_ms;
    call.flags = args->soft ? NIGH_SOFT : 0;
    int rc = 0;
    size_t told = 0;
    for (size_t part; rc == 0 && told < count; told += rc == 0 ? part : 0) {
        part = count - told < TARGETS_MAX ? count - told : TARGETS_MAX;
        rc = nigh_invalidate_many(n->cache, targets + told, part, &call);
        if (rc == NIGH_QUEUED && nigh_drain(n->cache, args->timeout_ms) == 0)
            rc = 0;
    }
    *ret_told = told;
    return rc;
}

/* Says what was not accepted, and why. */
static int say_refused(int rc, size_t told, size_t count)
{
    if (told > 0)
        fprintf(stderr, "nigh: of %zu the first %zu were accepted, the others were not\n", count,
                told);
    if (rc != NIGH_QUEUED) {
        redis_fail(nigh_strerror(rc), "");
        return TOOL_REFUSED;
    }
    redis_fail("Redis has not accepted it within the time, and nobody goes on trying", "");
    return TOOL_DOUBT;
}

static int tell(const struct tool_args *args, const struct redis_node *n,
                const struct nigh_target *targets, size_t count)
{
    if (redis_is_nobodys(n) && !n->deserted)
        return say_deaf(n);
    if (redis_is_nobodys(n)) {
        redis_look_at_prefix(n);
        printf("heard by nobody: no node uses the prefix %s, and nothing is stored there\n",
               n->prefix);
        return TOOL_REFUSED;
    }
    size_t told;
    bool listens = wait_for_channel(n, args->timeout_ms);
    int rc = tell_parts(args, n, targets, count, &told);
    if (rc != 0)
        return say_refused(rc, told, count);
    return say_accepted(n, count, listens);
}

static size_t list_targets(const struct tool_args *args, const struct redis_node *n,
                           struct nigh_target *targets)
{
    size_t count = args->all ? 1 : args->count;
    for (size_t i = 0; i < count; i++) {
        targets[i].kind = args->all ? NIGH_TARGET_ALL
                          : args->tags ? NIGH_TARGET_TAG : NIGH_TARGET_KEY;
        targets[i].space = args->all || args->tags ? NULL : n->space;
        targets[i].name = args->all ? NULL : args->words[i];
        targets[i].name_len = args->all ? 0 : redis_length_of(args, args->words[i]);
    }
    return count;
}

int redis_invalidate(const struct tool_args *args)
{
    struct redis_node n = {.cache = NULL};
    bool key = args->space != NULL;
    if (key + args->tags + args->all != 1 || args->all != (args->count == 0)) {
        redis_fail("--space S KEY..., --tag TAG... or --all is wanted", "");
        return TOOL_USAGE;
    }
    struct nigh_target *targets = calloc(args->count + 1, sizeof(*targets));
    int status = targets ? redis_open(args, &n) : TOOL_NOBODY;
    if (status == 0)
        status = tell(args, &n, targets, list_targets(args, &n, targets));
    if (status == 0 && !redis_is_nobodys(&n))
        redis_look_at_space(args, &n, false);
    nigh_close(n.cache);
    free(targets);
    return status;
}
