/* SPDX-License-Identifier: MIT */
/*
 * The package page: the value that is cached.
 *
 *   head   u32 package, u32 count, then count x {u32 package, u32 revision}: every version that the
 *          page shows, its own first
 *   text   what a person reads: name and version; direct dependencies with their versions; the
 *          names of the dependency closure and of the reverse dependencies (the first 100 and how
 *          many there are); the record
 *
 * The head repeats what the text says in a form that a checker can judge in nanoseconds. Numbers
 * are little-endian. A page is made of one SQLite snapshot, so its versions existed together.
 */
#ifndef PERF_PAGE_H
#define PERF_PAGE_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "support/text.h"

#define PAGE_NAMES_SHOWN 100

struct page_version {
    uint32_t package;
    uint32_t revision;
};

/* A page as received. Never owned. */
struct page_view {
    uint32_t package;
    uint32_t count;
    const uint8_t *versions; /* unaligned */
};

#define PAGE_HEAD_BYTES 8
#define PAGE_VERSION_BYTES 8

/* False: these bytes are no page. */
static inline bool page_view_of(const void *data, size_t len, struct page_view *ret)
{
    if (len < PAGE_HEAD_BYTES)
        return false;
    memcpy(&ret->package, data, 4);
    memcpy(&ret->count, (const uint8_t *)data + 4, 4);
    ret->versions = (const uint8_t *)data + PAGE_HEAD_BYTES;
    return ret->count > 0 && ret->count <= (len - PAGE_HEAD_BYTES) / PAGE_VERSION_BYTES;
}

static inline struct page_version page_version_at(const struct page_view *page, uint32_t i)
{
    struct page_version v;
    memcpy(&v, page->versions + (size_t)i * PAGE_VERSION_BYTES, sizeof(v));
    return v;
}

/* A page in the making: grows, is used again for the next one. */
struct page_buffer {
    struct page_version *versions;
    uint32_t count, capacity;
    char *text;
    size_t text_len, text_capacity;
    uint8_t *bytes; /* the finished page */
    size_t bytes_capacity;
};

void page_clear(struct page_buffer *page);
void page_free(struct page_buffer *page);
void page_add_version(struct page_buffer *page, uint32_t package, uint32_t revision);
__attribute__((format(printf, 2, 3)))
void page_print(struct page_buffer *page, const char *fmt, ...);
void page_append(struct page_buffer *page, struct text t);
/* Head and text in one piece, valid until the buffer is used again. */
struct text page_finish(struct page_buffer *page);

#endif
