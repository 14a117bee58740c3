// SPDX-License-Identifier: MIT
/*
 * `perf/run tune`: the command line.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/ending.h"
#include "support/fail.h"
#include "support/options.h"
#include "support/parse.h"
#include "tune/tune.h"

#define ROUND_MS_MOST 60000u

enum option {
    OPT_LOG, OPT_TRACE, OPT_MEMORY, OPT_THREADS, OPT_POLICY, OPT_SHARDS, OPT_WORTH, OPT_TTL,
    OPT_VALUE, OPT_VALUE_MAX, OPT_KEY, OPT_REQUESTS, OPT_ROUNDS, OPT_TIME, OPT_SEED, OPTIONS
};

static const struct option_row options[OPTIONS + 1] = {
    [OPT_LOG] = {"log", "FILE",
                 "access log in the common or combined format (Apache, nginx):\n"
                 "GETs with status 200 or 304; the key is path and query, the\n"
                 "size what was sent. A site in front (\"www.example.com:80\n"
                 "192.0.2.7 - - [...\", also without port) is part of the key;\n"
                 "an address there is none", NULL},
    [OPT_TRACE] = {"trace", "FILE",
                   "a recording (trace.file), NAME.t8 or oracleGeneral, also\n"
                   ".zst. \"-\" in either: stdin", NULL},
    [OPT_MEMORY] = {"memory-max", "SIZE", "no more than that (half of this machine's)", NULL},
    [OPT_THREADS] = {"threads", "N,N...",
                     "that ask at once; the last one decides (this machine's CPUs)", NULL},
    [OPT_POLICY] = {"policy", "A,B...", "to choose from: lfu, lru, ttl, none (lfu,lru)", NULL},
    [OPT_SHARDS] = {"shards", "N,N...", "to choose from (1, 2, 4 ... 8 for each thread)", NULL},
    [OPT_WORTH] = {"worth", "N",
                   "loads of 1,000 requests that a doubling of the memory has to\n"
                   "save to be worth it (10); a fifth of those left always is.\n"
                   "Of 1,000 seconds of loading, where a recording knows them", NULL},
    [OPT_TTL] = {"ttl", "TIME", "how long values live, by the times of the log (for ever)", NULL},
    [OPT_VALUE] = {"value-size", "SIZE", "of each value, where a trace has no sizes (1k)", NULL},
    [OPT_VALUE_MAX] = {"value-max", "SIZE",
                       "space.value_max: what is larger is not stored (1m); another\n"
                       "one is in the answer", NULL},
    [OPT_KEY] = {"key-size", "BYTES", "of each key, where a trace has none (24)", NULL},
    [OPT_REQUESTS] = {"requests", "N",
                      "of one replay, more or less; from more some keys are taken (2m)", NULL},
    [OPT_ROUNDS] = {"rounds", "N", "in which numbers of shards take turns (9)", NULL},
    [OPT_TIME] = {"round-time", "TIME", "of each (120ms)", NULL},
    [OPT_SEED] = {"seed", "N", "by which keys are taken, and L1 hashes (1)", NULL},
};

static void take_input(struct tune_settings *s, enum input_kind kind, const char *path)
{
    if (s->path)
        fail("one --log or one --trace, not both");
    s->kind = kind;
    s->path = path;
}

/* Policies are nigh's: it judges them. */
static void take_policies(struct tune_settings *s, char *text)
{
    unsigned count = 0;
    char *rest;
    for (char *name = strtok_r(text, ",", &rest); name; name = strtok_r(NULL, ",", &rest)) {
        struct nigh_options probe = NIGH_OPTIONS_INIT;
        if (nigh_options_set(&probe, "l1.policy", name) != 0)
            fail("--policy: %s", nigh_options_error());
        if (count == TUNE_POLICIES_MAX)
            fail("--policy: %u at most", TUNE_POLICIES_MAX);
        s->policies[count++] = name;
    }
    s->policies[count] = NULL;
    if (count == 0)
        fail("--policy: which?");
}

