// SPDX-License-Identifier: MIT
/*
 * Reading the command line: what is wrong is said with the option's name and its value.
 */
#include "nodes/settings.h"

#include <nigh/nigh.h>
#include <stdio.h>
#include <string.h>

#include "nodes/fault.h"
#include "support/fail.h"
#include "support/options.h"

enum option {
    OPT_SECONDS, OPT_NODES, OPT_THREADS, OPT_MEMORY, OPT_SHARDS, OPT_POLICY, OPT_UPDATES, OPT_LOADS,
    OPT_REDIS, OPT_FAULT, OPT_FAULT_AT, OPT_KILL, OPT_SEED, OPT_CHECK, OPT_CATALOGUE, OPT_CACHE,
    OPT_NODE, OPT_SHARED, OPTIONS
};

/* The last two are between this program and itself. The faults tell their names. */
static struct option_row options[OPTIONS + 1] = {
    [OPT_SECONDS] = {"seconds", "S", "how long each run lasts (20)", NULL},
    [OPT_NODES] = {"nodes", "N", "node processes (2)", NULL},
    [OPT_THREADS] = {"threads", "N", "application threads of each (4)", NULL},
    [OPT_MEMORY] = {"memory", "SIZE", "L1 of each node (8MiB)", NULL},
    [OPT_SHARDS] = {"shards", "N", "of L1; a power of two (by CPUs and memory)", NULL},
    [OPT_POLICY] = {"policy", "NAME", "of L1 (lfu)", NULL},
    [OPT_UPDATES] = {"updates", "N[/s]", "updates of all nodes together (50/s)", NULL},
    [OPT_LOADS] = {"loads", "N", "cap on loads at once, per node (as many as --threads)", NULL},
    [OPT_REDIS] = {"redis", "URI",
                   "a Redis to use instead of a private one; its keys begin\n"
                   "with nigh-perf-", NULL},
    [OPT_FAULT] = {"fault", "NAME", "", NULL},
    [OPT_FAULT_AT] = {"fault-at", "S",
                      "when, in seconds since the beginning (a third of --seconds)", NULL},
    [OPT_KILL] = {"kill-redis-at", "S", "the same as --fault kill-redis --fault-at S", NULL},
    [OPT_SEED] = {"seed", "N", "of all randomness (1)", NULL},
    [OPT_CHECK] = {"check", "WHICH",
                   "on: judge every read, then the same run unjudged, side by\n"
                   "side; alone: the judged run only; off: the unjudged run\n"
                   "only (on)", NULL},
    [OPT_CATALOGUE] = {"catalogue", "FILE",
                       "a file in Debian's control format instead of this machine's\n"
                       "catalogue", NULL},
    [OPT_CACHE] = {"cache", "FOLDER", "keep the finished catalogue there for the next time", NULL},
    [OPT_NODE] = {"node", "N", NULL, NULL},
    [OPT_SHARED] = {"shared-fd", "N", NULL, NULL},
};

static const char *faults(void)
{
    char *text = must_print("what befalls the private Redis, or a node, in the middle\n"
                            "of each run:");
    for (uint32_t i = 0; fault_kind(i); i++) {
        char *more = must_print("%s\n%-18s  %s", text, fault_kind(i)->name, fault_kind(i)->does);
        free(text);
        text = more;
    }
    char *all = must_print("%s\n%-18s  %s", text, "all",
                           "a judged run with each, and one table");
    free(text);
    return all;
}

static double number(const char *name, const char *text, double min, double max)
{
    char *end;
    double value = strtod(text, &end);
    if (strcmp(name, "updates") == 0 && strcmp(end, "/s") == 0)
        end += 2;
    if (end == text || *end || !(value >= min && value <= max))
        fail("--%s %s: a number from %g to %g is wanted", name, text, min, max);
    return value;
}

/* Sizes, shards and policies are nigh's own options: it judges them. */
static void take_option(char *to, size_t size, const char *option, const char *text)
{
    struct nigh_options probe = NIGH_OPTIONS_INIT;
    if (nigh_options_set(&probe, option, text) != 0)
        fail("%s", nigh_options_error());
    if (strlen(text) >= size)
        fail("%s: too long", option);
    strcpy(to, text);
}

static void take_check(struct settings *s, const char *text)
{
    if (strcmp(text, "on") != 0 && strcmp(text, "off") != 0 && strcmp(text, "alone") != 0)
        fail("--check %s: on, off or alone is wanted", text);
    s->plan.check = strcmp(text, "off") != 0;
    s->beside = strcmp(text, "on") == 0;
}

static void take_fault(struct plan *p, const char *name)
{
    uint32_t number;
    if (!fault_named(name, &number))
        fail("--fault %s: there is no such fault; see --help", name);
    p->fault = number + 1;
}

