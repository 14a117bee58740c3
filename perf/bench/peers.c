// SPDX-License-Identifier: MIT
/*
 * `peers`: a hit beside everybody's, whoever was there when this was built; perf/run compare shows
 * it. Independent lookups among keys that are equally popular, by one thread and by several.
 *
 * Who hands out values in place is compared with nigh as it is; who copies them, with nigh and a
 * copy. The tables among them have no cap, no lifetimes and no counters.
 */
#include <stdio.h>
#include <string.h>

#include "bench/bench.h"
#include "bench/foreign.h"
#include "bench/stage.h"
#include "support/fail.h"
#include "support/output.h"

#define VALUE_BYTES 100u
#define WORDS_MAX   4u

#ifdef PERF_HAVE_TBB
#define TBB &candidate_tbb
#else
#define TBB NULL
#endif
#ifdef PERF_HAVE_CUCKOO
#define CUCKOO &candidate_cuckoo
#else
#define CUCKOO NULL
#endif
#ifdef PERF_CAFFEINE_JAR
#define CAFFEINE "java", "-cp", PERF_CAFFEINE_JAR ":@", "CaffeinePeer"
#else
#define CAFFEINE NULL
#endif

enum { NIGH, NIGH_COPY, FIRST_PEER };

/* A peer is a candidate, or a process. */
static const struct peer {
    const char *name; /* in the results */
    const struct candidate *candidate;
    bool copies;
    const char *words[WORDS_MAX]; /* "@FILE" is one beside this program */
    const char *package;          /* has it */
} peers[] = {
    [NIGH] = {"nigh", &candidate_nigh, false, {NULL}, "nothing"},
    [NIGH_COPY] = {"nigh, copied", &candidate_nigh, true, {NULL}, "nothing"},
    {"lfht", &candidate_lfht, false, {NULL}, "liburcu-dev"},
    {"ck_ht", &candidate_ck, false, {NULL}, "libck-dev"},
    {"caffeine", NULL, false, {CAFFEINE},
     "libcaffeine-java, default-jdk-headless"},
    {"ristretto", NULL, false, {"@perf_peer_ristretto"},
     "golang-github-dgraph-io-ristretto-dev, golang-go"},
    {"mutex", &candidate_mutex, true, {NULL}, "nothing"},
    {"lru", &candidate_lru, true, {NULL}, "nothing"},
    {"glib", &candidate_glib, true, {NULL}, "libglib2.0-dev"},
    {"tbb", TBB, true, {NULL}, "libtbb-dev"},
    {"cuckoo", CUCKOO, true, {NULL}, "libcuckoo-dev"},
};
#define PEERS (sizeof(peers) / sizeof(peers[0]))

struct entrant {
    struct nigh_space *space;
    struct lookup lookup;
    struct foreign *foreign;
    struct subject subject;
};

struct size {
    const char *name;
    uint32_t entries;
    uint64_t sequence, count;
};

static const struct size sizes[] = {
    {"10k", 10000, 1 << 14, 1 << 20},
    {"1M", 1000000, 1 << 20, 1 << 18},
};
static const struct size quick_size = {"10k", 10000, 1 << 14, 1 << 17};

/* ---- who is there ---- */

/* The word with the folder of this program in place of "@". */
static const char *beside_us(const char *word)
{
    const char *at = strchr(word, '@');
    if (!at)
        return word;
    char *path = output_sibling(at[1] ? at + 1 : ".");
    const char *whole = must_print("%.*s%s", (int)(at - word), word, path);
    free(path);
    return whole;
}

static struct foreign *start(const struct peer *p, const struct size *size,
                             const struct sequence *sequence)
{
    const char *words[WORDS_MAX + 1] = {NULL};
    for (unsigned i = 0; i < WORDS_MAX && p->words[i]; i++)
        words[i] = beside_us(p->words[i]);
    progress("peers: %s is getting ready", p->name);
    return foreign_open(p->name, words, size->entries, VALUE_BYTES, sequence);
}

