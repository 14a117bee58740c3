// SPDX-License-Identifier: MIT
/*
 * How many instructions a call takes: counted, not timed, so a busy machine does not matter.
 *
 * valgrind's tool callgrind counts what is executed between the entry of a function of the public
 * interface and its end. Each row is a process of its own that repeats one operation; what it did
 * to get there is thrown away (loops.h). In valgrind a process asks the kernel for the time, which
 * costs it few instructions of its own; without, the kernel's page costs it about 40 more.
 *
 *     perf_instructions [OPTION...]          a table
 *     perf_instructions --loop ROW POLICY    what is counted
 *
 * Ends with 1 where a limit is exceeded, with 2 where there is no valgrind.
 */
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/measure.h"
#include "instructions/loops.h"
#include "support/ending.h"
#include "support/fail.h"
#include "support/folder.h"
#include "support/options.h"
#include "support/parse.h"

#define ROOMY (64ul << 20)
#define FULL (8ul << 20) /* 30,000 entries */
#define RUNS_MAX 99
/* Reads after which a thread that reads much samples as few of them as it ever will: what is
 * counted is a server under load, not its first hundredth of a second. */
#define THINNED 50000
#define POLICIES 2
static const char *const policies[POLICIES] = {"lfu", "lru"};

/* Counted are calls of two functions, the second of which ends what the first began. */
static const struct row {
    const char *name;
    const char *calls[2];
    struct loop loop;
    unsigned per;          /* an operation is so many of what is shown */
    double most[POLICIES]; /* 0: no limit */
} rows[] = {
    {"hit", {"nigh_fetch", "nigh_release"},
     {loop_hit, 20000, THINNED, 1000, ROOMY, KEYS_24}, 1, {210, 210}},
    {"hit, key of 5 bytes", {"nigh_fetch", "nigh_release"},
     {loop_hit, 20000, THINNED, 1000, ROOMY, KEYS_5}, 1, {280, 280}},
    {"hit, NIGH_L1_ONLY", {"nigh_fetch", "nigh_release"},
     {loop_hit_l1_only, 20000, THINNED, 1000, ROOMY, KEYS_24}, 1, {0}},
    {"hit, NIGH_L1_ONLY | NIGH_QUIET", {"nigh_fetch", "nigh_release"},
     {loop_hit_quiet, 20000, THINNED, 1000, ROOMY, KEYS_24}, 1, {0}},
    {"hit, of 16 in nigh_get_many()", {"nigh_get_many", "nigh_release"},
     {loop_many, 2000, 100, 1024, ROOMY, KEYS_24}, LOOP_BATCH, {0}},
    {"put of a known key", {"nigh_put"},
     {loop_put, 10000, 20000, 10000, ROOMY, KEYS_24}, 1, {900, 900}},
    {"put of a known key, sizes differ", {"nigh_put"},
     {loop_put, 10000, 20000, 10000, ROOMY, KEYS_17_TO_32}, 1, {0}},
    {"put of a new key, full", {"nigh_put"},
     {loop_put, 10000, 90000, 0, FULL, KEYS_24}, 1, {2200, 1300}},
    {"put of a new key, full, sizes differ", {"nigh_put"},
     {loop_put, 10000, 90000, 0, FULL, KEYS_17_TO_32}, 1, {0}},
    {"miss that loads", {"nigh_fetch", "nigh_release"},
     {loop_miss, 5000, 10000, 0, ROOMY, KEYS_24}, 1, {0}},
};

#define ROWS (sizeof(rows) / sizeof(*rows))

static const char *own_path;
static unsigned runs = 3; /* of each; shown is the one in the middle */

struct count {
    double instructions; /* per call */
    double other;        /* part of the operations that did something else */
};

/* ---- the counted process ---- */

static int run_loop(const char *row, const char *policy)
{
    unsigned long index = strtoul(row, NULL, 10);
    if (index >= ROWS)
        fail("there is no row %s", row);
    return loop_run(&rows[index].loop, policy);
}

static void become_loop(const struct row *row, const char *policy, const char *folder)
{
    char *index = must_print("%zu", (size_t)(row - rows));
    char *first = must_print("--toggle-collect=%s", row->calls[0]);
    char *second = must_print("--toggle-collect=%s", row->calls[row->calls[1] ? 1 : 0]);
    char *counts = must_print("--callgrind-out-file=%s/counts", folder);
    char *log = must_print("--log-file=%s/log", folder);
    char *said = must_print("%s/said", folder);
    if (!freopen(said, "w", stdout))
        fail("cannot write to %s", said);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    execlp("valgrind", "valgrind", "--tool=callgrind", "--zero-before=" LOOP_BEGINS, first, second,
           counts, log, own_path, "--loop", index, policy, (char *)NULL);
    _exit(127);
}

