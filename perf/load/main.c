// SPDX-License-Identifier: MIT
/*
 * `perf/run load`: the command line.
 */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "input/input.h"
#include "load/load.h"
#include "support/ending.h"
#include "support/fail.h"
#include "support/options.h"
#include "support/parse.h"
#include "support/table.h"

#define SIZE_USUAL   1024u /* where a trace has no sizes */
#define RATE_THREADS 16u /* at a fixed rate: enough that requests seldom wait for a free one */

/* What is not said, and of --quick. */
#define KEYS_USUAL    50000u
#define KEYS_QUICK    5000u
#define SECONDS_USUAL 3
#define SECONDS_QUICK 0.5
#define ROUNDS_USUAL  5u

enum option {
    OPT_THREADS, OPT_NODES, OPT_SECONDS, OPT_ROUNDS, OPT_RATE, OPT_ARRIVALS, OPT_KEYS, OPT_SHAPE,
    OPT_LOG, OPT_TRACE, OPT_SIZE, OPT_MIX, OPT_ORIGIN, OPT_MEMORY, OPT_SET, OPT_REDIS, OPT_NO_FILL,
    OPT_NO_CONTROL, OPT_QUICK, OPT_SEED, OPTIONS
};

static const struct option_row options[OPTIONS + 1] = {
    [OPT_THREADS] = {"threads", "N,N...",
                     "in each node, one after the other (1, 2, 4 ... twice the\n"
                     "CPUs; with --rate 16)", NULL},
    [OPT_NODES] = {"nodes", "N", "processes (1)", NULL},
    [OPT_SECONDS] = {"seconds", "S",
                     "of each number of threads, and as long for its control (3)", NULL},
    [OPT_ROUNDS] = {"rounds", "N",
                    "in which they take turns, after one that is not counted (5)", NULL},
    [OPT_RATE] = {"rate", "N",
                  "requests a second of all together, at fixed times; latency\n"
                  "counts from those (without: as fast as they are answered)", NULL},
    [OPT_ARRIVALS] = {"arrivals", "WORD",
                      "at that rate: even (gaps all alike), or poisson (at random, as\n"
                      "many clients that know nothing of one another) (even)", NULL},
    [OPT_KEYS] = {"keys", "N", "(50k)", NULL},
    [OPT_SHAPE] = {"shape", "SHAPE",
                   "zipf:S, uniform, hotspot:N (nine in ten for 1 % of the keys,\n"
                   "which moves on N times a second), scan (half of it all keys\n"
                   "in turn), churn:N (N new keys a second) (zipf:0.99)", NULL},
    [OPT_LOG] = {"log", "FILE",
                 "keys in the order of an access log, sizes too, over and over", NULL},
    [OPT_TRACE] = {"trace", "FILE", "the same of a trace; see perf/run tune --help", NULL},
    [OPT_SIZE] = {"size", "SIZE",
                  "1k, uniform:100-10k, lognormal:1k:1.5 (median, sigma) (1k)", NULL},
    [OPT_MIX] = {"mix", "MIX", "in percent (read=98,write=1,invalidate=1)", NULL},
    [OPT_ORIGIN] = {"origin", "TIME", "that a load takes, asleep (1ms)", NULL},
    [OPT_MEMORY] = {"l1-memory", "SIZE", "of each node (256m)", NULL},
    [OPT_SET] = {"set", "NAME=VALUE",
                 "any option of nigh but redis.uri; NIGH_CONF counts, too", NULL},
    [OPT_REDIS] = {"redis", "URI|none",
                   "another Redis, where our keys are removed at the end; none:\n"
                   "L1 alone (a private one)", NULL},
    [OPT_NO_FILL] = {"no-fill", NULL, "begin with nothing in Redis and in L1", NULL},
    [OPT_NO_CONTROL] = {"no-control", NULL, "without the control", NULL},
    [OPT_QUICK] = {"quick", NULL,
                   "smoke run of some seconds: its figures mean nothing (0.5 s, 5k keys, 1 and 2\n"
                   "threads, where nothing else is said)", NULL},
    [OPT_SEED] = {"seed", "N", "of all randomness (1)", NULL},
};

/* ---- what is asked for ---- */

