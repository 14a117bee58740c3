// SPDX-License-Identifier: MIT
/*
 * Files of traces and of references.
 */
#include "bench/trace_file.h"

#include <stdio.h>
#include <string.h>

#include "input/input.h"
#include "support/fail.h"

/* ---- a trace ---- */

double trace_read(struct trace *t, const char *path)
{
    struct input in;
    char *why = input_read(&in, INPUT_TRACE, path);
    if (why)
        fail("%s", why);
    double rate = in.rate;
    *t = in.trace;
    in.trace = (struct trace){0};
    input_free(&in);
    return rate;
}

char *trace_name(const char *path)
{
    const char *base = strrchr(path, '/');
    char *name = must_print("%s", base ? base + 1 : path);
    char *end = strchr(name, '.');
    if (end)
        *end = '\0';
    return name;
}

/* ---- a reference ---- */

static int in_field(const char *policy)
{
    static const char *const field[] = {"sim:LRU",  "sim:S3-FIFO", "sim:2Q",          "sim:ARC",
                                        "sim:LIRS", "sim:SIEVE",   "sim:W-TinyLFU-1%",
                                        "sim:W-TinyLFU-adaptive"};
    for (size_t i = 0; i < sizeof(field) / sizeof(field[0]); i++)
        if (strcmp(policy, field[i]) == 0)
            return 1;
    return 0;
}

size_t reference_read(const char *path, struct reference_cell **ret_cells)
{
    struct reference_cell *cells = NULL;
    size_t count = 0;
    char line[256];
    FILE *f = fopen(path, "r");
    if (!f)
        fail("cannot read %s", path);
    while (fgets(line, sizeof(line), f)) {
        char trace[40], unit[16], policy[48];
        unsigned long capacity;
        double ratio;
        if (sscanf(line, "%39[^,],%lu,%15[^,],%47[^,],%lf", trace, &capacity, unit, policy,
                   &ratio) != 5)
            continue; /* the heading */
        int by_bytes = strcmp(unit, "bytes") == 0;
        struct reference_cell *c = count ? &cells[count - 1] : NULL;
        if (!c || strcmp(c->trace, trace) != 0 || c->capacity != capacity ||
            c->by_bytes != by_bytes) {
            cells = must_grow(cells, ++count, sizeof(*cells));
            c = &cells[count - 1];
            *c = (struct reference_cell){.capacity = capacity, .by_bytes = by_bytes};
            strcpy(c->trace, trace);
        }
        if (in_field(policy) && ratio > c->best)
            c->best = ratio;
        if (strcmp(policy, "caffeine-2.6.2") == 0)
            c->caffeine = ratio;
    }
    fclose(f);
    *ret_cells = cells;
    return count;
}
