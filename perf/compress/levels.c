// SPDX-License-Identifier: MIT
/*
 * The libraries by themselves: bytes and CPU time of each page, at several levels. nigh's own rows
 * go through its codec_pack() and codec_unpack(), the others call the library; all have the room
 * that nigh gives, and what does not fit stays plain, as it does there.
 *
 * What a level is worth depends on the link: it sends so many bytes less, and takes so much longer
 * to make them. The speed at which both are the same time is shown; on slower links it is sooner.
 */
#include <stdio.h>

#include "base/codec.h"
#include "compress/compress.h"
#include "support/fail.h"

#ifdef NIGH_HAS_LZ4
#include <lz4.h>
#include <lz4hc.h>
#endif
#ifdef NIGH_HAS_ZSTD
#include <zstd.h>
#endif

#define ROUND_PARTS 8u /* of a round of link's for each figure: there are many */

typedef size_t pack_fn(int level, struct text plain, void *to, size_t room);

static struct mem *memory;

static size_t pack_own(int codec, struct text plain, void *to, size_t room)
{
    return codec_pack((unsigned)codec, memory, bytes_of(plain.data, plain.len), to, room);
}

#ifdef NIGH_HAS_LZ4
static size_t pack_lz4(int acceleration, struct text plain, void *to, size_t room)
{
    int made = LZ4_compress_fast(plain.data, to, (int)plain.len, (int)room, acceleration);
    return made > 0 ? (size_t)made : 0;
}

static size_t pack_lz4hc(int level, struct text plain, void *to, size_t room)
{
    int made = LZ4_compress_HC(plain.data, to, (int)plain.len, (int)room, level);
    return made > 0 ? (size_t)made : 0;
}
#endif

#ifdef NIGH_HAS_ZSTD
static size_t pack_zstd(int level, struct text plain, void *to, size_t room)
{
    size_t made = ZSTD_compress(to, room, plain.data, plain.len, level);
    return ZSTD_isError(made) ? 0 : made;
}

/* A context for all calls, where the library would make one for each. */
static size_t pack_zstd_kept(int level, struct text plain, void *to, size_t room)
{
    static ZSTD_CCtx *context;
    if (!context)
        context = ZSTD_createCCtx();
    size_t made = ZSTD_compressCCtx(context, to, room, plain.data, plain.len, level);
    return ZSTD_isError(made) ? 0 : made;
}
#endif

static const struct level {
    const char *name;
    enum codec codec;
    pack_fn *pack;
    int level;
    bool is_own;
} levels[] = {
#ifdef NIGH_HAS_LZ4
    {"lz4, acceleration 8", CODEC_LZ4, pack_lz4, 8, false},
    {"lz4: nigh", CODEC_LZ4, pack_own, CODEC_LZ4, true},
    {"lz4 hc 9", CODEC_LZ4, pack_lz4hc, 9, false},
#endif
#ifdef NIGH_HAS_ZSTD
    {"zstd -5", CODEC_ZSTD, pack_zstd, -5, false},
    {"zstd -1", CODEC_ZSTD, pack_zstd, -1, false},
    {"zstd: nigh", CODEC_ZSTD, pack_own, CODEC_ZSTD, true},
    {"zstd 1, a kept context", CODEC_ZSTD, pack_zstd_kept, 1, false},
    {"zstd 2", CODEC_ZSTD, pack_zstd, 2, false},
    {"zstd 3", CODEC_ZSTD, pack_zstd, 3, false},
    {"zstd 6", CODEC_ZSTD, pack_zstd, 6, false},
    {"zstd 9", CODEC_ZSTD, pack_zstd, 9, false},
#endif
    {NULL, CODEC_NONE, pack_own, 0, false},
};
#define LEVELS (sizeof(levels) / sizeof(levels[0]) - 1)

/* A level at work on pages of one kind. */
struct work {
    const struct level *level;
    const struct pages *pages;
    struct text *packed; /* of each page; empty: it stays plain */
    size_t bytes;        /* of all, as they are sent */
    char *room;
};

/* ---- rounds ---- */

static void pack_page(const struct work *w, unsigned page, void *to, struct text *ret)
{
    struct text plain = w->pages->page[page];
    size_t room = plain.len - plain.len / 8 - 1;
    *ret = (struct text){to, w->level->pack(w->level->level, plain, to, room)};
}

static void unpack_page(const struct work *w, unsigned page)
{
    struct text packed = w->packed[page];
    size_t len = w->pages->page[page].len;
    if (packed.len > 0 &&
        !codec_unpack(w->level->codec, bytes_of(packed.data, packed.len), w->room, len))
        fail("%s: a page is not what it was", w->level->name);
}

