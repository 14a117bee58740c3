// SPDX-License-Identifier: MIT
/*
 * The use of processes so far. The server's time is read from its CPU clock, in nanoseconds:
 * /proc counts in hundredths of a second, as long as a whole round's use.
 */
#include "link/usage.h"

#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "link/link.h"
#include "support/fail.h"
#include "support/redis_ask.h"

#define INFO_BYTES 16384

static uint64_t process_ns(pid_t pid)
{
    clockid_t id;
    struct timespec t;
    if (clock_getcpuclockid(pid, &id) != 0 || clock_gettime(id, &t) != 0)
        fail("the server has gone");
    return (uint64_t)t.tv_sec * PERF_NS_PER_S + (uint64_t)t.tv_nsec;
}

static struct rusage of(int who)
{
    struct rusage r;
    if (getrusage(who, &r) != 0)
        fail("getrusage: %m");
    return r;
}

static uint64_t timeval_ns(struct timeval t)
{
    return (uint64_t)t.tv_sec * PERF_NS_PER_S + (uint64_t)t.tv_usec * PERF_NS_PER_US;
}

struct usage usage_now(pid_t server)
{
    struct rusage r = of(RUSAGE_SELF);
    return (struct usage){process_ns(server), process_cpu_ns(),
                          (uint64_t)(r.ru_nvcsw + r.ru_nivcsw), 0};
}

struct usage usage_of_children(pid_t server)
{
    struct rusage r = of(RUSAGE_CHILDREN);
    return (struct usage){process_ns(server), timeval_ns(r.ru_utime) + timeval_ns(r.ru_stime),
                          (uint64_t)(r.ru_nvcsw + r.ru_nivcsw), 0};
}

static uint64_t command_us(const char *info, const char *name, size_t len)
{
    char line[64];
    unsigned long calls, us;
    snprintf(line, sizeof(line), "cmdstat_%.*s:", (int)len, name);
    const char *at = strstr(info, line);
    return at && sscanf(at + strlen(line), "calls=%lu,usec=%lu", &calls, &us) == 2 ? us : 0;
}

uint64_t usage_of_commands_us(const char *names)
{
    char info[INFO_BYTES];
    uint64_t sum = 0;
    if (!names)
        return 0;
    if (!redis_ask(&link_world.server, info, sizeof(info), "INFO commandstats"))
        fail("redis-server does not tell: %s", info);
    for (size_t len; *names; names += len) {
        names += strspn(names, " ");
        len = strcspn(names, " ");
        sum += command_us(info, names, len);
    }
    return sum;
}

struct usage usage_since(struct usage then, struct usage now)
{
    return (struct usage){now.server_ns - then.server_ns, now.client_ns - then.client_ns,
                          now.switches - then.switches, now.commands_us - then.commands_us};
}
