// SPDX-License-Identifier: MIT
/*
 * `memory`: how many bytes does an entry take beyond its key and value, and does the accounting
 * tell the truth?
 *
 * Entries are added to a cache that has room for all, and looked at whenever their number has
 * grown by an eighth, over a whole doubling of the tables: their load moves by a factor of two, so
 * a single look says nothing. "Bookkeeping" is header, bucket and queue; what blocks are rounded
 * up is beside it, and both are in nigh's own count. "Lost" is what is counted beyond key and
 * value, as a share of them.
 *
 * That count is compared with the arena's statistics and with what is mapped outside the allocator
 * (slabs, in regions of 2 MiB), which the kernel counts, in a cache whose tables are mapped one by
 * one. By default they lie side by side in regions of 16 MiB, which are mapped long before they
 * are used: the kernel's count would be off by up to a region, either way. (So it was: 1.17 at 16
 * B, because the region was there when the count began.) The other comparison, with resident
 * memory, is made as by default.
 */
#include <stdio.h>
#include <string.h>

#include "bench/arena.h"
#include "bench/bench.h"
#include "bench/stage.h"
#include "l1/entry.h"
#include "support/fail.h"

#define LOOKS 32u
#define KEY_BYTES_MEAN ((KEY_BYTES_MIN + KEY_BYTES_MAX) / 2.0)

struct account {
    double entries;
    double used_bytes;     /* by nigh */
    double tables_bytes;   /* of it */
    double arena_bytes;    /* by the allocator */
    double outside_bytes;  /* mapped, but not by the allocator */
    double resident_bytes; /* of the process */
};

struct figures {
    double bookkeeping; /* bytes per entry: header, bucket, queue */
    double rounding;    /* of blocks */
    double lost;        /* nigh's count beyond key and value, as a share of them */
    double accounted;   /* nigh's count / allocator's and kernel's */
    double resident;    /* resident / nigh's count */
    double worst_accounted;
};

static struct account look(struct nigh *cache)
{
    return (struct account){
        .entries = (double)nigh_stats_value(cache, NULL, "entries"),
        .used_bytes = (double)(nigh_stats_value(cache, NULL, "memory_bytes") -
                               nigh_stats_value(cache, NULL, "limbo_bytes")),
        .tables_bytes = (double)nigh_stats_value(cache, NULL, "tables_bytes"),
        .arena_bytes = (double)arenas_allocated_bytes(),
        .outside_bytes = (double)process_virtual_bytes() - (double)jemalloc_mapped_bytes(),
        .resident_bytes = (double)process_resident_bytes(),
    };
}

static void add_look(struct figures *f, const struct account *begin, const struct account *now,
                     uint32_t value_bytes)
{
    double used = now->used_bytes - begin->used_bytes;
    double real = now->arena_bytes - begin->arena_bytes + now->outside_bytes -
                  begin->outside_bytes;
    double asked = KEY_BYTES_MEAN + value_bytes;
    double over = used / now->entries - asked;
    double tables = (now->tables_bytes - begin->tables_bytes) / now->entries;
    double rounding = over - tables - (double)sizeof(struct l1_entry);
    f->rounding += rounding / LOOKS;
    f->bookkeeping += (over - rounding) / LOOKS;
    f->lost += over / asked / LOOKS;
    f->accounted += used / real / LOOKS;
    f->resident += (now->resident_bytes - begin->resident_bytes) / used / LOOKS;
    double off = used > real ? used / real : real / used;
    f->worst_accounted = off > f->worst_accounted ? off : f->worst_accounted;
}

static struct figures measure(uint32_t value_bytes, uint64_t entries, bool maps_singly)
{
    struct candidate_need need = {
        .entries = entries, .value_bytes = value_bytes, .maps_singly = maps_singly};
    struct figures f = {0};
    struct nigh_space *space = candidate_nigh.create(&need);
    struct nigh *cache = candidate_nigh_cache(space);
    struct account begin = look(cache);
    uint32_t number = 0;
    for (unsigned i = 1; i <= LOOKS; i++) {
        uint64_t until = entries / 2 + entries / 2 * i / LOOKS;
        for (; number < until; number++)
            stage_put(&candidate_nigh, space, number, &need);
        candidate_nigh.settle(space); /* old tables go */
        struct account now = look(cache);
        add_look(&f, &begin, &now, value_bytes);
        progress_share((double)i / LOOKS, "memory: values of %u bytes: %u of %lu", value_bytes,
                       number, (unsigned long)entries);
    }
    progress_next();
    progress_end();
    candidate_nigh.destroy(space);
    return f;
}

static void report(const char *name, const struct figures *f)
{
    printf("%-16s%14.1f%14.1f%10.1f%16.3f%16.3f%14.2f\n", name, f->bookkeeping, f->rounding,
           f->lost * 100, f->accounted, f->worst_accounted, f->resident);
    fflush(stdout);
    result_add("memory", name, "bookkeeping", "bytes/entry", f->bookkeeping, NULL, 0);
    result_add("memory", name, "rounding", "bytes/entry", f->rounding, NULL, 0);
    result_add("memory", name, "lost", "share of key and value", f->lost, NULL, 0);
    result_add("memory", name, "accounted", "share of the allocator's", f->accounted, NULL, 0);
    result_add("memory", name, "worst accounted", "factor", f->worst_accounted, NULL, 0);
    result_add("memory", name, "resident", "share of the accounted", f->resident, NULL, 0);
}

void bench_memory(const struct bench_settings *s)
{
    static const uint32_t sizes[] = {16,   64,    100,   256,   400,   700,   1024,
                                     1500, 2048,  3000,  4096,  8192,  12000, 16384,
                                     20000, 24000, 28000, 32768, 40000, 49152, 65536};
    printf("\nmemory: bytes per entry beyond key and value; nigh's count against the "
           "allocator's\n"
           "bookkeeping: entry and its part of the tables; rounded up: by block sizes; lost: both, "
           "of key and\nvalue; accounted/real: nigh's count over the allocator's; worst: furthest "
           "off at any look;\nresident/acc: what the process has grown by over nigh's count\n"
           "%-16s%14s%14s%10s%16s%16s%14s\n", "", "bookkeeping", "rounded up",
           "lost %", "accounted/real", "worst factor", "resident/acc");
    progress_plan(2 * sizeof(sizes) / sizeof(sizes[0])); /* --only leaves some out */
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint64_t entries = s->quick ? 50000 : sizes[i] > 1000 ? 100000 : 1000000;
        if (sizes[i] > 5000)
            entries = (s->quick ? 64u << 20 : 400u << 20) / sizes[i];
        char name[56];
        snprintf(name, sizeof(name), "%u B values", sizes[i]);
        if (!result_wanted(s->only, name)) {
            progress_next();
            progress_next();
            continue;
        }
        struct figures f = measure(sizes[i], entries, true);
        f.resident = measure(sizes[i], entries, false).resident;
        report(name, &f);
    }
}
