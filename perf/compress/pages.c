// SPDX-License-Identifier: MIT
/*
 * The pages, by size; one of another size than these has no kind. Those of a catalogue are drawn by
 * a stride that visits every package once, for neighbours in the alphabet are alike, until there
 * are enough of each size or TRIED_MAX are made: the same pages of the same catalogue each time.
 */
#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#include "compress/compress.h"
#include "nodes/origin.h"
#include "nodes/population.h"
#include "nodes/prepare.h"
#include "support/fail.h"

#define KIND_BYTES_MAX (2u << 20) /* of one kind: more would only take longer */
#define KIND_PAGES_MAX 256u
#define TRIED_MAX      8000u
#define FILE_BYTES_MAX (1u << 20)

struct pages pages_kinds[PAGES_KINDS] = {
    {.name = "1 to 2 KiB", .least = 1024, .most = 2047},
    {.name = "4 to 8 KiB", .least = 4096, .most = 8191},
    {.name = "8 KiB and more", .least = 8192, .most = FILE_BYTES_MAX},
};

static bool is_full(const struct pages *p)
{
    return p->count == KIND_PAGES_MAX || p->bytes >= KIND_BYTES_MAX;
}

static bool are_full(void)
{
    for (unsigned i = 0; i < PAGES_KINDS; i++)
        if (!is_full(&pages_kinds[i]))
            return false;
    return true;
}

static void add(struct text page)
{
    for (unsigned i = 0; i < PAGES_KINDS; i++) {
        struct pages *p = &pages_kinds[i];
        if (page.len < p->least || page.len > p->most || is_full(p))
            continue;
        char *copy = must_alloc(page.len, 1);
        memcpy(copy, page.data, page.len);
        p->page = must_grow(p->page, p->count + 1, sizeof(*p->page));
        p->page[p->count++] = (struct text){copy, page.len};
        p->bytes += page.len;
    }
}

/* ---- files ---- */

static void add_file(const char *folder, const char *name)
{
    char *path = must_print("%s/%s", folder, name);
    struct stat st;
    FILE *in = stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size <= FILE_BYTES_MAX
                   ? fopen(path, "re")
                   : NULL;
    if (in) {
        char *data = must_alloc(FILE_BYTES_MAX, 1);
        add((struct text){data, fread(data, 1, FILE_BYTES_MAX, in)});
        free(data);
        fclose(in);
    }
    free(path);
}

static void read_folder(const char *folder)
{
    struct dirent **names;
    int count = scandir(folder, &names, NULL, alphasort);
    if (count < 0)
        fail("--dir %s: %m", folder);
    for (int i = 0; i < count; i++) {
        add_file(folder, names[i]->d_name);
        free(names[i]);
    }
    free(names);
}

/* ---- the catalogue ---- */

static uint32_t divisor(uint32_t a, uint32_t b)
{
    return b ? divisor(b, a % b) : a;
}

/* Returns a step of about the golden ratio that comes back only after all. */
static uint32_t stride_of(uint32_t packages)
{
    uint32_t stride = (uint32_t)(packages * 0.618) | 1;
    while (divisor(stride, packages) > 1)
        stride++;
    return stride;
}

static void read_packages(const struct population *p, struct origin *origin)
{
    uint32_t stride = stride_of(p->packages), at = 0;
    for (uint32_t i = 0; i < p->packages && i < TRIED_MAX && !are_full(); i++) {
        struct origin_page page;
        at = (uint32_t)(((uint64_t)at + stride) % p->packages);
        if (origin_load(origin, p->names[at + 1], &page))
            add(page.page);
        if (i % 64 == 0)
            progress("making pages: %u of %u", i, TRIED_MAX);
    }
    progress_end();
}

static void read_catalogue(const char *file, const char *cache)
{
    const char *folder = link_world.server.folder;
    char *catalogue = catalogue_prepare(file, cache, folder);
    char *revisions = must_print("%s/revisions.sqlite", folder);
    origin_create(revisions);
    struct origin *origin = origin_open(revisions, catalogue);
    struct population *population = population_open(catalogue);
    read_packages(population, origin);
    population_close(population);
    origin_close(origin);
    free(revisions);
    free(catalogue);
}

void pages_read(const char *folder, const char *catalogue, const char *cache)
{
    unsigned count = 0;
    if (folder)
        read_folder(folder);
    else
        read_catalogue(catalogue, cache);
    for (unsigned i = 0; i < PAGES_KINDS; i++)
        count += pages_kinds[i].count;
    if (count == 0)
        fail("there are no pages of 1 KiB or more in %s", folder ? folder : "the catalogue");
}
