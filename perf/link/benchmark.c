// SPDX-License-Identifier: MIT
/*
 * redis-benchmark, where it is installed: one connection with as many GETs under way as a row has
 * threads. It waits for all of them before it sends the next, copies nothing and wakes nobody: what
 * the wire and the server allow.
 */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#include "link/link.h"
#include "link/usage.h"
#include "support/fail.h"

#define FIRST_REQUESTS 20000.0
#define LINE_BYTES     256

struct benchmark {
    const struct row *row;
    double requests; /* of a round: what took about its time in the last */
};

static bool is_installed(void)
{
    return system("command -v redis-benchmark >/dev/null 2>&1") == 0;
}

static void *open_benchmark(const struct row *row)
{
    if (!is_installed()) {
        link_why("not installed");
        return NULL;
    }
    struct benchmark *b = must_alloc(1, sizeof(*b));
    b->row = row;
    b->requests = FIRST_REQUESTS;
    return b;
}

/* The last line: "test",rps,avg,min,p50,p95,p99,max; before version 6.2 only the first two. */
static void take_line(const char *line, double *ret)
{
    double avg, least, p95;
    const char *at = strrchr(line, '\"') ? strstr(line, "\",") : NULL;
    if (!at || sscanf(at, "\",\"%lf\",\"%lf\",\"%lf\",\"%lf\",\"%lf\",\"%lf\"", &ret[METRIC_OPS],
                      &avg, &least, &ret[METRIC_P50], &p95, &ret[METRIC_P99]) < 1)
        fail("redis-benchmark says: %s", line);
    ret[METRIC_P50] *= 1e3;
    ret[METRIC_P99] *= 1e3;
}

static void run_program(const struct benchmark *b, char *ret_line)
{
    const struct nigh_key *k = &link_world.plain[0];
    char *command = must_print(
        "redis-benchmark -s '%s' -c 1 -P %u -n %.0f --csv GET '%.*s' 2>/dev/null",
        link_world.server.socket, b->row->threads, b->requests, (int)k->len, (const char *)k->data);
    FILE *in = popen(command, "re");
    char line[LINE_BYTES];
    if (!in)
        fail("redis-benchmark: %m");
    while (fgets(line, sizeof(line), in))
        memcpy(ret_line, line, sizeof(line));
    pclose(in);
    free(command);
}

static void run_round(void *self, uint64_t ns, double *ret)
{
    struct benchmark *b = self;
    char line[LINE_BYTES] = "nothing";
    uint64_t commands_us = usage_of_commands_us("get");
    struct usage before = usage_of_children(link_world.server.pid);
    run_program(b, line);
    struct usage used = usage_since(before, usage_of_children(link_world.server.pid));
    take_line(line, ret);
    ret[METRIC_COMMANDS] = (double)(usage_of_commands_us("get") - commands_us) / b->requests;
    ret[METRIC_SERVER] = (double)used.server_ns / b->requests / 1e3;
    ret[METRIC_CLIENT] = (double)used.client_ns / b->requests / 1e3;
    ret[METRIC_SWITCHES] = (double)used.switches / b->requests;
    b->requests = ret[METRIC_OPS] * (double)ns / 1e9 + 1;
}

const struct side side_benchmark = {"redis-benchmark", .open = open_benchmark, .close = free,
                                    .round = run_round};
