// SPDX-License-Identifier: MIT
/*
 * The tables of rows: what is asked, who answers it, and the goals. A limit of 0 is none: the ratio
 * is shown.
 */
#include "compress/compress.h"
#include "link/link.h"

#define GETS    &side_hiredis_get, &side_nigh_get, &side_async, &side_memcached, &side_benchmark
#define WIRES   &side_tcp, &side_tls, &side_unix
#define MISSES  &side_hiredis_miss, &side_nigh_miss
#define BATCHES &side_hiredis_singles, &side_nigh_many, &side_hiredis_mget, &side_hiredis_pipeline
#define ONE_KEY &side_del, &side_nigh_key, &side_multi, &side_script, &side_del_pipeline
#define TAG     &side_script, &side_nigh_tag, &side_nigh_key
#define KEYS    &side_del_pipeline, &side_nigh_keys, &side_del_many, &side_multi, &side_script

#define NEVER_SLOWER                                                                               \
    {                                                                                              \
        "hiredis async", METRIC_OPS, 1                                                             \
    }

/* clang-format off */
static const struct row link_rows[] = {
    {"GET, 1 thread", 1, 1, 0, {GETS},
     {{"hiredis", METRIC_P50, 1.15}, {"hiredis", METRIC_CLIENT, 1.2}, NEVER_SLOWER}},
    {"GET, 4 threads", 4, 1, 0, {GETS}, {NEVER_SLOWER}},
    {"GET, 16 threads", 16, 1, 0, {GETS},
     {{"hiredis", METRIC_OPS, 1.8}, {"hiredis", METRIC_P99, 0.5}, NEVER_SLOWER}},
    {"GET, 64 threads", 64, 1, 0, {GETS},
     {{"hiredis", METRIC_OPS, 2.4}, {"hiredis", METRIC_P99, 0.35},
      {"hiredis", METRIC_SERVER, 0.2}, NEVER_SLOWER}},
    {"GET of an envelope's length, 1 thread", 1, 1, 0,
     {&side_hiredis_get, &side_nigh_get, &side_hiredis_longer},
     {{"hiredis", METRIC_P50, 0}, {"hiredis, 196 B", METRIC_P50, 0}}},
    {"GET of an envelope's length, 64 threads", 64, 1, 0,
     {&side_hiredis_get, &side_nigh_get, &side_hiredis_longer},
     {{"hiredis", METRIC_OPS, 0}, {"hiredis, 196 B", METRIC_OPS, 0}}},
    {"GET over TLS, 1 thread", 1, 1, 0, {WIRES},
     {{"TCP", METRIC_P50, 0}, {"TCP", METRIC_CLIENT, 0}, {"unix socket", METRIC_OPS, 0}}},
    {"GET over TLS, 64 threads", 64, 1, 0, {WIRES},
     {{"TCP", METRIC_OPS, 0.8}, {"TCP", METRIC_CLIENT, 0}, {"unix socket", METRIC_OPS, 0}}},
    {"a miss, 1 thread", 1, 1, 0, {MISSES}, {{"hiredis GET, SET", METRIC_P50, 0}}},
    {"a miss, 16 threads", 16, 1, 0, {MISSES}, {{"hiredis GET, SET", METRIC_OPS, 0}}},
    {"get_many of 8", 1, 8, 0, {BATCHES}, {{"hiredis MGET", METRIC_OPS, 0.8}}},
    {"get_many of 32", 1, 32, 0, {BATCHES},
     {{"hiredis GETs", METRIC_OPS, 8}, {"hiredis MGET", METRIC_OPS, 0.8}}},
    {"get_many of 128", 1, 128, 0, {BATCHES}, {{"hiredis MGET", METRIC_OPS, 0.8}}},
    {"a key, 1 subscriber", 1, 1, 1, {ONE_KEY},
     {{"DEL", METRIC_SERVER, 10}, {"Lua", METRIC_SERVER, 1.4}, {"Lua", METRIC_P50, 1.5},
      {"DELs pipelined", METRIC_SERVER, 0}}},
    {"a key, 8 subscribers", 1, 1, 8, {ONE_KEY}, {{"Lua", METRIC_SERVER, 1.4}}},
    {"a tag, 1 subscriber", 1, 1, 1, {TAG}, {{"nigh", METRIC_SERVER, 1}}},
    {"a tag, 8 subscribers", 1, 1, 8, {TAG}, {{"nigh", METRIC_SERVER, 1}}},
    {"16 keys, 1 subscriber", 1, 16, 1, {KEYS},
     {{"DELs pipelined", METRIC_SERVER, 2}, {"Lua", METRIC_SERVER, 0}}},
    {"16 keys, 8 subscribers", 1, 16, 8, {KEYS}, {{"DELs pipelined", METRIC_SERVER, 2}}},
    {"32 threads, a key each, 1 subscriber", 32, 1, 1, {ONE_KEY},
     {{"DELs pipelined", METRIC_SERVER, 5}, {"Lua", METRIC_OPS, 0}}},
    {"32 threads, a key each, 8 subscribers", 32, 1, 8, {ONE_KEY},
     {{"DELs pipelined", METRIC_SERVER, 5}}},
    {"128 keys a change, another node hears", 2, 128, 1,
     {&side_del_pipeline, &side_nigh_heard, &side_nigh_keys},
     {{"DELs pipelined", METRIC_SERVER, 0}}},
    {"a load's lease where no value is, 32 under way", 1, LINK_PIPELINE, 0,
     {&side_hiredis_misses, &side_lease}, {{"GETs of no key", METRIC_SERVER, 8}}},
    {"a load's fill, 32 under way", 1, LINK_PIPELINE, 0, {&side_set_script, &side_fill},
     {{"Lua SET, DEL", METRIC_SERVER, 1.5}}},
};

