// SPDX-License-Identifier: MIT
// The commands, and what is said of those that are missing.
//
// The server itself answers (redis.acl_check_cmd, since 7.0): so what was renamed, what an ACL
// forbids, and keys or a channel that it leaves out are all found by one request, which runs none
// of these commands but GETRANGE, to tell where the clock stands.

#include "l2/needs.h"

#include <stdio.h>
#include <string.h>

#include "l2/script.h"

enum argument { CLOCK, CHANNEL, SECTION };
enum purpose { FOR_ALL, FOR_OLD }; /* FOR_OLD: only beside nodes of wire version 1 */

static const struct need {
    const char *command;
    enum argument argument;
    enum purpose purpose;
} needs[] = {
    {"EVALSHA", CLOCK, FOR_ALL},   {"INFO", SECTION, FOR_ALL}, {"TIME", CLOCK, FOR_ALL},
    {"GET", CLOCK, FOR_ALL},       {"GETRANGE", CLOCK, FOR_ALL}, {"SET", CLOCK, FOR_ALL},
    {"SETRANGE", CLOCK, FOR_ALL},  {"DEL", CLOCK, FOR_ALL},    {"PTTL", CLOCK, FOR_ALL},
    {"PEXPIRE", CLOCK, FOR_ALL},   {"XADD", CLOCK, FOR_ALL},   {"XRANGE", CLOCK, FOR_ALL},
    {"PUBLISH", CHANNEL, FOR_ALL}, {"STRLEN", CLOCK, FOR_OLD}, {"EXISTS", CLOCK, FOR_OLD},
    {"RENAME", CLOCK, FOR_OLD},
};

#define FORBIDDEN "NOPERM for "
#define OURS ", or for our keys and channels"

#define CLOCK_BYTES 16u /* id, position */
#define HEAD_ARGS 4u /* EVAL, the text, how many keys, the clock */
_Static_assert(HEAD_ARGS + 2 * ARRAY_COUNT(needs) <= NEEDS_ARGS_MAX, "NEEDS_ARGS_MAX is too low");

uint32_t needs_question(const struct keys *names, struct bytes args[NEEDS_ARGS_MAX])
{
    const struct bytes arguments[] = {
        [CLOCK] = names->now.clk,
        [CHANNEL] = names->now.channel,
        [SECTION] = bytes_of_string("replication"), /* that one is needed; see usage.c */
    };
    uint32_t count = HEAD_ARGS;
    args[0] = bytes_of("EVAL", 4);
    args[1] = script_needs;
    args[2] = bytes_of("1", 1);
    args[3] = names->now.clk;
    for (size_t i = 0; i < ARRAY_COUNT(needs); i++) {
        args[count++] = bytes_of_string(needs[i].command);
        args[count++] = arguments[needs[i].argument];
    }
    return count;
}

/* Writes the commands of which the server has told `mark` into `ret`, with commas between them.
 * Returns whether there are any. */
static bool list(const char *told, char mark, char *ret, size_t size)
{
    size_t len = 0;
    ret[0] = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(needs); i++)
        if (told[i] == mark && needs[i].purpose == FOR_ALL && len < size)
            len += (size_t)snprintf(ret + len, size - len, "%s%s", len ? ", " : "",
                                    needs[i].command);
    return len > 0;
}

/* Advises against a rolling upgrade that would fail. */
static const char *advice_on_old(const char *told)
{
    for (size_t i = 0; i < ARRAY_COUNT(needs); i++)
        if (told[i] != '+' && needs[i].purpose == FOR_OLD)
            return "STRLEN, EXISTS or RENAME is not there, or forbidden (NOPERM): nothing is fresh "
                   "while nodes of wire version 1 share the prefix";
    return NULL;
}

bool needs_are_met(const struct reply *reply, char *problem, size_t size, const char **ret_advice)
{
    char lacks[L2_PROBLEM_BYTES], forbids[L2_PROBLEM_BYTES];
    if (reply->type != REPLY_STRING ||
        (reply->bytes.len != ARRAY_COUNT(needs) && !needs_clock(reply)))
        return true;
    const char *told = reply->bytes.data;
    bool some_lack = list(told, '-', lacks, sizeof(lacks));
    bool some_forbidden = list(told, '!', forbids, sizeof(forbids));
    *ret_advice = advice_on_old(told);
    if (!some_lack && !some_forbidden)
        return true;
    size_t len = 0;
    if (some_lack)
        len = (size_t)snprintf(problem, size, "the server has no %s (rename-command?)", lacks);
    if (some_forbidden && len < size)
        snprintf(problem + len, size - len, "%s" FORBIDDEN "%s" OURS, some_lack ? "; " : "",
                 forbids);
    return false;
}

const uint8_t *needs_clock(const struct reply *reply)
{
    const uint8_t *told = reply->bytes.data;
    bool has = reply->type == REPLY_STRING && reply->bytes.len == ARRAY_COUNT(needs) + CLOCK_BYTES;
    return has ? told + ARRAY_COUNT(needs) : NULL;
}

bool needs_lack(const char *problem, const char *command)
{
    bool first = strncmp(problem, FORBIDDEN, strlen(FORBIDDEN)) == 0;
    const char *from = first ? problem : strstr(problem, "; " FORBIDDEN);
    return from && strstr(from, command);
}
