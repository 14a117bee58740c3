// SPDX-License-Identifier: MIT
/*
 * Real input: what this machine's package manager knows.
 *
 * A fresh machine has an empty list of available packages (0 records) until somebody runs
 * `apt-get update`; the packages installed are then the only catalogue there is, and a small one.
 */
#include "nodes/source.h"

#include <stdio.h>
#include <unistd.h>

#include "support/fail.h"

#define DUMP_COMMAND "apt-cache dumpavail"
#define STATUS_FILE "/var/lib/dpkg/status"
#define READ_CHUNK (1u << 20)
#define MIN_BYTES 1024 /* anything shorter holds no catalogue */

static struct text read_all(FILE *in)
{
    char *data = NULL;
    size_t len = 0, got;
    do {
        data = must_grow(data, len + READ_CHUNK, 1);
        got = fread(data + len, 1, READ_CHUNK, in);
        len += got;
    } while (got);
    return (struct text){data, len};
}

static bool read_file(struct text *ret, const char *path)
{
    FILE *in = fopen(path, "re");
    if (!in)
        return false;
    *ret = read_all(in);
    fclose(in);
    return true;
}

static bool read_dump(struct text *ret)
{
    FILE *in = popen(DUMP_COMMAND " 2>/dev/null", "re");
    if (!in)
        return false;
    *ret = read_all(in);
    if (pclose(in) == 0 && ret->len >= MIN_BYTES)
        return true;
    free((char *)(uintptr_t)ret->data);
    return false;
}

static bool update_lists(void)
{
    const char *as_root = geteuid() == 0 ? "" : "sudo -n ";
    char *command = must_print("%sapt-get update -qq >&2", as_root);
    fprintf(stderr, "perf: apt's lists are empty: running %sapt-get update\n", as_root);
    bool updated = system(command) == 0;
    free(command);
    return updated;
}

void source_read(struct source *source, const char *file)
{
    if (file) {
        if (!read_file(&source->text, file))
            fail("cannot read the catalogue %s", file);
        source->name = file;
        return;
    }
    source->name = DUMP_COMMAND;
    if (read_dump(&source->text) || (update_lists() && read_dump(&source->text)))
        return;
    fprintf(stderr, "perf: no list of available packages: taking the installed ones, %s\n",
            STATUS_FILE);
    source->name = STATUS_FILE;
    if (!read_file(&source->text, STATUS_FILE))
        fail("no catalogue: neither " DUMP_COMMAND " nor " STATUS_FILE " gives one");
}

void source_free(struct source *source)
{
    free((char *)(uintptr_t)source->text.data);
    source->text = (struct text){0};
}