static void take_mix(struct load_settings *s, char *text)
{
    char *rest, name[16];
    double percent[3] = {0}; /* read, write, invalidate */
    static const char *const names[] = {"read", "write", "invalidate"};
    for (char *part = strtok_r(text, ",", &rest); part; part = strtok_r(NULL, ",", &rest)) {
        double value;
        int end = 0;
        unsigned i = 0;
        if (sscanf(part, "%15[a-z]=%lf%n", name, &value, &end) != 2 || part[end] || value < 0)
            fail("--mix %s: as read=98,write=1,invalidate=1 is wanted", part);
        while (i < 3 && strcmp(names[i], name) != 0)
            i++;
        if (i == 3)
            fail("--mix %s: read, write or invalidate is wanted", part);
        percent[i] = value;
    }
    double sum = percent[0] + percent[1] + percent[2];
    if (sum < 99.99 || sum > 100.01)
        fail("--mix: it adds up to %g %%, not to 100", sum);
    s->write = percent[1] / 100;
    s->invalidate = percent[2] / 100;
}

/* Keys come from one of these, and one that is not heeded would be believed. */
static void take_source(struct load_settings *s, const char *name)
{
    if (s->source)
        fail("--%s and --%s: one of --shape, --log and --trace", s->source, name);
    s->source = name;
}

/* Says of the sizes of a log or a trace how many are not as they were: larger than values here. */
static char *sizes_of(const struct input *in)
{
    size_t cut = 0;
    for (size_t i = 0; i < in->trace.count; i++)
        cut += in->trace.requests[i].size > LOAD_VALUE_MAX;
    if (!in->has_sizes)
        return must_print("1k (none are recorded)");
    if (!cut)
        return must_print("as recorded");
    return must_print("as recorded (%s of %s cut to 1 MiB)", table_count(cut),
                      table_count(in->trace.count));
}

static void take_input(struct load_settings *s, enum input_kind kind, const char *path)
{
    struct input in;
    char *why = input_read(&in, kind, path);
    if (why)
        fail("%s", why);
    if (!in.has_sizes)
        input_set_sizes(&in, SIZE_USUAL);
    s->shape.kind = SHAPE_TRACE;
    s->shape.trace = in.trace;
    s->shape_text = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    s->trace_sizes_text = sizes_of(&in);
    s->fill = false;
}

static void take_arrivals(struct load_settings *s, const char *text)
{
    s->arrivals = text;
    s->poisson = strcmp(text, "poisson") == 0;
    if (!s->poisson && strcmp(text, "even") != 0)
        fail("--arrivals %s: even or poisson is wanted", text);
}

static void add_set(struct load_settings *s, const char *from, const char *text)
{
    struct nigh_options probe = NIGH_OPTIONS_INIT;
    if (nigh_options_parse(&probe, text) != 0)
        fail("%s: %s", from, nigh_options_error());
    if (probe.redis_uri && strcmp(from, "--set") == 0)
        fail("--set redis.uri: which Redis is what --redis says");
    if (s->set_count == LOAD_SETS_MAX)
        fail("--set: %u at most", LOAD_SETS_MAX);
    s->sets[s->set_count++] = text;
}

static void take_shape(struct load_settings *s, int choice, const char *name, const char *text)
{
    switch (choice) {
    case OPT_KEYS: s->shape.keys = (uint32_t)parse_count(name, text, 1, 250000000); break;
    case OPT_SHAPE:
        take_source(s, name);
        shape_parse(&s->shape, text);
        s->shape_text = text;
        break;
    case OPT_LOG:
        take_source(s, name);
        take_input(s, INPUT_LOG, text);
        break;
    case OPT_TRACE:
        take_source(s, name);
        take_input(s, INPUT_TRACE, text);
        break;
    case OPT_SIZE:
        shape_parse_sizes(&s->shape, text);
        s->sizes_text = text;
        s->sized = true;
        break;
    default: s->shape.seed = parse_count(name, text, 0, 1ull << 52); break;
    }
}

static void take(void *settings, int choice, const char *name, char *text)
{
    struct load_settings *s = settings;
    switch (choice) {
    case OPT_THREADS:
        parse_list(name, text, LOAD_LEVELS_MAX, LOAD_THREADS_MAX, s->threads);
        break;
    case OPT_NODES: s->nodes = (unsigned)parse_number(name, text, 1, LOAD_NODES_MAX); break;
    case OPT_SECONDS: s->seconds = parse_number(name, text, 0.01, 86400); break;
    case OPT_ROUNDS: s->rounds = (unsigned)parse_number(name, text, 1, ROUNDS_MAX); break;
    case OPT_RATE: s->rate = (double)parse_count(name, text, 1, 1000000000); break;
    case OPT_ARRIVALS: take_arrivals(s, text); break;
    case OPT_MIX: take_mix(s, text); break;
    case OPT_ORIGIN: s->origin_ns = parse_time(name, text); break;
    case OPT_MEMORY: s->memory_bytes = parse_bytes(name, text, 4u << 20, 1ull << 46); break;
    case OPT_SET: add_set(s, "--set", text); break;
    case OPT_REDIS: s->redis = text; break;
    case OPT_NO_FILL: s->fill = false; break;
    case OPT_NO_CONTROL: s->control = false; break;
    case OPT_QUICK: s->quick = true; break;
    default: take_shape(s, choice, name, text); break;
    }
}