static double pack_round(void *arg)
{
    struct work *w = arg;
    struct text packed;
    uint64_t began_ns = thread_cpu_ns(), took_ns = 0, done = 0;
    for (; took_ns < link_world.round_ns / ROUND_PARTS; took_ns = thread_cpu_ns() - began_ns)
        for (unsigned i = 0; i < w->pages->count; i++, done++)
            pack_page(w, i, w->room, &packed);
    return (double)took_ns / (double)done / 1e3;
}

static double unpack_round(void *arg)
{
    struct work *w = arg;
    uint64_t began_ns = thread_cpu_ns(), took_ns = 0, done = 0;
    for (; took_ns < link_world.round_ns / ROUND_PARTS; took_ns = thread_cpu_ns() - began_ns)
        for (unsigned i = 0; i < w->pages->count; i++, done++)
            unpack_page(w, i);
    return (double)took_ns / (double)done / 1e3;
}

/* ---- a kind of pages ---- */

static void begin_work(struct work *w, const struct level *level, const struct pages *pages)
{
    *w = (struct work){.level = level, .pages = pages};
    w->packed = must_alloc(pages->count, sizeof(*w->packed));
    w->room = must_alloc(pages->most, 1);
    for (unsigned i = 0; i < pages->count; i++) {
        pack_page(w, i, w->room, &w->packed[i]);
        size_t len = w->packed[i].len;
        char *copy = len ? must_alloc(len, 1) : NULL;
        if (copy)
            memcpy(copy, w->room, len);
        w->packed[i].data = copy;
        w->bytes += len ? len : pages->page[i].len;
        unpack_page(w, i);
        if (len && memcmp(w->room, pages->page[i].data, pages->page[i].len) != 0)
            fail("%s: a page is not what it was", level->name);
    }
}

static void end_work(struct work *w)
{
    for (unsigned i = 0; i < w->pages->count; i++)
        free((char *)(uintptr_t)w->packed[i].data);
    free(w->packed);
    free(w->room);
}

/* Bits in a microsecond are Mbit/s. */
static double even_mbit(const struct work *w, double us)
{
    double saved_bits = 8.0 * (double)(w->pages->bytes - w->bytes) / w->pages->count;
    return us > 0 ? saved_bits / us : 0;
}

static void show_level(const struct work *w, const struct subject *pack,
                       const struct subject *unpack)
{
    unsigned rounds = link_world.rounds;
    double pack_us = median(pack->figures, rounds), unpack_us = median(unpack->figures, rounds);
    double left = 100.0 * (double)w->bytes / (double)w->pages->bytes;
    const char *name = must_print("%s, %s", w->pages->name, w->level->name);
    printf("  %-24s%8.1f %%%11.2f%11.2f%14.0f%14.0f\n", w->level->name, left, pack_us, unpack_us,
           even_mbit(w, pack_us), even_mbit(w, unpack_us));
    result_add("compress", name, "bytes left", "% of plain", left, NULL, 0);
    result_add_rounds("compress", name, "to compress", "cpu us/page", pack, NULL, rounds);
    result_add_rounds("compress", name, "to decompress", "cpu us/page", unpack, NULL, rounds);
}

static void run_kind(const struct pages *pages)
{
    static struct work works[LEVELS + 1];
    static struct subject subjects[2 * LEVELS + 1];
    for (unsigned i = 0; levels[i].name; i++) {
        begin_work(&works[i], &levels[i], pages);
        subjects[2 * i] = (struct subject){.name = levels[i].name, .run = pack_round,
                                           .arg = &works[i]};
        subjects[2 * i + 1] = (struct subject){.name = levels[i].name, .run = unpack_round,
                                               .arg = &works[i]};
    }
    rounds_run(pages->name, subjects, 2 * LEVELS, link_world.rounds);
    printf("%s\n", pages->name);
    for (unsigned i = 0; levels[i].name; i++) {
        show_level(&works[i], &subjects[2 * i], &subjects[2 * i + 1]);
        end_work(&works[i]);
    }
    fflush(stdout);
}

void levels_run(void)
{
    memory = mem_create();
    if (!memory)
        fail("out of memory");
    printf("%37s%11s%11s%14s%14s\n", "", "compress", "decompress", "put below", "read below");
    printf("%-26s%11s%11s%11s%14s%14s\n", "CPU time; sooner on links", "bytes", "us", "us",
           "Mbit/s", "Mbit/s");
    for (unsigned i = 0; i < PAGES_KINDS; i++)
        if (pages_kinds[i].count > 0)
            run_kind(&pages_kinds[i]);
    mem_destroy(memory);
}
