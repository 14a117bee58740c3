/* SPDX-License-Identifier: MIT */
/*
 * A table for people: a label, then one block per run side by side. At most 100 columns.
 *
 * A block is four right-aligned cells, or one text. Texts made here live until table_end(), so that
 * cells can be put together without anyone owning them.
 */
#ifndef PERF_TABLE_H
#define PERF_TABLE_H

#include <stdint.h>
#include <stdio.h>

#define TABLE_CELLS 4
#define TABLE_BLOCKS_MAX 2

struct table {
    FILE *out;
    int blocks;
};

/* A run says this in a row: cells, or a text in cells[0] when `wide`. Empty cells are NULL. */
struct table_block {
    const char *cells[TABLE_CELLS];
    int wide;
};

void table_row(const struct table *t, const char *label, const struct table_block *blocks);
/* A line of headings for the cells of the rows below, the same for all blocks. */
void table_heading(const struct table *t, const char *label, const char *const cells[TABLE_CELLS]);
void table_line(const struct table *t);

/* Free the texts. */
void table_end(void);

/* A text of its own making. */
__attribute__((format(printf, 1, 2))) const char *table_print(const char *fmt, ...);
/* "1,234,567" */
const char *table_count(uint64_t n);
/* "1 key", "2,004 keys": a noun whose plural ends with s. */
const char *table_some(uint64_t n, const char *noun);
/* "0.21 us", "12.3 us", "1.25 ms", "3.01 s" */
const char *table_time(uint64_t ns);
/* "12.3 %", "0.002 %" */
const char *table_share(uint64_t part, uint64_t whole);
/* "7.91 MiB" */
const char *table_mib(uint64_t bytes);

#endif
