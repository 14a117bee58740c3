// SPDX-License-Identifier: MIT
/*
 * `perf/run nodes`: the main job. One program: the coordinator, and (started by it) its nodes.
 */
#include <stdio.h>

#include "nodes/felt.h"
#include "nodes/job.h"
#include "nodes/member.h"
#include "nodes/prepare.h"
#include "nodes/report.h"
#include "nodes/settings.h"
#include "support/ending.h"
#include "support/fail.h"
#include "support/folder.h"
#include "support/progress.h"
#include "support/redis_server.h"
#include "support/table.h"

/* Whether this machine has no servers for a fault; says so. */
static bool is_skipped(const struct fault_kind *kind, const char *folder)
{
    const char *missing = servers_missing(kind->wants, folder);
    if (missing)
        printf("%s: skipped: %s\n", kind->name, missing);
    return missing != NULL;
}

static unsigned count_faults(void)
{
    unsigned count = 0;
    while (fault_kind(count))
        count++;
    return count;
}

/* Was there a fault to be felt, and was it? */
static bool shows_something(const struct result *r)
{
    return !r->fault.kind || !r->plan.check || felt_how(r);
}

/* A judged run with each fault; the table has a line of each. */
static int run_faults(struct settings *s, const struct job *first)
{
    struct job job = *first;
    int broken = 0, idle = 0, count = 0;
    bool whole = true;
    struct result *results = must_alloc(FAULT_KINDS_MAX, sizeof(*results));
    job.plan.check = true;
    progress_plan(count_faults());
    for (uint32_t i = 0; fault_kind(i); i++) {
        char *folder = must_print("%s/%s", first->folder, fault_kind(i)->name);
        folder_make(folder);
        job.folder = folder;
        job.plan.fault = i + 1;
        if (is_skipped(fault_kind(i), folder)) {
            progress_next();
            free(folder);
            continue;
        }
        whole = job_run(&job, &results[count]);
        free(folder);
        if (!whole) {
            fprintf(stderr, "\nperf: stopped; %s and what follows it were not made\n",
                    fault_kind(i)->name);
            break;
        }
        printf("%s: ", fault_kind(i)->name);
        idle += !shows_something(&results[count]);
        broken += report_verdict(&results[count++]);
        fflush(stdout);
    }
    report_faults(results, count);
    if (output_json(&s->output))
        report_faults_json(results, count, &s->output);
    output_page(&s->output);
    free(results);
    return !whole ? ENDING_STATUS : broken ? 1 : idle ? PERF_EXIT_BROKEN : 0;
}

static int run_jobs(struct settings *s, const struct job *first)
{
    struct result *results = must_alloc(2, sizeof(*results));
    const struct result *shown[2] = {&results[0], &results[1]};
    int count = s->beside ? 2 : 1;
    struct job job = *first;
    if (job.plan.fault && is_skipped(fault_kind(job.plan.fault - 1), job.folder)) {
        free(results);
        return PERF_EXIT_BROKEN;
    }
    progress_plan((unsigned)count);
    for (int i = 0; i < count; i++) {
        job.plan.check = s->plan.check && i == 0;
        if (!job_run(&job, &results[i])) {
            fprintf(stderr, "\nperf: stopped; no figures\n");
            free(results);
            return ENDING_STATUS;
        }
    }
    report_table(shown, count);
    int broken = report_verdict(&results[0]);
    if (output_json(&s->output))
        report_json(&results[0], &s->output);
    output_page(&s->output);
    bool idle = !shows_something(&results[0]);
    free(results);
    return broken ? 1 : idle ? PERF_EXIT_BROKEN : 0;
}

static int coordinate(struct settings *s)
{
    job_catch_signals();
    const char *folder = folder_create("nigh-perf");
    char *catalogue = catalogue_prepare(s->catalogue, s->cache, folder);
    struct population *population = population_open(catalogue);
    struct job job = {.plan = s->plan,
                      .folder = folder,
                      .catalogue = catalogue,
                      .own_redis = s->own_redis,
                      .population = population};
    printf("redis:     %s\n", s->own_redis
                                  ? table_print("%s, private, on a unix socket",
                                               redis_server_version())
                                  : s->plan.redis_uri);
    fflush(stdout);
    int status = s->all_faults ? run_faults(s, &job) : run_jobs(s, &job);
    if (status != ENDING_STATUS)
        printf("\nWhat the rows mean: perf/README.md, \"Reading the table\"\n"
               "Which options your own traffic wants: perf/run tune --log ACCESS.LOG\n"
               "What else can be asked: perf/run --help\n");
    population_close(population);
    table_end();
    free(catalogue);
    return status;
}

int main(int argc, char **argv)
{
    struct settings settings;
    settings_parse(&settings, argc, argv);
    if (settings.node >= 0)
        return member_run(settings.shared_fd, (uint32_t)settings.node);
    return coordinate(&settings);
}