/* One thread beside as many as have calls under way in it; connections are the server's threads. */
static const struct row async_rows[] = {
    {"fetch from L2, 64 under way", 64, 1, 0, {&side_fetch_threads, &side_fetch_loop},
     {{"64 threads", METRIC_OPS, 0.9}, {"64 threads", METRIC_CLIENT, 0.5}}},
    {"get from L2, 64 under way", 64, 1, 0, {&side_get_threads, &side_get_loop},
     {{"64 threads", METRIC_OPS, 0}, {"64 threads", METRIC_CLIENT, 0}}},
    {"a server of 2 loops, 5 ms origin", 64, 1, 0, {&side_serve_handing, &side_serve_loops},
     {{"hand-over", METRIC_OPS, 1}, {"hand-over", METRIC_P50, 1}}},
    {"the same server, 8 connections", 8, 1, 0, {&side_serve_handing, &side_serve_loops},
     {{"hand-over", METRIC_OPS, 0}, {"hand-over", METRIC_P50, 0}}},
};

#define ASIDE &side_hiredis_aside, &side_nigh_aside, &side_no_cache
#define WARM  &side_hiredis_warm, &side_nigh_warm

static const struct row miss_rows[] = {
    {"cold Redis, 16 threads", 16, 1, 0, {ASIDE},
     {{"hiredis", METRIC_OPS, 1}, {"no cache", METRIC_OPS, 0.7}}},
    {"cold Redis, 1 thread", 1, 1, 0, {ASIDE},
     {{"hiredis", METRIC_OPS, 1}, {"no cache", METRIC_OPS, 0}}},
    {"warm, 16 threads", 16, 1, 0, {WARM}, {{"hiredis", METRIC_OPS, 2}}},
    {"warm, 1 thread", 1, 1, 0, {WARM}, {{"hiredis", METRIC_OPS, 2}}},
};

static const struct row bulk_rows[] = {
    {"fetch_many of 32 from L2", 1, 32, 0,
     {&side_fetch_singles, &side_fetch_many, &side_hiredis_mget},
     {{"fetches", METRIC_OPS, 8}, {"hiredis MGET", METRIC_OPS, 0.8}}},
    {"64 threads that miss, 1 ms origin", 64, 1, 0, {&side_miss_alone, &side_miss_gathered},
     {{"alone", METRIC_LOADS, 0.125}, {"alone", METRIC_P50, 1.3}}},
};

#define READ_PAGES &side_read_plain, &side_read_zstd, &side_read_lz4
#define PUT_PAGES  &side_put_plain, &side_put_zstd, &side_put_lz4
#define PLAIN      {{"none", METRIC_OPS, 0}}

static const struct row compress_rows[] = {
    {"read, 1 to 2 KiB", 1, 1, 0, {READ_PAGES}, PLAIN},
    {"read, 4 to 8 KiB", 1, 1, 0, {READ_PAGES}, PLAIN},
    {"read, 8 KiB and more", 1, 1, 0, {READ_PAGES}, PLAIN},
    {"put, 1 to 2 KiB", 1, 1, 0, {PUT_PAGES}, PLAIN},
    {"put, 4 to 8 KiB", 1, 1, 0, {PUT_PAGES}, PLAIN},
    {"put, 8 KiB and more", 1, 1, 0, {PUT_PAGES}, PLAIN},
};
/* clang-format on */

#define ROWS(rows) rows, sizeof(rows) / sizeof(rows[0])

const struct suite link_suites[] = {
    {"link",
     "What nigh's client of Redis takes beside plain hiredis and others, in one table: GETs from\n"
     "1 to 64 threads, get_many, changes, the scripts of a load, and how soon another process has\n"
     "evicted (--only evict).",
     1, 5, false, ROWS(link_rows)},
    {"async",
     "Calls that do not wait, beside threads that do: one thread with 64 reads from Redis under\n"
     "way and 64 threads; a server of two event loops before an origin that takes 5 ms, which\n"
     "fetches without waiting, or hands its misses over to 16 threads of its own.",
     2, 5, true, ROWS(async_rows)},
    {"herd",
     "10,000 callers of one key in four processes, blocking and not, at the same moment: how\n"
     "often it is loaded.",
     1, 5, true, NULL, 0},
    {"miss",
     "Up to 63,000 names, each once, before an origin that takes 50 us of a processor: nigh,\n"
     "plain hiredis with GET and SET, and no cache at all; and the same names again.",
     4, 3, true, ROWS(miss_rows)},
    {"bulk",
     "32 keys that Redis has: one nigh_fetch_many(), as many fetches, and an MGET of hiredis;\n"
     "and 64 threads that miss, whose loads are gathered for 200 us or not.",
     2, 5, true, ROWS(bulk_rows)},
    {"compress",
     "What space.compress saves and costs, on the pages of this machine's package catalogue or\n"
     "the files of a folder, by size: bytes in Redis, each library at several levels in memory,\n"
     "and one thread's reads from Redis and puts.",
     1, 5, false, ROWS(compress_rows)},
};
const size_t link_suite_count = sizeof(link_suites) / sizeof(link_suites[0]);