static const struct command_line command = {
    .usage = "perf/run load [OPTION...]",
    .about = "How fast is nigh on this machine, with so many threads, under such a load? One or\n"
             "several node processes in front of a private Redis. Beside it a control: threads\n"
             "that share nothing, which is what the machine itself scales to.\n",
    .status = "Requests a second and ratios are medians of the rounds. A ratio is made in each\n"
              "round, so the median of all is not the quotient of two columns; \"between\" says\n"
              "where it lies, 14 times of 15. Latencies are of the calls of all rounds.\n"
              "Exit status: 0 measured, 1 requests failed, 2 not measured.\n",
    .options = options,
    .take = take,
    .measures = true,
    .conf = CONF_TAKEN,
};

/* ---- defaults ---- */

static void usual_threads(struct load_settings *s)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned count = 0;
    if (s->rate > 0) {
        s->threads[0] = RATE_THREADS;
        return;
    }
    long most = s->quick ? 2 : 2 * cpus;
    for (unsigned t = 1; t <= LOAD_THREADS_MAX && count < LOAD_LEVELS_MAX; t *= 2)
        if (t == 1 || (long)t <= most)
            s->threads[count++] = t;
}

/* It counts as always, but only for the nodes, not for the control. */
static void take_environment(struct load_settings *s)
{
    char *conf = getenv("NIGH_CONF");
    if (conf && *conf)
        add_set(s, "NIGH_CONF", must_print("%s", conf));
    unsetenv("NIGH_CONF");
}

/* Settles what l1.memory is after all of --set. */
static void settle_memory(struct load_settings *s)
{
    struct nigh_options all = NIGH_OPTIONS_INIT;
    all.l1_memory = s->memory_bytes;
    for (unsigned i = 0; i < s->set_count; i++)
        if (nigh_options_parse(&all, s->sets[i]) != 0)
            fail("%s", nigh_options_error());
    s->memory_bytes = all.l1_memory;
}

static void parse(struct load_settings *s, struct output *ret_output, int argc, char **argv)
{
    *s = (struct load_settings){.shape_text = "zipf:0.99", .sizes_text = "1k", .nodes = 1,
                                .rounds = ROUNDS_USUAL, .write = 0.01, .invalidate = 0.01,
                                .origin_ns = PERF_NS_PER_MS, .memory_bytes = 256u << 20,
                                .control = true, .fill = true};
    s->shape = (struct shape){.seed = 1};
    shape_parse(&s->shape, s->shape_text);
    shape_parse_sizes(&s->shape, s->sizes_text);
    int rest = options_read(&command, "load", s, ret_output, argc, argv);
    if (rest < argc)
        fail("'%s' is no option; see perf/run load --help", argv[rest]);
    if (s->arrivals && s->rate == 0)
        fail("--arrivals %s: at which --rate?", s->arrivals);
    if (s->shape.kind == SHAPE_TRACE && (s->shape.keys || s->sized))
        fail("--%s: which keys there are, and how large, is what --%s says",
             s->sized ? "size" : "keys", s->source);
    if (!s->threads[0])
        usual_threads(s);
    if (!s->shape.keys)
        s->shape.keys = s->quick ? KEYS_QUICK : KEYS_USUAL;
    if (s->seconds == 0)
        s->seconds = s->quick ? SECONDS_QUICK : SECONDS_USUAL;
    if (s->rate > 0)
        s->control = false; /* which is about how fast, not about when */
    if (s->shape.kind == SHAPE_TRACE)
        s->sizes_text = s->trace_sizes_text;
    take_environment(s);
    settle_memory(s);
    shape_init(&s->shape);
}

static bool any_failed(const struct load_result *r)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->levels[i].all.failed)
            return true;
    return false;
}

int main(int argc, char **argv)
{
    static struct load_settings settings;
    struct load_result result;
    struct output output;
    parse(&settings, &output, argc, argv);
    if (!load_run(&result, &settings)) {
        fprintf(stderr, "perf: stopped; no figures\n");
        return ENDING_STATUS;
    }
    load_report(&result, stdout);
    load_results(&result);
    results_output(&output);
    if (result.rounds < settings.rounds)
        return ENDING_STATUS;
    return any_failed(&result) ? 1 : 0;
}
