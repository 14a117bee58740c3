// SPDX-License-Identifier: MIT
/*
 * Peers in one run. Each program measures nigh beside its peers in turns, on the same keys, so a
 * ratio is of one round on one machine. Between programs nothing is compared.
 */
#include "report/peers.h"

#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "report/compare.h"
#include "support/ending.h"
#include "support/fail.h"
#include "support/folder.h"
#include "support/output.h"
#include "support/table.h"

#define WORDS_MAX 12u

struct part {
    const char *program;
    const char *words[WORDS_MAX], *quick_words[WORDS_MAX]; /* NULL ends */
};

static const struct part parts[] = {
    {"perf_bench",
     {"peers", NULL},
     {"peers", "--threads", "1", "--quick", "--rounds", "5", NULL}},
    {"perf_link",
     {"link", "--only", "^(GET, (1|16) threads?|get_many of 32)$", NULL},
     {"link", "--only", "^(GET, 1 thread|get_many of 32)$", "--seconds", "0.5", "--rounds", "5",
      NULL}},
    {"perf_link",
     {"miss", "--only", "^warm", NULL},
     {"miss", "--only", "^warm, 1 thread", "--seconds", "0.5", "--rounds", "5", NULL}},
};
#define PARTS (sizeof(parts) / sizeof(parts[0]))

/* Who might be there, by the name that a row has, and what it takes. */
static const struct {
    const char *name, *baseline, *package;
} peers[] = {
    {"liburcu's cds_lfht", "lfht", "liburcu-dev"},
    {"Concurrency Kit's ck_ht", "ck_ht", "libck-dev"},
    {"64 mutexes", "mutex", "libck-dev and libglib2.0-dev, for its program"},
    {"64 mutexes and LRU lists", "lru", "the same"},
    {"GLib's GHashTable", "glib", "libglib2.0-dev"},
    {"TBB's concurrent_hash_map", "tbb", "libtbb-dev"},
    {"libcuckoo", "cuckoo", "libcuckoo-dev"},
    {"memcached", "memcached", "memcached"},
    {"Redis by hiredis", "hiredis", "redis-tools"},
    {"Redis by MGET", "hiredis MGET", "redis-tools"},
    {"Caffeine", "caffeine", "libcaffeine-java, default-jdk-headless"},
    {"Ristretto", "ristretto", "golang-github-dgraph-io-ristretto-dev, golang-go"},
};
#define PEERS (sizeof(peers) / sizeof(peers[0]))

/* ---- measuring ---- */

static pid_t running; /* 0: none */

/* It has files and processes of its own to undo: who asked gets his prompt when that is done. */
static void stop_running(void)
{
    if (running > 0 && kill(running, SIGTERM) == 0)
        waitpid(running, NULL, 0);
}

/* Runs one program, whose table goes to stderr: ours is the answer. False: it measured nothing. */
static bool run(const char *path, const char *const *words, const char *json)
{
    char *argv[WORDS_MAX + 4] = {must_print("%s", path)};
    int status = 0, count = 1;
    for (; *words; words++)
        argv[count++] = must_print("%s", *words);
    argv[count++] = must_print("--json");
    argv[count] = must_print("%s", json);
    running = fork();
    if (running == 0) {
        prctl(PR_SET_PDEATHSIG, SIGTERM);
        dup2(STDERR_FILENO, STDOUT_FILENO);
        execv(path, argv);
        _exit(PERF_EXIT_BROKEN);
    }
    if (running < 0 || waitpid(running, &status, 0) != running)
        fail("cannot start %s: %m", path);
    running = 0;
    while (count >= 0)
        free(argv[count--]);
    return WIFEXITED(status) && WEXITSTATUS(status) != PERF_EXIT_BROKEN;
}

/* What one program cannot measure does not cost what the others have: it is said, and its peers are
 * missing. */