static void take_plan(struct plan *p, int option, const char *name, const char *text)
{
    switch (option) {
    case OPT_SECONDS:
        p->seconds = number(name, text, 0.1, 86400);
        break;
    case OPT_NODES:
        p->nodes = (uint32_t)number(name, text, 1, NODES_MAX);
        break;
    case OPT_THREADS:
        p->threads = (uint32_t)number(name, text, 1, THREADS_MAX);
        break;
    case OPT_MEMORY:
        take_option(p->memory, sizeof(p->memory), "l1.memory", text);
        break;
    case OPT_SHARDS:
        take_option(p->shards, sizeof(p->shards), "l1.shards", text);
        break;
    case OPT_POLICY:
        take_option(p->policy, sizeof(p->policy), "l1.policy", text);
        break;
    case OPT_UPDATES:
        p->updates_per_second = number(name, text, 0, 100000);
        break;
    case OPT_LOADS:
        p->loads_per_node = (uint32_t)number(name, text, 1, 1 << 20);
        break;
    case OPT_REDIS:
        take_option(p->redis_uri, sizeof(p->redis_uri), "redis.uri", text);
        break;
    case OPT_KILL:
        take_fault(p, "kill-redis");
        p->fault_at = number(name, text, 0.1, 86400);
        break;
    case OPT_FAULT_AT:
        p->fault_at = number(name, text, 0.1, 86400);
        break;
    case OPT_SEED:
        p->seed = (uint64_t)number(name, text, 0, 9e15);
        break;
    }
}

static void take(void *settings, int option, const char *name, char *text)
{
    struct settings *s = settings;
    switch (option) {
    case OPT_CHECK:
        take_check(s, text);
        break;
    case OPT_FAULT:
        s->all_faults = strcmp(text, "all") == 0;
        if (!s->all_faults)
            take_fault(&s->plan, text);
        break;
    case OPT_CATALOGUE:
        s->catalogue = text;
        break;
    case OPT_CACHE:
        s->cache = text;
        break;
    case OPT_NODE:
        s->node = (int)number(name, text, 0, NODES_MAX - 1);
        break;
    case OPT_SHARED:
        s->shared_fd = (int)number(name, text, 3, 1 << 20);
        break;
    default:
        take_plan(&s->plan, option, name, text);
    }
}

static const struct command_line command = {
    .usage = "perf/run [nodes] [OPTION...]",
    .about = "The main job: node processes serve the pages of this machine's package catalogue\n"
             "from L1, Redis and SQLite while packages are updated; a checker judges every read.\n",
    .status = "Exit status: 0 every promise kept, 1 one was broken, 2 it could not be measured.\n",
    .options = options,
    .take = take,
    .measures = true,
};

static void finish_fault(const struct settings *s, struct plan *p, const struct fault_kind *kind)
{
    if (!s->own_redis)
        fail("--fault %s: it befalls a private Redis only, not that of --redis", kind->name);
    if (p->nodes < kind->nodes)
        fail("--fault %s: it wants %u nodes", kind->name, kind->nodes);
    if (p->fault_at <= 0)
        p->fault_at = p->seconds / 3;
    if (p->fault_at >= p->seconds)
        fail("--fault-at %g is after the end of the run", p->fault_at);
    if (p->fault_at + fault_tail_s(kind) >= p->seconds)
        fail("--seconds %g: %s at %g s lasts %g s", p->seconds, kind->name, p->fault_at,
             fault_tail_s(kind));
    if (p->fault_at < fault_lead_s(kind))
        fail("--fault-at %g: %s begins %g s before, and that is before the run", p->fault_at,
             kind->name, fault_lead_s(kind));
}

static void finish_faults(struct settings *s)
{
    struct plan *p = &s->plan;
    if (!p->fault && !s->all_faults && p->fault_at > 0)
        fail("--fault-at %g: which fault? see --fault in --help", p->fault_at);
    for (uint32_t i = 0; fault_kind(i); i++)
        if (s->all_faults || p->fault == i + 1)
            finish_fault(s, p, fault_kind(i));
}

static void finish(struct settings *s)
{
    struct plan *p = &s->plan;
    s->own_redis = p->redis_uri[0] == '\0';
    finish_faults(s);
    if (p->loads_per_node == 0)
        p->loads_per_node = p->threads;
}

void settings_parse(struct settings *s, int argc, char **argv)
{
    *s = (struct settings){.beside = true, .node = -1, .shared_fd = -1};
    s->plan = (struct plan){.seconds = 20,
                            .nodes = 2,
                            .threads = 4,
                            .memory = "8MiB",
                            .updates_per_second = 50,
                            .trust_ms = NIGH_DEFAULT_TRUST_MS,
                            .seed = 1,
                            .check = true};
    options[OPT_FAULT].help = faults();
    int rest = options_read(&command, "nodes", s, &s->output, argc, argv);
    if (rest < argc)
        fail("%s: not an option; see perf/run --help", argv[rest]);
    if (s->node < 0)
        finish(s);
}
