// SPDX-License-Identifier: MIT
/*
 * The page is made by another program, as a reader of an older file would have it made: there is
 * one way from figures to pictures.
 */
#include "support/output.h"

#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/fail.h"

/* The JSON of a page whose reader wants no JSON, its folder, and whose it is. */
static char *temporary, *temporary_folder;
static pid_t owner;

static void remove_temporary(void)
{
    if (getpid() != owner)
        return; /* a child that ends */
    unlink(temporary);
    rmdir(temporary_folder);
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
    owner = getpid();
    atexit(remove_temporary);
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

void output_page(const struct output *o)
{
    int status = 0;
    if (!o->html)
        return;
    char *program = output_sibling("perf_report");
    if (access(program, X_OK) != 0)
        fail("--html: %s is not built: it needs libjansson-dev", program);
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        execl(program, program, "report", o->json, "--html", o->html, (char *)NULL);
        _exit(PERF_EXIT_BROKEN);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        fail("--html %s: the page was not made", o->html);
    free(program);
}
