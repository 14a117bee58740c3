// SPDX-License-Identifier: MIT
/*
 * Pages through nigh, by space.compress: reads that go to Redis and back (NIGH_REFRESH, and nothing
 * is left in L1), and puts. And what Redis has of them then, by its own count.
 */
#include <stdio.h>

#include "base/codec.h"
#include "compress/compress.h"
#include "link/plain.h"
#include "support/fail.h"

#define NAME_BYTES 16u

struct packing {
    const struct pages *pages;
    struct nigh *cache;
    struct nigh_space *space;
};

static const struct {
    enum codec codec;
    const char *prefix;
    const char *missing;
} ways[] = {
    [NIGH_COMPRESS_NONE] = {CODEC_NONE, "none", NULL},
    [NIGH_COMPRESS_LZ4] = {CODEC_LZ4, "lz4", "this build has no liblz4"},
    [NIGH_COMPRESS_ZSTD] = {CODEC_ZSTD, "zstd", "this build has no libzstd"},
};

static size_t name(char text[NAME_BYTES], unsigned page)
{
    return (size_t)snprintf(text, NAME_BYTES, "page:%06u", page);
}

static void put_page(struct packing *s, unsigned page)
{
    char key[NAME_BYTES];
    struct text t = s->pages->page[page];
    int rc = nigh_put(s->space, key, name(key, page), t.data, t.len, NULL);
    if (rc != NIGH_OK)
        fail("nigh_put: %s", nigh_strerror(rc));
}

/* ---- life ---- */

static bool is_there(enum nigh_compress how)
{
    return how == NIGH_COMPRESS_NONE || codec_is_built(ways[how].codec);
}

static struct packing *open_pages(const struct pages *pages, enum nigh_compress how)
{
    struct packing *s = must_alloc(1, sizeof(*s));
    char *prefix = must_print("%s-%zu", ways[how].prefix, pages->least);
    struct nigh_options options = link_options(prefix);
    options.space.compress = how;
    s->pages = pages;
    s->cache = link_cache_open_with(&options);
    s->space = link_space_open(s->cache, "pages", NULL, NULL);
    for (unsigned i = 0; i < pages->count; i++)
        put_page(s, i);
    free(prefix);
    return s;
}

static const struct pages *pages_of(const struct row *row)
{
    unsigned kind = 0;
    while (kind < PAGES_KINDS && !strstr(row->name, pages_kinds[kind].name))
        kind++;
    return &pages_kinds[kind];
}

static void *open_by(const struct row *row, enum nigh_compress how)
{
    const struct pages *pages = pages_of(row);
    if (pages->count == 0)
        link_why("no page has that size");
    else if (!is_there(how))
        link_why(ways[how].missing);
    else
        return open_pages(pages, how);
    return NULL;
}

static void *open_plain(const struct row *row)
{
    return open_by(row, NIGH_COMPRESS_NONE);
}

static void *open_lz4(const struct row *row)
{
    return open_by(row, NIGH_COMPRESS_LZ4);
}

static void *open_zstd(const struct row *row)
{
    return open_by(row, NIGH_COMPRESS_ZSTD);
}

static void close_pages(void *self)
{
    struct packing *s = self;
    nigh_close(s->cache);
    free(s);
}

/* ---- calls ---- */

static void read_next(void *self, unsigned thread, uint64_t n)
{
    static const struct nigh_call asks_redis = {.size = sizeof(struct nigh_call),
                                                .flags = NIGH_REFRESH | NIGH_NO_STORE};
    struct packing *s = self;
    unsigned page = (unsigned)(n % s->pages->count);
    char key[NAME_BYTES];
    struct nigh_value value = NIGH_VALUE_INIT;
    (void)thread;
    int rc = nigh_get(s->space, key, name(key, page), &asks_redis, &value);
    if (rc != NIGH_FRESH || value.len != s->pages->page[page].len ||
        nigh_value_tier(&value) != NIGH_TIER_L2)
        fail("nigh: a page from Redis was: %s", nigh_strerror(rc));
    nigh_release(&value);
}

static void put_next(void *self, unsigned thread, uint64_t n)
{
    struct packing *s = self;
    (void)thread;
    put_page(s, (unsigned)(n % s->pages->count));
}

/* clang-format off */
const struct side side_read_plain = {
    "none", "get", .open = open_plain, .call = read_next, .close = close_pages};
const struct side side_read_lz4 = {
    "lz4", "get", .open = open_lz4, .call = read_next, .close = close_pages};
const struct side side_read_zstd = {
    "zstd", "get", .open = open_zstd, .call = read_next, .close = close_pages};
const struct side side_put_plain = {
    "none", "evalsha", .open = open_plain, .call = put_next, .close = close_pages};
const struct side side_put_lz4 = {
    "lz4", "evalsha", .open = open_lz4, .call = put_next, .close = close_pages};
const struct side side_put_zstd = {
    "zstd", "evalsha", .open = open_zstd, .call = put_next, .close = close_pages};
/* clang-format on */

/* ---- what Redis has ---- */

/* Returns the bytes that Redis counts for a page: name, envelope, and what it rounds up. */
static double stored_bytes(const struct pages *pages, enum nigh_compress how)
{
    static const char text[] = "local n = 0 "
                               "for _, k in ipairs(redis.call('KEYS', ARGV[1])) do "
                               "n = n + redis.call('MEMORY', 'USAGE', k) end "
                               "return n";
    struct packing *s = open_pages(pages, how);
    redisContext *c = plain_connect();
    char *pattern = must_print("%s-%zu:*page:*", ways[how].prefix, pages->least);
    redisReply *r = redisCommand(c, "EVAL %s 0 %s", text, pattern);
    if (!r || r->type != REDIS_REPLY_INTEGER || r->integer == 0)
        fail("Redis does not say what its values take: %s", r && r->str ? r->str : c->errstr);
    double bytes = (double)r->integer / pages->count;
    freeReplyObject(r);
    redisFree(c);
    free(pattern);
    close_pages(s);
    return bytes;
}

static void show_stored(const struct pages *pages)
{
    double plain = 0;
    printf("%-18s%7u%9.0f", pages->name, pages->count, (double)pages->bytes / pages->count);
    for (enum nigh_compress how = NIGH_COMPRESS_NONE; how <= NIGH_COMPRESS_ZSTD; how++) {
        if (!is_there(how)) {
            printf("%17s", "-");
            continue;
        }
        double bytes = stored_bytes(pages, how);
        plain = how == NIGH_COMPRESS_NONE ? bytes : plain;
        printf("%9.0f", bytes);
        if (how != NIGH_COMPRESS_NONE)
            printf(" %5.1f %%", 100 * bytes / plain);
        result_add("compress", must_print("%s, %s", pages->name, ways[how].prefix), "in Redis",
                   "bytes a page", bytes, how == NIGH_COMPRESS_NONE ? NULL : "none", plain);
    }
    printf("\n");
}

void stored_run(void)
{
    printf("%-18s%7s%9s%9s%17s%17s   B in Redis, of a page\n", "", "pages", "plain", "none", "lz4",
           "zstd");
    for (unsigned i = 0; i < PAGES_KINDS; i++)
        if (pages_kinds[i].count > 0)
            show_stored(&pages_kinds[i]);
}
