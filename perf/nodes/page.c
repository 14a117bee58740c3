// SPDX-License-Identifier: MIT
/*
 * Putting a page together.
 */
#include "nodes/page.h"

#include <stdarg.h>
#include <stdio.h>

#include "support/fail.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "pages are written as they lie");

#define LINE_MAX_BYTES 1024

void page_clear(struct page_buffer *page)
{
    page->count = 0;
    page->text_len = 0;
}

void page_free(struct page_buffer *page)
{
    free(page->versions);
    free(page->text);
    free(page->bytes);
    *page = (struct page_buffer){0};
}

void page_add_version(struct page_buffer *page, uint32_t package, uint32_t revision)
{
    if (page->count == page->capacity) {
        page->capacity = page->capacity ? page->capacity * 2 : 64;
        page->versions = must_grow(page->versions, page->capacity, sizeof(*page->versions));
    }
    page->versions[page->count++] = (struct page_version){package, revision};
}

void page_append(struct page_buffer *page, struct text t)
{
    if (page->text_len + t.len > page->text_capacity) {
        page->text_capacity = 2 * (page->text_len + t.len) + 4096;
        page->text = must_grow(page->text, page->text_capacity, 1);
    }
    memcpy(page->text + page->text_len, t.data, t.len);
    page->text_len += t.len;
}

void page_print(struct page_buffer *page, const char *fmt, ...)
{
    char line[LINE_MAX_BYTES];
    va_list args;
    va_start(args, fmt);
    int len = vsnprintf(line, sizeof(line), fmt, args);
    va_end(args);
    if (len < 0 || (size_t)len >= sizeof(line))
        fail("a line of a page is too long");
    page_append(page, (struct text){line, (size_t)len});
}

struct text page_finish(struct page_buffer *page)
{
    size_t versions_len = (size_t)page->count * PAGE_VERSION_BYTES;
    size_t len = PAGE_HEAD_BYTES + versions_len + page->text_len;
    if (len > page->bytes_capacity) {
        page->bytes_capacity = 2 * len;
        page->bytes = must_grow(page->bytes, page->bytes_capacity, 1);
    }
    uint8_t *p = page->bytes;
    memcpy(p, &page->versions[0].package, 4);
    memcpy(p + 4, &page->count, 4);
    memcpy(p + PAGE_HEAD_BYTES, page->versions, versions_len);
    if (page->text_len)
        memcpy(p + PAGE_HEAD_BYTES + versions_len, page->text, page->text_len);
    return (struct text){(const char *)page->bytes, len};
}
