// SPDX-License-Identifier: MIT
// The ground the other tests stand on: the harness itself and the private redis-server.

#include "support/check.h"
#include "support/redis.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

TEST(integers_compare_across_signs)
{
    CHECK_LT(-1, UINT64_MAX);
    CHECK_NE(-1, UINT64_MAX);
    CHECK_GT(INT64_MAX, INT64_MIN);
}

TEST(random_streams_repeat)
{
    uint64_t a = check_seed(), b = check_seed();
    for (int i = 0; i < 100; i++)
        CHECK_EQ(check_random(&a), check_random(&b));
}

TEST(redis_keeps_data_only_when_asked)
{
    struct redis server;
    redis_start(&server, NULL);
    free(redis_command(&server, "SET key %b", "a\0b", (size_t)3));
    CHECK_EQ(redis_integer(&server, "STRLEN key"), 3);
    redis_save(&server);
    redis_restart(&server, REDIS_SAVED);
    CHECK_EQ(redis_integer(&server, "EXISTS key"), 1);
    redis_restart(&server, REDIS_EMPTY);
    CHECK_EQ(redis_integer(&server, "EXISTS key"), 0);
    redis_stop(&server);

    struct stat info;
    CHECK(stat(server.dir, &info) < 0 && errno == ENOENT);
}

TEST(redis_paused_is_silent_and_killed_is_gone)
{
    struct redis server;
    redis_start_tcp(&server, (char *const[]){"--maxmemory", "32mb", NULL});
    redis_pause(&server);
    server.command_ms = 500;
    CHECK(!redis_command(&server, "PING"));
    redis_resume(&server);
    server.command_ms = 0;
    char *limit = redis_command(&server, "CONFIG GET maxmemory");
    CHECK_STR(limit, "maxmemory\n33554432");
    free(limit);
    pid_t pid = server.pid;
    redis_kill(&server);
    CHECK(kill(pid, 0) < 0 && errno == ESRCH);
    CHECK(!redis_command(&server, "PING"));
    redis_stop(&server);
}
