// SPDX-License-Identifier: MIT
// What a server is asked whether it has, against what the scripts call; and what is made of its
// answers.

#include "l2/needs.h"

#include <stdio.h>

#include "l2/info.h"
#include "l2/script.h"
#include "support/check.h"
#include "support/redis.h"

static const struct keys names = {.now = {.clk = {"CLOCK", 5}, .channel = {"CHANNEL", 7}}};

static struct bytes args[NEEDS_ARGS_MAX];
static uint32_t count;

static bool asks_for(const char *command, size_t len)
{
    for (uint32_t i = 4; i < count; i += 2)
        if (bytes_equal(args[i], bytes_of(command, len)))
            return true;
    return false;
}

/* Checks the commands that a text calls: a word in capitals behind `call`. */
static unsigned check_calls(struct bytes text, const char *call)
{
    unsigned found = 0;
    const char *at = text.data, *end = at + text.len;
    while ((at = memmem(at, (size_t)(end - at), call, strlen(call)))) {
        at += strlen(call);
        size_t len = strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ");
        if (len > 0 && !CHECK(asks_for(at, len)))
            check_note("%.*s", (int)len, at);
        found += len > 0;
    }
    return found;
}

TEST(every_command_of_the_scripts_is_asked_for)
{
    unsigned found = 0;
    count = needs_question(&names, args);
    for (int i = 0; i < SCRIPT_COUNT; i++) {
        found += check_calls(script_table[i].text, "call('");
        found += check_calls(script_table[i].text, "{'"); /* of a call that is made twice */
    }
    CHECK_GT(found, 50);
    CHECK(asks_for("EVALSHA", 7));
    CHECK(asks_for("GET", 3));
}

TEST(the_question_names_the_clock_and_the_channel)
{
    count = needs_question(&names, args);
    CHECK_MEM(args[0].data, args[0].len, "EVAL", 4);
    CHECK_MEM(args[3].data, args[3].len, "CLOCK", 5);
    for (uint32_t i = 4; i < count; i += 2) {
        bool channel = bytes_equal(args[i], bytes_of("PUBLISH", 7));
        bool info = bytes_equal(args[i], bytes_of("INFO", 4));
        CHECK(bytes_equal(args[i + 1], channel ? names.now.channel
                                       : info  ? bytes_of("replication", 11)
                                               : names.now.clk));
    }
}

/* What Redis 8 has in the place of acl_check_cmd(), for some commands. */
#define COUNTS_ARGUMENTS                                                                        \
    "local takes = {TIME = {0, 0}, GET = {1, 1}, SETRANGE = {3, 3}, XADD = {4, 99}}\n"           \
    "local pcall_of = redis.pcall\n"                                                            \
    "local redis = {pcall = pcall_of, acl_check_cmd = function(name, ...)\n"                     \
    "    local range, count = takes[name], select('#', ...)\n"                                   \
    "    if not range then error('ERR Invalid command') end\n"                                   \
    "    if count < range[1] or count > range[2] then error('ERR Wrong number') end\n"           \
    "    return name ~= 'GET'\n"                                                                 \
    "end}\n"

TEST(a_server_that_counts_arguments_has_what_it_has)
{
    struct redis server;
    char text[4096];
    int len = snprintf(text, sizeof(text), "%s%.*s", COUNTS_ARGUMENTS, (int)script_needs.len,
                       (const char *)script_needs.data);
    redis_start(&server, NULL);
    char *told = redis_command(
        &server, "EVAL %b 1 k TIME k GET k SETRANGE k XADD k NONE k", text, (size_t)len);
    CHECK_STR(told, "+!++-");
    free(told);
    redis_stop(&server);
}

/* The name of the clock may be another application's: what stands there is no clock then, and hides
 * nothing of what is missing. */
TEST(a_clock_that_is_none_is_left_out)
{
    static const char *const values[] = {"", "short", "0123456789abcdef", "0123456789abcdef, more"};
    struct redis server;
    redis_start(&server, NULL);
    for (size_t i = 0; i < ARRAY_COUNT(values); i++) {
        free(redis_command(&server, "SET k %s", values[i]));
        char *told = redis_command(&server, "EVAL %b 1 k GET k", script_needs.data,
                                   (size_t)script_needs.len);
        CHECK_STR(told, strlen(values[i]) < 16 ? "+" : "+0123456789abcdef");
        free(told);
    }
    free(redis_command(&server, "DEL k"));
    free(redis_command(&server, "LPUSH k v"));
    char *told = redis_command(&server, "EVAL %b 1 k GET k", script_needs.data,
                               (size_t)script_needs.len);
    CHECK_STR(told, "+");
    free(told);
    redis_stop(&server);
}

/* ---- answers ---- */

static char problem[L2_PROBLEM_BYTES];
static const char *advice;

