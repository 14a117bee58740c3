// SPDX-License-Identifier: MIT
/*
 * The command line of the benchmarks.
 */
#include "bench/settings.h"

#include <stdio.h>
#include <string.h>

#include "bench/keys.h"
#include "bench/stage.h"
#include "support/fail.h"
#include "support/options.h"

enum option {
    OPT_ROUNDS, OPT_QUICK, OPT_ONLY, OPT_THREADS, OPT_FULL, OPT_PAGES, OPT_OBJECTS, OPT_BYTES,
    OPT_POLICY, OPT_SHARDS, OPT_CURVE, OPT_GENERATE, OPT_REFERENCE, OPT_SEED,
    OPT_HASH_SEED, OPTIONS
};

static const struct option_row options[OPTIONS + 1] = {
    [OPT_ROUNDS] = {"rounds", "N", "counted ones, after one that is not (5)",
                    "hit write resize peers bars"},
    [OPT_QUICK] = {"quick", NULL, "smoke run of some seconds: its figures mean nothing", NULL},
    [OPT_ONLY] = {"only", "TEXT", "the cases whose names have it",
                  "hit write memory shrink peers bars"},
    [OPT_THREADS] = {"threads", "N,N...", "so many at once, up to 16 (1,2)",
                     "hit write peers bars"},
    [OPT_FULL] = {"full", NULL,
                  "hit: 10M entries too (needs 20 GB of memory); shrink: 2 GiB", "hit shrink bars"},
    [OPT_PAGES] = {"pages", "2m|tables|4k",
                   "large ones for the allocator and nigh's tables, for the latter\n"
                   "alone, for none (2m)", "hit write memory resize limbo peers bars"},
    [OPT_OBJECTS] = {"objects", "N", "capacity in objects", "trace"},
    [OPT_BYTES] = {"bytes", "N", "capacity in bytes of payload", "trace"},
    [OPT_POLICY] = {"policy", "NAME", "of L1 (its default)", "trace"},
    [OPT_SHARDS] = {"shards", "N", "of L1 (1)", "trace"},
    [OPT_CURVE] = {"curve", NULL,
                   "what nigh_curve() says of other caps, beside a replay under each", "trace"},
    [OPT_GENERATE] = {"generate", "SPEC",
                      "make a trace, name=value,...: keys (100000), requests\n"
                      "(2000000), zipf (0.9), small (0.7: popular objects are\n"
                      "small), seed (1)", "trace"},
    [OPT_REFERENCE] = {"reference", "FILE",
                       "CSV trace,cache_size,unit,policy,hit_ratio: its sizes are run", "trace"},
    [OPT_SEED] = {"seed", "N", "of the order of the keys (0)", "hit write resize peers bars"},
    [OPT_HASH_SEED] = {"seed", "N", "of L1's hash: by the same one the hits are the same (1)",
                       "trace"},
};

static uint64_t number(const char *name, const char *text, uint64_t min, uint64_t max)
{
    char *end;
    uint64_t value = strtoull(text, &end, 10);
    if (end == text || *end || *text == '-' || value < min || value > max)
        fail("--%s %s: a number from %lu to %lu is wanted", name, text, (unsigned long)min,
             (unsigned long)max);
    return value;
}

static void take_pages(struct settings *s, const char *text)
{
    if (strcmp(text, "2m") != 0 && strcmp(text, "4k") != 0 && strcmp(text, "tables") != 0)
        fail("--pages %s: 2m, tables or 4k is wanted", text);
    s->huge_pages = strcmp(text, "2m") == 0;
    s->huge_tables = strcmp(text, "4k") != 0;
}

static void take_threads(struct settings *s, const char *text)
{
    size_t count = 0;
    for (const char *at = text; at; at = strchr(at, ','), at = at ? at + 1 : NULL) {
        char one[8];
        if (count == SETTINGS_THREADS_MAX)
            fail("--threads %s: %u numbers at most", text, SETTINGS_THREADS_MAX);
        snprintf(one, sizeof(one), "%.*s", (int)strcspn(at, ","), at);
        s->threads[count++] = (unsigned)number("threads", one, 1, STAGE_THREADS_MAX);
    }
    s->threads[count] = 0;
}

