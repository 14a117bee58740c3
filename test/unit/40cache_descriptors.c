// SPDX-License-Identifier: MIT
// A host that has closed its standard descriptors: none of ours takes their place, or what somebody
// prints would go to Redis.

#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/origin.h"

enum { ALL_RIGHT, NOT_OPENED, NOT_TRUSTED, STANDARD_TAKEN, TOO_FEW, NOT_STORED };

/* Who has this number has it in /proc. */
static bool is_taken(int fd)
{
    char path[40];
    char target[200];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    return readlink(path, target, sizeof(target)) >= 0;
}

static bool within_patience(struct nigh *cache)
{
    for (int ms = 0; ms < WORLD_PATIENCE_MS; ms++) {
        if (nigh_health(cache) == NIGH_FRESH && nigh_stats_value(cache, NULL, "listening") == 1)
            return true;
        check_pause();
    }
    return false;
}

/* Two connections, and what wakes the threads that wait for them. */
static int live_without_standard(const struct redis *server)
{
    struct nigh_options o = patient_options(server);
    struct nigh *cache;
    struct nigh_space *space;
    int taken = 0;
    for (int fd = 0; fd < 64; fd++)
        close(fd);
    if (nigh_open(&o, &cache) != 0 ||
        nigh_space_open(cache, "s", NULL, NULL, NULL, NULL, &space) != 0)
        return NOT_OPENED;
    if (!within_patience(cache))
        return NOT_TRUSTED;
    for (int fd = 0; fd < 64; fd++) {
        if (is_taken(fd) && fd <= STDERR_FILENO)
            return STANDARD_TAKEN;
        taken += is_taken(fd);
    }
    if (taken < 4)
        return TOO_FEW;
    printf("not for Redis\n"); /* fails, here */
    fflush(stdout);
    bool stored = nigh_put(space, "k", 1, "v", 1, NULL) == 0;
    nigh_close(cache);
    return stored ? ALL_RIGHT : NOT_STORED;
}

TEST(a_connection_became_the_hosts_standard_output)
{
    struct redis server;
    int status;
    redis_start(&server, NULL);
    pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0)
        _exit(live_without_standard(&server));
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status));
    CHECK_EQ(WEXITSTATUS(status), ALL_RIGHT);
    redis_stop(&server);
}
