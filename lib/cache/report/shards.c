// SPDX-License-Identifier: MIT
/*
 * Reading all shards, sorting each number, and nigh_stats_shards().
 */
#include "cache/report/shards.h"

#include <inttypes.h>
#include <stdlib.h>

#include <nigh/stats.h>

#include "cache/report/formats.h"

const char *const shards_names[SHARD_NUMBERS] = {"entries", "entry_bytes", "lock_waits",
                                                 "lock_wait_us"};

/* Rows of numbers, one for each shard. Without memory only the count is right. */
struct rows {
    uint64_t (*of)[SHARD_NUMBERS];
    size_t room;
    size_t count;
};

static void add_row(void *arg, const struct l1_shard_gauges *g)
{
    struct rows *rows = arg;
    size_t at = rows->count++;
    if (at >= rows->room)
        return;
    rows->of[at][0] = g->entries;
    rows->of[at][1] = g->entry_bytes;
    rows->of[at][2] = g->lock_waits;
    rows->of[at][3] = g->lock_wait_ns / 1000;
}

/* Tables may be added meanwhile: those are left out. */
static bool read_rows(struct nigh *cache, struct rows *ret)
{
    struct rows rows = {0};
    l1_shards_each(cache->l1, add_row, &rows);
    rows.room = rows.count;
    rows.of = mem_alloc(cache->env.mem, NULL, rows.room * sizeof(*rows.of));
    if (!rows.of)
        return false;
    rows.count = 0;
    l1_shards_each(cache->l1, add_row, &rows);
    if (rows.count > rows.room)
        rows.count = rows.room;
    *ret = rows;
    return true;
}

static void free_rows(struct nigh *cache, struct rows *rows)
{
    mem_free(cache->env.mem, NULL, rows->of, rows->room * sizeof(*rows->of));
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void shards_read(struct nigh *cache, struct shards_spread ret[SHARD_NUMBERS])
{
    struct rows rows = {0};
    bool read = read_rows(cache, &rows);
    uint64_t *sorted =
        read ? mem_alloc(cache->env.mem, NULL, rows.room * sizeof(*sorted)) : NULL;
    for (size_t n = 0; n < SHARD_NUMBERS; n++) {
        ret[n] = (struct shards_spread){0, 0, 0};
        for (size_t i = 0; sorted && i < rows.count; i++)
            sorted[i] = rows.of[i][n];
        if (!sorted)
            continue;
        qsort(sorted, rows.count, sizeof(*sorted), by_size);
        ret[n] = (struct shards_spread){sorted[0], sorted[rows.count / 2], sorted[rows.count - 1]};
    }
    if (sorted)
        mem_free(cache->env.mem, NULL, sorted, rows.room * sizeof(*sorted));
    if (read)
        free_rows(cache, &rows);
}

static void print_text(struct text *w, const struct rows *rows)
{
    text_add(w, "%8s", "shard");
    for (size_t n = 0; n < SHARD_NUMBERS; n++)
        text_add(w, " %14s", shards_names[n]);
    text_add(w, "\n");
    for (size_t i = 0; i < rows->count; i++) {
        text_add(w, "%8zu", i);
        for (size_t n = 0; n < SHARD_NUMBERS; n++)
            text_add(w, " %14" PRIu64, rows->of[i][n]);
        text_add(w, "\n");
    }
}

static void print_json(struct text *w, const struct rows *rows)
{
    text_add(w, "{\"shards\": [");
    for (size_t i = 0; i < rows->count; i++) {
        for (size_t n = 0; n < SHARD_NUMBERS; n++)
            text_add(w, "%s\"%s\": %" PRIu64, n ? ", " : i ? ", {" : "{", shards_names[n],
                     rows->of[i][n]);
        text_add(w, "}");
    }
    text_add(w, "]}\n");
}

long nigh_stats_shards(struct nigh *cache, enum nigh_stats_format format, char *buffer, size_t size)
{
    struct text w = text_into(buffer, size);
    struct rows rows;
    int rc = cache_check_open(cache);
    if (rc != 0)
        return rc;
    if (format != NIGH_STATS_TEXT && format != NIGH_STATS_JSON)
        return NIGH_EINVAL;
    if (!read_rows(cache, &rows))
        return NIGH_ENOMEM;
    if (format == NIGH_STATS_TEXT)
        print_text(&w, &rows);
    else
        print_json(&w, &rows);
    free_rows(cache, &rows);
    return (long)w.needed;
}