static void take(void *settings, int choice, const char *name, char *text)
{
    struct settings *s = settings;
    struct bench_settings *b = &s->bench;
    switch (choice) {
    case OPT_ROUNDS: b->rounds = (unsigned)number(name, text, 1, ROUNDS_MAX); break;
    case OPT_QUICK: b->quick = true; break;
    case OPT_ONLY: b->only = text; break;
    case OPT_THREADS: take_threads(s, text); break;
    case OPT_FULL: b->full = true; break;
    case OPT_PAGES: take_pages(s, text); break;
    case OPT_OBJECTS: b->objects = number(name, text, 1, UINT32_MAX); break;
    case OPT_BYTES: b->bytes = number(name, text, 1, UINT64_MAX >> 16); break;
    case OPT_POLICY: b->policy = text; break;
    case OPT_SHARDS: b->shards = (uint32_t)number(name, text, 1, 65536); break;
    case OPT_CURVE: b->curve = true; break;
    case OPT_GENERATE: b->generate = text; break;
    case OPT_REFERENCE: b->reference = text; break;
    case OPT_HASH_SEED: b->seed = number(name, text, 0, UINT32_MAX); break;
    default: keys_set_seed((uint32_t)number(name, text, 0, UINT32_MAX)); break;
    }
}

/* ---- commands ---- */

#define TIMED                                                                                      \
    "CPU time of threads, medians of interleaved rounds; only ratios mean anything\n"             \
    "on a shared machine.\n"
#define MEASURED "Exit status: 0 measured, 2 not measured.\n"

static const struct {
    const char *name, *usage, *about, *status;
} commands[] = {
    {"hit", "hit", "What a lookup costs that finds its key, and what each feature of it costs.",
     TIMED MEASURED},
    {"write", "write", "What puts cost: insert and evict; fill; 95 % and 50 % reads.",
     TIMED MEASURED},
    {"memory", "memory", "Bytes per entry beyond key and value; its count beside the kernel's.",
     MEASURED},
    {"resize", "resize", "How long a lock is held while a shard doubles; readers meanwhile.",
     MEASURED},
    {"limbo", "limbo", "Memory while a reader is stuck, and while values are held.", MEASURED},
    {"shrink", "shrink", "How soon resident memory follows a smaller l1.memory; what puts notice.",
     MEASURED},
    {"trace", "trace [FILE...]",
     "Hit ratio of traces (files as of tune --trace), beside LRU, GDSF and the optimum.",
     MEASURED},
    {"peers", "peers", "A hit beside every other table that was there when this was built.",
     TIMED MEASURED},
    {"bars", "bars", "All but trace and peers, and which bars are met.",
     TIMED "Exit status: 0 all bars met, 1 one was missed, 2 not measured.\n"},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

/* Finds what --help says of a command. */
static void find_texts(const char *name, struct command_line *ret)
{
    for (size_t i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0) {
            ret->usage = must_print("perf/run %s [OPTION...]", commands[i].usage);
            ret->about = must_print("%s\n", commands[i].about);
            ret->status = commands[i].status;
            return;
        }
    fail("there is no benchmark '%s'; see perf/run --help", name);
}

void settings_parse(struct settings *s, int argc, char **argv)
{
    struct command_line line = {.options = options, .take = take, .measures = true};
    *s = (struct settings){.bench = {.rounds = 5, .seed = 1}, .threads = {1, 2},
                           .huge_pages = true, .huge_tables = true};
    if (argc < 2)
        fail("which benchmark? see perf/run --help");
    s->bench.command = argv[1];
    s->bench.threads = s->threads;
    find_texts(argv[1], &line);
    int rest = options_read(&line, argv[1], s, &s->output, argc, argv);
    s->bench.files = argv + rest;
    s->bench.file_count = argc - rest;
    if (s->bench.file_count && strcmp(argv[1], "trace") != 0)
        fail("'%s' is no option; see perf/run %s --help", argv[rest], argv[1]);
}
