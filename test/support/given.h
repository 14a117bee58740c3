/* SPDX-License-Identifier: MIT */
/*
 * given.h - files that perf/input is given to read.
 *
 *     struct input in;
 *     CHECK_STR(given_read(&in, INPUT_LOG, ".log", GIVEN_LINE, strlen(GIVEN_LINE)), "");
 *     CHECK(given_refused(INPUT_LOG, ".log", "", 0, "is empty"));
 */
#ifndef NIGH_TEST_GIVEN_H
#define NIGH_TEST_GIVEN_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "input/input.h"
#include "support/check.h"

#define GIVEN_S    UINT64_C(1000000) /* in microseconds */
#define GIVEN_LINE "h - - [29/Nov/2026:10:00:00 +0000] \"GET /a HTTP/1.1\" 200 100\n"

static char given_path[256]; /* of the file that was made last */

/* Make a file whose name ends so. Returns its path; the caller unlinks it. */
static inline const char *given_make(const char *ending, const void *bytes, size_t len)
{
    const char *folder = getenv("TMPDIR");
    snprintf(given_path, sizeof(given_path), "%s/nigh-input-XXXXXX%s", folder ? folder : "/tmp",
             ending);
    int fd = mkstemps(given_path, (int)strlen(ending));
    REQUIRE(fd >= 0);
    REQUIRE(write(fd, bytes, len) == (ssize_t)len);
    close(fd);
    return given_path;
}

/* Returns what input_read() says of it: "" for nothing. The text lives until the next call. */
static inline const char *given_read(struct input *in, enum input_kind kind, const char *ending,
                                     const void *bytes, size_t len)
{
    static char *why;
    free(why);
    why = input_read(in, kind, given_make(ending, bytes, len));
    unlink(given_path);
    return why ? why : "";
}

static inline bool given_says(const char *why, const char *part)
{
    if (strstr(why, part))
        return true;
    check_note("it says: %s", why);
    return false;
}

/* Returns whether a file is refused with these words. */
static inline bool given_refused(enum input_kind kind, const char *ending, const void *bytes,
                                 size_t len, const char *words)
{
    struct input in;
    bool refused = given_says(given_read(&in, kind, ending, bytes, len), words);
    input_free(&in);
    return refused;
}

#endif
