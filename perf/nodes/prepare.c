// SPDX-License-Identifier: MIT
/*
 * The finished catalogue. It is made in the temporary folder and renamed into the cache, so that
 * two runs at once, or one that is stopped, leave no half of one there.
 */
#include "nodes/prepare.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

#include "nodes/catalogue.h"
#include "nodes/source.h"
#include "support/fail.h"
#include "support/folder.h"
#include "support/table.h"

static void print_catalogue(const struct source *source, const struct catalogue_info *info)
{
    printf("catalogue: %s: %s records (%s), hash %016" PRIx64 "\n", source->name,
           table_count(info->packages), table_mib(info->input_bytes), info->input_hash);
    printf("           %s dependencies, %s names that only dependencies mention\n",
           table_count(info->edges), table_count(info->absent_names));
    fflush(stdout);
}

char *catalogue_prepare(const char *file, const char *cache, const char *folder)
{
    struct source source;
    struct catalogue_info info;
    source_read(&source, file);
    if (cache)
        folder_make(cache);
    char *path = must_print("%s/catalogue.sqlite", cache ? cache : folder);
    if (!catalogue_lookup(path, source.text, &info)) {
        char *made = must_print("%s/new.sqlite", folder);
        char *next = must_print("%s.%d", path, (int)getpid());
        catalogue_build(made, source.text, &info);
        folder_copy_file(made, next);
        if (rename(next, path) != 0)
            fail("cannot keep the catalogue as %s", path);
        unlink(made);
        free(made);
        free(next);
    }
    print_catalogue(&source, &info);
    source_free(&source);
    return path;
}
