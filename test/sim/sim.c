// SPDX-License-Identifier: MIT
// The program: run schedules of all scenarios, or of one; shrink and print the first that fails.

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "sim/schedule.h"

struct arguments {
    uint64_t seed;
    uint64_t count;
    const struct scenario *only;
    bool trace, raw, quiet;
};

static void usage(void)
{
    puts("sim [--count N] [--seed N] [--scenario NAME] [--trace] [--raw] [--quiet]\n"
         "    [--list]\n"
         "  --count N     schedules in all (NIGH_SIM_COUNT; 10000)\n"
         "  --seed N      of the first; the others follow\n"
         "  --trace       write down all that happens\n"
         "  --raw         do not shrink what fails; --quiet: nor show it");
}

static void fail(const struct arguments *a, struct schedule *s, const char *rule)
{
    printf("sim: %s breaks rule '%s': --scenario %s --seed %" PRIu64 " --count 1\n",
           s->scenario->name, rule, s->scenario->name, s->seed);
    if (a->quiet)
        return;
    if (!a->raw) {
        uint32_t before = s->count;
        schedule_shrink(s, rule);
        printf("sim: of %u steps these %u are enough:\n", before, s->count);
    }
    fflush(stdout);
    world_tracing = true;
    schedule_run(s);
    printf("sim: %s\n", world_failed_text());
}

/* Those of a run without --scenario; the one with a hundred nodes runs by itself. */
static bool is_usual(const struct scenario *scenario)
{
    return !scenario->open && !scenario->judges_clocks;
}

static const struct scenario *scenario_at(const struct arguments *a, uint64_t i)
{
    const struct scenario *usual[64];
    unsigned count = 0;
    if (a->only)
        return a->only;
    for (unsigned k = 0; k < scenario_count; k++)
        if (is_usual(&scenarios[k]))
            usual[count++] = &scenarios[k];
    return usual[i % count];
}

static bool run_all(const struct arguments *a)
{
    static struct schedule s;
    for (uint64_t i = 0; i < a->count; i++) {
        schedule_draw(&s, scenario_at(a, i), a->seed + i);
        world_tracing = a->trace;
        const char *rule = schedule_run(&s);
        if (rule) {
            fail(a, &s, rule);
            return false;
        }
    }
    return true;
}

static void read_arguments(struct arguments *a, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : "";
        if (!strcmp(argv[i], "--trace")) {
            a->trace = true;
        } else if (!strcmp(argv[i], "--raw")) {
            a->raw = true;
        } else if (!strcmp(argv[i], "--quiet")) {
            a->quiet = true;
        } else if (!strcmp(argv[i], "--list")) {
            for (unsigned k = 0; k < scenario_count; k++)
                puts(scenarios[k].name);
            exit(0);
        } else if (!strcmp(argv[i], "--seed") && ++i) {
            a->seed = strtoull(value, NULL, 0);
        } else if (!strcmp(argv[i], "--count") && ++i) {
            a->count = strtoull(value, NULL, 0);
        } else if (!strcmp(argv[i], "--scenario") && ++i && (a->only = scenario_find(value))) {
            continue;
        } else {
            usage();
            exit(strcmp(argv[i], "--help") ? 2 : 0);
        }
    }
}

int main(int argc, char **argv)
{
    const char *count = getenv("NIGH_SIM_COUNT");
    struct arguments a = {.seed = 1, .count = count ? strtoull(count, NULL, 0) : 10000};
    struct timespec began, ended;
    read_arguments(&a, argc, argv);
    clock_gettime(CLOCK_MONOTONIC, &began);
    bool good = run_all(&a);
    clock_gettime(CLOCK_MONOTONIC, &ended);
    double seconds = (double)(ended.tv_sec - began.tv_sec) +
                     (double)(ended.tv_nsec - began.tv_nsec) / 1e9;
    printf("sim: %s, seeds from %" PRIu64 ", %.1f s\n", good ? "all schedules pass" : "FAILED",
           a.seed, seconds);
    return good ? 0 : 1;
}