/* The number behind a word at the beginning of a line of the file. */
static double read_number(const char *folder, const char *file, const char *word)
{
    char *path = must_print("%s/%s", folder, file);
    FILE *in = fopen(path, "r");
    char text[4096];
    double number = -1;
    size_t len = strlen(word);
    while (in && fgets(text, sizeof(text), in))
        if (strncmp(text, word, len) == 0)
            number = strtod(text + len, NULL);
    if (number < 0)
        fail("no '%s' in %s", word, path);
    fclose(in);
    free(path);
    return number;
}

static struct count count_once(const struct row *row, const char *policy, const char *folder)
{
    int status;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0)
        become_loop(row, policy, folder);
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
        fail("%s: the counted process has failed", row->name);
    double operations = (double)row->loop.operations;
    return (struct count){
        .instructions = read_number(folder, "counts", "totals:") / (operations * row->per),
        .other = read_number(folder, "said", "other") / operations,
    };
}

static int by_count(const void *a, const void *b)
{
    const struct count *x = a, *y = b;
    return x->instructions < y->instructions ? -1 : x->instructions > y->instructions;
}

/* Each process hashes with another seed: other keys meet in a bucket or in the sketch. */
static struct count count_loop(const struct row *row, const char *policy, const char *folder)
{
    struct count counts[RUNS_MAX];
    for (unsigned i = 0; i < runs; i++) {
        progress_share((double)i / runs, "%s, %s", row->name, policy);
        counts[i] = count_once(row, policy, folder);
    }
    qsort(counts, runs, sizeof(*counts), by_count);
    return counts[runs / 2];
}

/* ---- the table ---- */

/* Whether it is within its limit. */
static bool show(const struct count *count, double most)
{
    bool met = most == 0 || count->instructions <= most;
    printf(" %9.1f %-6s", count->instructions, met ? "" : "MISSED");
    return met;
}

static unsigned show_row(const struct row *row, const char *folder)
{
    unsigned missed = 0;
    double other = 0;
    printf("%-38s", row->name);
    for (unsigned i = 0; i < POLICIES; i++) {
        struct count count = count_loop(row, policies[i], folder);
        progress_next();
        progress_end();
        missed += !show(&count, row->most[i]);
        result_add("instructions", row->name, policies[i], "per call", count.instructions,
                   row->most[i] > 0 ? "cap" : NULL, row->most[i]);
        other = count.other > other ? count.other : other;
    }
    if (row->most[0] != 0)
        printf(" %8.0f %6.0f", row->most[0], row->most[1]);
    if (other > 0)
        printf("  (%.1f %% did something else)", 100 * other);
    printf("\n");
    fflush(stdout);
    return missed;
}

static bool is_wanted(const struct row *row, const char *only)
{
    return !only || strstr(row->name, only);
}

static unsigned count_rows(const char *only)
{
    unsigned count = 0;
    for (unsigned i = 0; i < ROWS; i++)
        count += is_wanted(&rows[i], only);
    return count;
}

/* ---- the command line ---- */

enum option { OPT_ONLY, OPT_ROUNDS, OPTIONS };

static const struct option_row options[OPTIONS + 1] = {
    [OPT_ONLY] = {"only", "TEXT", "the calls whose names have it", NULL},
    [OPT_ROUNDS] = {"rounds", "N", "processes for each; the middle one is shown (3)", NULL},
};

static void take(void *settings, int choice, const char *name, char *text)
{
    if (choice == OPT_ONLY)
        *(const char **)settings = text;
    else
        runs = (unsigned)parse_number(name, text, 1, RUNS_MAX);
}

static const struct command_line command = {
    .usage = "perf/run instructions [OPTION...]",
    .about = "How many instructions does a call take? Counted by valgrind, which has to be there,\n"
             "so a busy machine does not matter. Each process hashes by a seed of its own: there\n"
             "is no --seed.\n",
    .status = "Exit status: 0 no limit is exceeded, 1 one is, 2 it could not be counted.\n",
    .options = options,
    .take = take,
    .measures = true,
};

int main(int argc, char **argv)
{
    unsigned missed = 0;
    const char *only = NULL;
    struct output output;
    if (argc == 4 && strcmp(argv[1], "--loop") == 0)
        return run_loop(argv[2], argv[3]);
    int rest = options_read(&command, "instructions", &only, &output, argc, argv);
    if (rest < argc)
        fail("'%s' is no option; see perf/run instructions --help", argv[rest]);
    if (system("valgrind --version >/dev/null 2>&1") != 0)
        fail("there is no valgrind here: apt-get install valgrind");
    own_path = argv[0];
    ending_catch();
    const char *folder = folder_create("nigh-instructions");
    printf("instructions per call                  %9s %16s         at most\n", policies[0],
           policies[1]);
    progress_plan(count_rows(only) * POLICIES);
    for (unsigned i = 0; i < ROWS; i++)
        if (is_wanted(&rows[i], only))
            missed += show_row(&rows[i], folder);
    results_output(&output);
    return missed ? 1 : 0;
}
