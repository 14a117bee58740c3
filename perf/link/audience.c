// SPDX-License-Identifier: MIT
/*
 * Subscribers who read what is published and forget it: one process, so that Redis has as many to
 * write to as a row says and the time that they take is no client's of the row.
 *
 * nigh's cache subscribes itself: to its channel they are one fewer.
 */
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "link/plain.h"
#include "support/fail.h"

#define MANY         8u
#define CONNECTIONS  (1 + MANY + MANY - 1)
#define BUFFER_BYTES 65536

static pid_t audience;

const char *link_prefix(unsigned audience_size)
{
    return audience_size == MANY ? "many" : "link";
}

const char *link_channel(unsigned audience_size)
{
    return audience_size == MANY ? "plain:!2:!many:0" : "plain:!2:!one:0";
}

static int subscribe(const char *channel)
{
    redisContext *c = plain_connect();
    redisReply *r = redisCommand(c, "SUBSCRIBE %s", channel);
    if (!r || r->type != REDIS_REPLY_ARRAY)
        fail("a subscriber is refused");
    freeReplyObject(r);
    return redisFreeKeepFd(c);
}

__attribute__((noreturn)) static void listen_for_ever(int told)
{
    struct pollfd fds[CONNECTIONS];
    static char buffer[BUFFER_BYTES];
    for (unsigned i = 0; i < CONNECTIONS; i++)
        fds[i] = (struct pollfd){
            .events = POLLIN,
            .fd = subscribe(i == 0      ? link_channel(1)
                            : i <= MANY ? link_channel(MANY)
                                        : "many:!2:!inv:0"),
        };
    if (write(told, "", 1) != 1)
        _exit(1);
    while (poll(fds, CONNECTIONS, -1) > 0)
        for (unsigned i = 0; i < CONNECTIONS; i++)
            if (fds[i].revents && read(fds[i].fd, buffer, sizeof(buffer)) <= 0)
                _exit(0);
    _exit(1);
}

void audience_begin(void)
{
    int ends[2];
    char byte;
    if (pipe(ends) != 0)
        fail("pipe: %m");
    audience = fork();
    if (audience == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        listen_for_ever(ends[1]);
    }
    close(ends[1]);
    if (read(ends[0], &byte, 1) != 1)
        fail("the subscribers do not come up");
    close(ends[0]);
}

void audience_end(void)
{
    kill(audience, SIGKILL);
    waitpid(audience, NULL, 0);
}
