// SPDX-License-Identifier: MIT
/*
 * `perf/run hit`, `write`, `memory`, `resize`, `limbo`, `shrink`, `trace`, `peers` and `bars`: one
 * program.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "bench/arena.h"
#include "bench/measure.h"
#include "bench/settings.h"
#include "support/ending.h"
#include "support/fail.h"
#include "support/options.h"

#define PAGES_VARIABLE "MALLOC_CONF"

static const struct {
    const char *name;
    void (*run)(const struct bench_settings *s);
} commands[] = {
    {"memory", bench_memory}, /* first: the resident memory of others would be in its figures */
    {"hit", bench_hit},       {"write", bench_write}, {"resize", bench_resize},
    {"limbo", bench_limbo},   {"shrink", bench_shrink}, {"trace", bench_trace},
    {"peers", bench_peers},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* The allocator reads its pages' size before main(): say it, and begin anew. For every candidate
 * alike: it is one allocator. */
static void choose_pages(const struct settings *s, char **argv)
{
    if (getenv(PAGES_VARIABLE))
        return;
    setenv(PAGES_VARIABLE,
           s->huge_pages ? "thp:always,metadata_thp:auto" : "thp:never,metadata_thp:disabled", 1);
    /* nigh's tables and blocks are not the allocator's: the same pages for all alike */
    const char *own = getenv(OPTIONS_CONF); /* goes behind ours: it may say otherwise */
    setenv(OPTIONS_CONF_SAID, own ? own : "", 1);
    setenv(OPTIONS_CONF,
           must_print("l1.huge_pages=%s%s%s",
                      !s->huge_tables ? "none" : !s->huge_pages ? "tables" : "all",
                      own && *own ? "," : "", own ? own : ""),
           1);
    execv("/proc/self/exe", argv);
    fail("cannot start anew");
}

static int run_bars(const struct bench_settings *s)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (commands[i].run != bench_trace && commands[i].run != bench_peers)
            commands[i].run(s);
    return bench_bars(s) ? 1 : 0;
}

static int run(const struct bench_settings *s)
{
    if (strcmp(s->command, "bars") == 0)
        return run_bars(s);
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, s->command) == 0) {
            commands[i].run(s);
            return 0;
        }
    fail("there is no benchmark '%s'; see --help", s->command);
}

int main(int argc, char **argv)
{
    struct settings settings;
    settings_parse(&settings, argc, argv);
    if (strcmp(settings.bench.command, "shrink") != 0)
        choose_pages(&settings, argv);
    arenas_begin();
    ending_catch();
    if (settings.bench.quick) {
        printf("--quick: a smoke run of the smallest cases; its figures mean nothing\n");
        result_say_why_so_few(":\n--quick leaves the larger ones out");
    }
    int status = run(&settings.bench);
    bench_goals();
    results_output(&settings.output);
    return status;
}
