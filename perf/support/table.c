// SPDX-License-Identifier: MIT
/*
 * Printing tables.
 */
#include "support/table.h"

#include <stdarg.h>
#include <string.h>

#include "support/fail.h"

#define LABEL_COLUMNS 25
#define CELL_COLUMNS 9
#define BLOCK_COLUMNS (TABLE_CELLS * CELL_COLUMNS)

static char **texts;
static size_t text_count;

static const char *keep(char *text)
{
    texts = must_grow(texts, text_count + 1, sizeof(*texts));
    texts[text_count++] = text;
    return text;
}

void table_end(void)
{
    while (text_count)
        free(texts[--text_count]);
    free(texts);
    texts = NULL;
}

const char *table_print(const char *fmt, ...)
{
    va_list args;
    char *text;
    va_start(args, fmt);
    if (vasprintf(&text, fmt, args) < 0)
        fail("out of memory");
    va_end(args);
    return keep(text);
}

static void print_block(const struct table *t, const struct table_block *block)
{
    if (block->wide) {
        fprintf(t->out, " %*s", BLOCK_COLUMNS, block->cells[0] ? block->cells[0] : "");
        return;
    }
    fputc(' ', t->out);
    for (int i = 0; i < TABLE_CELLS; i++)
        fprintf(t->out, "%*s", CELL_COLUMNS, block->cells[i] ? block->cells[i] : "");
}

void table_row(const struct table *t, const char *label, const struct table_block *blocks)
{
    fprintf(t->out, "%-*s", LABEL_COLUMNS, label);
    for (int i = 0; i < t->blocks; i++)
        print_block(t, &blocks[i]);
    fputc('\n', t->out);
}

void table_heading(const struct table *t, const char *label, const char *const cells[TABLE_CELLS])
{
    struct table_block blocks[TABLE_BLOCKS_MAX];
    memset(blocks, 0, sizeof(blocks));
    for (int i = 0; i < t->blocks; i++)
        memcpy(blocks[i].cells, cells, sizeof(blocks[i].cells));
    table_row(t, label, blocks);
}

void table_line(const struct table *t)
{
    for (int i = 0; i < LABEL_COLUMNS + t->blocks * (BLOCK_COLUMNS + 1); i++)
        fputc('-', t->out);
    fputc('\n', t->out);
}

const char *table_count(uint64_t n)
{
    char *digits = must_print("%llu", (unsigned long long)n);
    size_t len = strlen(digits), commas = (len - 1) / 3;
    char *text = must_alloc(len + commas + 1, 1);
    for (size_t i = 0, at = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0)
            text[at++] = ',';
        text[at++] = digits[i];
    }
    free(digits);
    return keep(text);
}

const char *table_some(uint64_t n, const char *noun)
{
    return table_print("%s %s%s", table_count(n), noun, n == 1 ? "" : "s");
}

/* Three significant digits. */
static const char *scaled(double value, const char *unit)
{
    int decimals = value < 9.995 ? 2 : value < 99.95 ? 1 : 0;
    return table_print("%.*f %s", decimals, value, unit);
}

const char *table_time(uint64_t ns)
{
    if (ns < PERF_NS_PER_MS)
        return scaled((double)ns / 1e3, "us");
    if (ns < PERF_NS_PER_S)
        return scaled((double)ns / 1e6, "ms");
    return scaled((double)ns / 1e9, "s");
}

const char *table_share(uint64_t part, uint64_t whole)
{
    double percent = whole ? 100.0 * (double)part / (double)whole : 0;
    int decimals = percent >= 1 || part == 0 ? 1 : 3;
    return table_print("%.*f %%", decimals, percent);
}

const char *table_mib(uint64_t bytes)
{
    return scaled((double)bytes / 1048576.0, "MiB");
}