static void open_all(struct entrant *all, const struct size *size, const struct sequence *sequence)
{
    struct candidate_need need = {.entries = size->entries, .value_bytes = VALUE_BYTES};
    for (size_t i = 0; i < PEERS; i++) {
        const struct peer *p = &peers[i];
        all[i] = (struct entrant){.subject = {.name = p->name}};
        if (p->candidate)
            all[i].space = i == NIGH_COPY ? all[NIGH].space : stage_create(p->candidate, &need);
        else if (p->words[0])
            all[i].foreign = start(p, size, sequence);
    }
    progress_end();
}

static void close_all(struct entrant *all)
{
    for (size_t i = 0; i < PEERS; i++) {
        if (all[i].space && i != NIGH_COPY)
            peers[i].candidate->destroy(all[i].space);
        if (all[i].foreign)
            foreign_close(all[i].foreign);
    }
}

/* ---- a case ---- */

/* Those that are there, in the order of `peers`; ret[] says who is who. */
static size_t line_up(struct entrant *all, const struct size *size, const struct sequence *sequence,
                      unsigned threads, struct subject *ret, size_t *ret_peers)
{
    size_t count = 0;
    for (size_t i = 0; i < PEERS; i++) {
        struct entrant *e = &all[i];
        enum loop_kind kind = i == NIGH_COPY ? LOOP_FREE_COPY : LOOP_FREE;
        e->lookup = (struct lookup){peers[i].candidate, {e->space}, sequence, kind, threads,
                                    size->count, e->lookup.at};
        if (e->space)
            ret[count] = (struct subject){peers[i].name, lookup_round, &e->lookup, {0}};
        else if (e->foreign)
            ret[count] = (struct subject){peers[i].name, foreign_round, e->foreign, {0}};
        else
            continue;
        if (e->foreign)
            foreign_set(e->foreign, size->count, threads);
        ret_peers[count++] = i;
    }
    return count;
}

static void measure(const struct bench_settings *s, struct entrant *all, const struct size *size,
                    const struct sequence *sequence, unsigned threads, const char *name)
{
    static struct subject subjects[PEERS];
    size_t who[PEERS];
    size_t count = line_up(all, size, sequence, threads, subjects, who);
    rounds_run(name, subjects, count, s->rounds);
    printf("%s\n", name);
    for (size_t i = 0; i < count; i++) {
        const struct subject *ours = &subjects[peers[who[i]].copies ? NIGH_COPY : NIGH];
        printf("  %-16s%10.1f", subjects[i].name, median(subjects[i].figures, s->rounds));
        if (i >= FIRST_PEER) {
            printf("%14.2f", median_ratio(ours->figures, subjects[i].figures, s->rounds));
            result_add_rounds("peers", name, peers[who[i]].copies ? "get and copy" : "get",
                              "cpu ns/lookup", ours, &subjects[i], s->rounds);
        }
        printf("\n");
    }
    fflush(stdout);
}

static void bench_size(const struct bench_settings *s, const struct size *size)
{
    static struct entrant all[PEERS];
    struct sequence sequence;
    char name[56];
    sequence_make(&sequence, KEYS_UNIFORM, size->entries, size->sequence, 1);
    open_all(all, size, &sequence);
    for (const unsigned *threads = s->threads; *threads; threads++) {
        snprintf(name, sizeof(name), "%s uniform, %u thread%s", size->name, *threads,
                 *threads > 1 ? "s" : "");
        if (result_wanted(s->only, name))
            measure(s, all, size, &sequence, *threads, name);
    }
    for (size_t i = 0; i < PEERS; i++)
        if (!all[i].space && !all[i].foreign)
            printf("%s: %s is missing (%s)\n", size->name, peers[i].name, peers[i].package);
    close_all(all);
    sequence_free(&sequence);
}

void bench_peers(const struct bench_settings *s)
{
    size_t count = s->quick ? 1 : sizeof(sizes) / sizeof(sizes[0]);
    printf("\npeers: a hit, CPU ns; who copies values out is beside nigh and a copy\n"
           "  %-16s%10s%14s\n", "", "CPU ns", "nigh / theirs");
    unsigned threads = 0;
    while (s->threads[threads])
        threads++;
    progress_plan((unsigned)count * threads);
    for (size_t i = 0; i < count; i++)
        bench_size(s, s->quick ? &quick_size : &sizes[i]);
}