static void run_part(const struct part *part, bool quick, const char *file, json_t *to)
{
    char *path = output_sibling(part->program);
    const char *why = NULL;
    unlink(file); /* of the one before */
    if (access(path, X_OK) != 0)
        why = "is not built";
    else if (!run(path, quick ? part->quick_words : part->words, file))
        why = "measured nothing";
    json_t *results = why ? NULL : json_load_file(file, 0, NULL);
    if (!why && (!results || json_array_extend(to, results) != 0))
        why = "has left no results";
    if (why)
        fprintf(stderr, "perf: %s %s, so its peers are missing\n", part->program, why);
    json_decref(results);
    free(path);
}

/* ---- the table ---- */

static const struct row *find_peer(const struct rows *rows, const char *baseline)
{
    for (size_t i = 0; i < rows->count; i++)
        if (rows->all[i].baseline && strcmp(rows->all[i].baseline, baseline) == 0)
            return &rows->all[i];
    return NULL;
}

/* One figure of each case: what a lookup costs, or how many there are in a second. */
static bool is_shown(const struct row *r)
{
    return r->baseline && (strncmp(r->metric, "get", 3) == 0 || strcmp(r->metric, "op/s") == 0);
}

static const char *number(double x)
{
    return table_print("%.*f", x < 9.995 ? 2 : x < 999.5 ? 1 : 0, x);
}

static void print_row(const struct row *r, FILE *out)
{
    static const char *const says[VERDICTS] = {
        [VERDICT_WITHIN] = "no difference is sure",
        [VERDICT_BETTER] = "nigh is better",
        [VERDICT_WORSE] = "the peer is better",
        [VERDICT_FEW] = NULL,
    };
    const char *verdict = says[compare_beside(r)];
    struct row_range range = row_range(r);
    fprintf(out, "  %-24s%10s%10s%12s%16s  %s\n", r->baseline, number(r->value),
            number(r->baseline_value), number(r->ratio),
            isnan(range.low) ? "?" : table_print("%.2f to %.2f", range.low, range.high),
            verdict ? verdict : compare_cannot_tell(r->rounds));
}

static void print_missing(const struct rows *rows, FILE *out)
{
    const char *before = "\nmissing: ";
    for (size_t i = 0; i < PEERS; i++) {
        if (find_peer(rows, peers[i].baseline))
            continue;
        fprintf(out, "%s%s (%s)", before, peers[i].name, peers[i].package);
        before = ",\n         ";
    }
    if (before[0] == ',')
        fputc('\n', out);
}

void peers_print(const struct rows *rows, FILE *out)
{
    const struct row *last = NULL;
    fprintf(out, "%-26s%10s%10s%12s%16s\n", "", "nigh", "the peer", "nigh / peer", "between");
    for (size_t i = 0; i < rows->count; i++) {
        const struct row *r = &rows->all[i];
        if (!is_shown(r))
            continue;
        if (!last || !row_is_headed_like(last, r) || strcmp(last->name, r->name) != 0)
            fprintf(out, "%s: %s (%s is better)\n", r->name, row_quantity(r),
                    row_rises(r) ? "more" : "less");
        print_row(r, out);
        last = r;
    }
    fprintf(out, "nigh / peer: the median of the ratios that the rounds had, each of its own.\n"
                 "between: there that median lies, 14 times of 15; better or not where 1 lies "
                 "outside.\nOf fewer than %u rounds: the least and the most of them, which tells "
                 "nothing.\n",
            COMPARE_ROUNDS);
    print_missing(rows, out);
    table_end();
}

void peers_run(bool quick, struct output *o)
{
    struct rows rows;
    json_t *all = json_array();
    output_check(o);
    const char *json = output_json(o);
    char *file = must_print("%s/results.json", folder_create("nigh-compare"));
    ending_add(stop_running);
    for (size_t i = 0; i < PARTS; i++)
        run_part(&parts[i], quick, file, all);
    if (json_array_size(all) == 0)
        fail("nothing was measured");
    if (json_dump_file(all, file, 0) != 0)
        fail("cannot write %s", file);
    if (json && json_dump_file(all, json, JSON_INDENT(1)) != 0)
        fail("cannot write %s", json);
    json_decref(all);
    char *why = rows_read(&rows, file);
    if (why)
        fail("%s", why);
    if (quick)
        printf("--quick: a smoke run; its figures mean little\n");
    peers_print(&rows, stdout);
    output_page(o);
    rows_free(&rows);
    free(file);
}
