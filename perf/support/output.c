// SPDX-License-Identifier: MIT
/*
 * The page is made by another program, as a reader of an older file would have it made: there is
 * one way from figures to pictures.
 */
#include "support/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/ending.h"
#include "support/fail.h"

#define PAGE_PROGRAM "perf_report"

/* The JSON of a page whose reader wants no JSON, and its folder. */
static char *temporary, *temporary_folder;

static void remove_temporary(void)
{
    unlink(temporary);
    rmdir(temporary_folder);
}

/* ---- before anything is measured ---- */

/* Tries to write where the figures are to go, and leaves what is there as it is. A pipe that nobody
 * reads yet may get a reader. */
static void check_file(const char *option, const char *path)
{
    struct stat there;
    bool is_new = stat(path, &there) != 0;
    int fd = open(path, O_WRONLY | O_CREAT | O_NONBLOCK | O_CLOEXEC, 0666);
    if (fd < 0 && errno != ENXIO)
        fail("--%s: cannot write %s: %m", option, path);
    if (fd >= 0)
        close(fd);
    if (is_new && fd >= 0)
        unlink(path);
}

void output_check(const struct output *o)
{
    if (o->json)
        check_file("json", o->json);
    if (!o->html)
        return;
    check_file("html", o->html);
    char *program = output_sibling(PAGE_PROGRAM);
    if (access(program, X_OK) != 0)
        fail("--html: %s is not built: it needs libjansson-dev", program);
    free(program);
}

/* ---- afterwards ---- */

void output_close(FILE *file, const char *path)
{
    bool failed = ferror(file);
    if (fclose(file) != 0 || failed)
        fail("cannot write all of %s: %m", path);
}

const char *output_json(struct output *o)
{
    if (o->json || !o->html)
        return o->json;
    const char *folder = getenv("TMPDIR");
    temporary_folder = must_print("%s/nigh-page-XXXXXX", folder ? folder : "/tmp");
    if (!mkdtemp(temporary_folder))
        fail("cannot make a folder as %s: %m", temporary_folder);
    temporary = must_print("%s/%s.json", temporary_folder, o->command);
    ending_add(remove_temporary);
    return o->json = temporary;
}

char *output_sibling(const char *name)
{
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (len <= 0)
        fail("/proc/self/exe: %m");
    self[len] = '\0';
    *strrchr(self, '/') = '\0';
    return must_print("%s/%s", self, name);
}

void output_flush(void)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        fail("cannot write all of the table: %m");
}

void output_page(const struct output *o)
{
    int status = 0;
    output_flush();
    if (!o->html)
        return;
    char *program = output_sibling(PAGE_PROGRAM);
    pid_t child = fork();
    if (child == 0) {
        execl(program, program, "report", o->json, "--html", o->html, (char *)NULL);
        _exit(PERF_EXIT_BROKEN);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fail("--html %s: the page was not made", o->html);
    free(program);
}