static void take_shards(struct tune_settings *s, const char *text)
{
    unsigned count = parse_list("shards", text, SHARDS_CANDIDATES_MAX, 65536, s->shards);
    for (unsigned i = 0; i < count; i++)
        if (s->shards[i] & (s->shards[i] - 1))
            fail("--shards %u: powers of two are wanted", s->shards[i]);
}

static void take_round_time(struct tune_settings *s, const char *text)
{
    s->round_ns = parse_time("round-time", text);
    if (s->round_ns < PERF_NS_PER_MS || s->round_ns > ROUND_MS_MOST * PERF_NS_PER_MS)
        fail("--round-time %s: from 1ms to 60s is wanted", text);
}

static void take(void *settings, int choice, const char *name, char *text)
{
    struct tune_settings *s = settings;
    switch (choice) {
    case OPT_LOG: take_input(s, INPUT_LOG, text); break;
    case OPT_TRACE: take_input(s, INPUT_TRACE, text); break;
    case OPT_MEMORY: s->memory_max = parse_bytes(name, text, 4u << 20, 1ull << 46); break;
    case OPT_THREADS:
        parse_list(name, text, TUNE_THREADS_MAX, SHARDS_THREADS_MAX, s->threads);
        break;
    case OPT_POLICY: take_policies(s, text); break;
    case OPT_SHARDS: take_shards(s, text); break;
    case OPT_WORTH: s->worth = parse_number(name, text, 0.1, 999) / 1000; break;
    case OPT_TTL: s->ttl_s = (parse_time(name, text) + PERF_NS_PER_S - 1) / PERF_NS_PER_S; break;
    case OPT_VALUE: s->value_bytes = (uint32_t)parse_bytes(name, text, 1, NIGH_VALUE_MAX); break;
    case OPT_VALUE_MAX:
        s->value_max = (uint32_t)parse_bytes(name, text, 1, NIGH_VALUE_MAX);
        break;
    case OPT_KEY: s->key_bytes = (uint32_t)parse_bytes(name, text, 8, NIGH_KEY_MAX); break;
    case OPT_REQUESTS: s->most = parse_count(name, text, 1000, 1000000000); break;
    case OPT_ROUNDS: s->rounds = (unsigned)parse_number(name, text, 1, ROUNDS_MAX); break;
    case OPT_TIME: take_round_time(s, text); break;
    default: s->seed = parse_count(name, text, 0, 1ull << 52); break;
    }
}

static const struct command_line command = {
    .usage = "perf/run tune --log ACCESS.LOG [OPTION...]\n"
             "perf/run tune --trace FILE [OPTION...]",
    .about = "Which l1.memory, l1.policy and l1.shards would this traffic want? Replays recorded\n"
             "requests through nigh in caches of all sizes, and prints one line for NIGH_CONF,\n"
             "with its reasons.\n",
    .status = "Exit status: 0 answered, 2 not: the input is not what it should be.\n",
    .options = options,
    .take = take,
    .measures = true,
    .conf = CONF_IGNORED,
};

static void parse(struct tune_settings *s, struct output *ret_output, int argc, char **argv)
{
    tune_settings_init(s);
    int rest = options_read(&command, "tune", s, ret_output, argc, argv);
    if (rest < argc)
        fail("'%s': is it a log (--log) or a trace (--trace)? see perf/run tune --help",
             argv[rest]);
    if (!s->path)
        fail("what was asked for? --log ACCESS.LOG or --trace FILE; see perf/run tune --help");
}

int main(int argc, char **argv)
{
    static struct tune t;
    struct tune_settings settings;
    struct output output;
    parse(&settings, &output, argc, argv);
    ending_catch();
    unsetenv("NIGH_CONF"); /* what is tried here is not what the environment says */
    char *why = tune_run(&t, &settings);
    progress_end();
    if (why)
        fail("%s", why);
    tune_report(&t, stdout);
    tune_results(&t);
    results_output(&output);
    tune_free(&t);
    return 0;
}
