// SPDX-License-Identifier: MIT
/*
 * The command line of the benchmarks.
 */
#include "bench/settings.h"

#include <getopt.h>
#include <stdio.h>
#include <string.h>

#include "bench/stage.h"
#include "support/fail.h"

static const char usage[] =
    "Usage: perf/run COMMAND [OPTION...]\n"
    "\n"
    "  hit       what a lookup costs that finds its key; what each feature of it costs\n"
    "  write     insert and evict; fill; 95 % and 50 % reads\n"
    "  memory    bytes per entry beyond key and value; the accounting against the allocator's\n"
    "  resize    how long a lock is held while a shard doubles; readers meanwhile\n"
    "  limbo     memory while a reader is stuck, and while values are held\n"
    "  shrink    how soon resident memory follows a smaller l1.memory; what puts notice\n"
    "  trace     [FILE.t8.zst...]  hit ratio, beside exact LRU, GDSF and the optimum\n"
    "  bars      all but trace, and which bars are met\n"
    "\n"
    "  --rounds N         counted rounds, after one that is not (5)\n"
    "  --quick            smoke run of some seconds: its figures mean nothing\n"
    "  --only TEXT        hit, write, memory, shrink: cases whose names have it\n"
    "  --threads N,N...   hit, write: so many at once, up to 16 (1,2)\n"
    "  --full             hit: 10M entries too (needs 20 GB of memory); shrink: 2 GiB\n"
    "  --pages 2m|tables|4k   of the allocator's memory and nigh's tables, of the latter, of none\n"
    "  --json FILE        write the results as JSON, too\n"
    "  --objects N        trace: capacity in objects\n"
    "  --bytes N          trace: capacity in bytes of payload\n"
    "  --policy NAME      trace: of L1 (its default)\n"
    "  --shards N         trace: of L1 (1)\n"
    "  --generate SPEC    trace: make one, name=value,...: keys (100000), requests (2000000),\n"
    "                     zipf (0.9), small (0.7: popular objects are small), seed (1)\n"
    "  --reference FILE   trace: CSV trace,cache_size,unit,policy,hit_ratio: its sizes are run\n"
    "  --help             this text\n"
    "\n"
    "CPU time of threads, medians of interleaved rounds; only ratios mean anything on a shared\n"
    "machine. Exit status: 0 measured (bars: all met), 1 a bar was missed, 2 not measured.\n";

enum choice {
    OPT_ROUNDS = 1, OPT_QUICK, OPT_ONLY, OPT_THREADS, OPT_FULL, OPT_PAGES, OPT_JSON, OPT_OBJECTS,
    OPT_BYTES, OPT_POLICY, OPT_SHARDS, OPT_GENERATE, OPT_REFERENCE, OPT_CACHE, OPT_HELP
};

static const struct option options[] = {
    {"rounds", required_argument, NULL, OPT_ROUNDS},
    {"quick", no_argument, NULL, OPT_QUICK},
    {"only", required_argument, NULL, OPT_ONLY},
    {"threads", required_argument, NULL, OPT_THREADS},
    {"full", no_argument, NULL, OPT_FULL},
    {"pages", required_argument, NULL, OPT_PAGES},
    {"json", required_argument, NULL, OPT_JSON},
    {"objects", required_argument, NULL, OPT_OBJECTS},
    {"bytes", required_argument, NULL, OPT_BYTES},
    {"policy", required_argument, NULL, OPT_POLICY},
    {"shards", required_argument, NULL, OPT_SHARDS},
    {"generate", required_argument, NULL, OPT_GENERATE},
    {"reference", required_argument, NULL, OPT_REFERENCE},
    {"cache", required_argument, NULL, OPT_CACHE}, /* what every command is given; not used here */
    {"help", no_argument, NULL, OPT_HELP},
    {NULL, 0, NULL, 0},
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

static void take(struct settings *s, int choice, const char *name, const char *text)
{
    struct bench_settings *b = &s->bench;
    switch (choice) {
    case OPT_ROUNDS: b->rounds = (unsigned)number(name, text, 1, ROUNDS_MAX); break;
    case OPT_QUICK: b->quick = true; break;
    case OPT_ONLY: b->only = text; break;
    case OPT_THREADS: take_threads(s, text); break;
    case OPT_FULL: b->full = true; break;
    case OPT_PAGES: take_pages(s, text); break;
    case OPT_JSON: b->json = text; break;
    case OPT_OBJECTS: b->objects = number(name, text, 1, UINT32_MAX); break;
    case OPT_BYTES: b->bytes = number(name, text, 1, UINT64_MAX >> 16); break;
    case OPT_POLICY: b->policy = text; break;
    case OPT_SHARDS: b->shards = (uint32_t)number(name, text, 1, 65536); break;
    case OPT_GENERATE: b->generate = text; break;
    case OPT_REFERENCE: b->reference = text; break;
    case OPT_CACHE: break;
    case OPT_HELP: fputs(usage, stdout); exit(0);
    default: fail("see --help");
    }
}

void settings_parse(struct settings *s, int argc, char **argv)
{
    int choice, index;
    *s = (struct settings){.bench = {.rounds = 5}, .threads = {1, 2},
                           .huge_pages = true, .huge_tables = true};
    if (argc < 2)
        fail("which benchmark? see --help");
    s->bench.command = argv[1];
    s->bench.threads = s->threads;
    optind = 2;
    if (argv[1][0] == '-')
        optind = 1; /* --help alone */
    while ((choice = getopt_long(argc, argv, "", options, &index)) != -1)
        take(s, choice, choice == '?' ? "" : options[index].name, optarg);
    s->bench.files = argv + optind;
    s->bench.file_count = argc - optind;
}