/* Whether a server will do that says `mark` of these commands (NULL-ended), and yes of the rest. */
static bool is_met(char mark, const char *const commands[])
{
    char told[NEEDS_ARGS_MAX];
    count = needs_question(&names, args);
    size_t len = (count - 4) / 2;
    memset(told, '+', len);
    for (; *commands; commands++)
        for (size_t i = 0; i < len; i++)
            if (bytes_equal(args[4 + 2 * i], bytes_of_string(*commands)))
                told[i] = mark;
    const struct reply reply = {.type = REPLY_STRING, .bytes = bytes_of(told, len)};
    problem[0] = '\0';
    advice = NULL;
    return needs_are_met(&reply, problem, sizeof(problem), &advice);
}

TEST(what_is_missing_is_named)
{
    CHECK(is_met('-', (const char *const[]){NULL}));
    CHECK(!advice);
    CHECK(!is_met('-', (const char *const[]){"TIME", "XADD", NULL}));
    CHECK_STR(problem, "the server has no TIME, XADD (rename-command?)");
    CHECK(!is_met('!', (const char *const[]){"PUBLISH", NULL}));
    CHECK_STR(problem, "NOPERM for PUBLISH, or for our keys and channels");
    CHECK(needs_lack(problem, "PUBLISH"));
    CHECK(!needs_lack(problem, "SET"));
    CHECK(!is_met('!', (const char *const[]){"SET", "PUBLISH", NULL}));
    CHECK(needs_lack(problem, "PUBLISH"));
    CHECK(needs_lack(problem, "SET"));
    CHECK(!needs_lack("the server has no PUBLISH (rename-command?)", "PUBLISH"));
    CHECK(is_met('-', (const char *const[]){"RENAME", NULL}));
    CHECK(advice && strstr(advice, "RENAME"));
    CHECK(is_met('!', (const char *const[]){"STRLEN", "EXISTS", NULL}));
    CHECK(advice != NULL);
}

TEST(all_that_may_be_missing_has_room)
{
    static const char *const all[] = {"EVALSHA",  "INFO", "TIME", "GET",     "GETRANGE", "SET",
                                      "SETRANGE", "DEL",  "PTTL", "PEXPIRE", "XADD",     "XRANGE",
                                      "PUBLISH",  NULL};
    CHECK(!is_met('-', all));
    CHECK(strstr(problem, "PUBLISH (rename-command?)"));
    CHECK(!is_met('!', all));
    CHECK(strstr(problem, "PUBLISH, or for our keys and channels"));
}

TEST(a_server_that_cannot_tell_will_do)
{
    const struct reply nil = {.type = REPLY_NIL};
    const struct reply number = {.type = REPLY_INTEGER, .integer = 1};
    const struct reply shorter = {.type = REPLY_STRING, .bytes = bytes_of("--", 2)};
    advice = NULL;
    CHECK(needs_are_met(&nil, problem, sizeof(problem), &advice));
    CHECK(needs_are_met(&number, problem, sizeof(problem), &advice));
    CHECK(needs_are_met(&shorter, problem, sizeof(problem), &advice));
    CHECK(!advice);
}

/* ---- INFO ---- */

TEST(info_tells_how_full_the_server_is)
{
    struct l2_usage u = {1, 2, 3, 0};
    info_usage(bytes_of_string("# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\n"
                               "maxmemory:0\r\n# Stats\r\nevicted_keys:18446744073709551615\r\n"),
               &u);
    CHECK_EQ(u.memory_bytes, 1048576);
    CHECK_EQ(u.cap_bytes, 0);
    CHECK_EQ(u.evicted, 3); /* no number of ours */
    info_usage(bytes_of_string("evicted_keys:-1\r\nused_memory:\r\nmaxmemory:7x\r\n"), &u);
    info_usage(bytes_of_string("evicted_keys:12"), &u);
    CHECK_EQ(u.memory_bytes, 1048576);
    CHECK_EQ(u.cap_bytes, 0);
    CHECK_EQ(u.evicted, 12);
    CHECK(info_evicts_all(bytes_of_string("allkeys-lfu")));
    CHECK(!info_evicts_all(bytes_of_string("volatile-lru")));
    CHECK(!info_evicts_all(bytes_of_string("")));
}

#define REPLID "0123456789012345678901234567890123456789"

static const char *judged(const char *info)
{
    struct bytes replid = bytes_of(NULL, 0);
    const char *wrong = info_judge(bytes_of_string(info), &replid);
    CHECK_EQ(wrong == NULL, replid.len == REPLID_BYTES);
    return wrong ? wrong : "";
}

TEST(what_info_must_tell)
{
    CHECK_STR(judged("# Replication\r\nrole:master\r\nmaster_replid:" REPLID "\r\n"), "");
    CHECK_STR(judged("role:slave\r\nmaster_replid:" REPLID "\r\n"), "the server is not a master");
    CHECK(strstr(judged(""), "no role"));
    CHECK(strstr(judged("role:master\r\nmaster_replid:0\r\n"), "no master_replid"));
    CHECK(strstr(judged("role:master\r\ncluster_enabled:1\r\n"), "node of a Redis Cluster"));
}
