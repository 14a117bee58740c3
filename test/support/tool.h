/* SPDX-License-Identifier: MIT */
/*
 * tool.h - the program nigh, run as a shell runs it.
 *
 *     CHECK_EQ(tool_run("get -S %s entries", path), 0);     // its exit status
 *     CHECK(tool_says("s.1:\n1\n"));                        // stdout and stderr, of the last run
 *
 * NIGH_TOOL is its path.
 */
#ifndef NIGH_TEST_TOOL_H
#define NIGH_TEST_TOOL_H

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>

#include "support/dial.h"
#include "support/origin.h"
#include "support/program.h"

static char tool_out[262144]; /* of the last run: no answer is longer */

/* Run the program with these words. Returns its exit status. */
__attribute__((format(printf, 1, 2))) static inline int tool_run(const char *fmt, ...)
{
    char words[1000];
    char command[1200];
    va_list args;
    va_start(args, fmt);
    vsnprintf(words, sizeof(words), fmt, args);
    va_end(args);
    snprintf(command, sizeof(command), "'%s' %s 2>&1", NIGH_TOOL, words);
    FILE *pipe = popen(command, "r");
    REQUIRE(pipe);
    size_t len = fread(tool_out, 1, sizeof(tool_out) - 1, pipe);
    tool_out[len] = '\0';
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static inline bool tool_says(const char *text)
{
    bool found = strstr(tool_out, text) != NULL;
    if (!found)
        check_note("it says: %.300s", tool_out);
    return found;
}

/* Whether a time of day that the program has told is that of now in UTC, within five minutes. */
static inline bool tool_is_now(const char *text)
{
    int hours = 0, minutes = 0, seconds = 0;
    bool read = text && sscanf(text, "%2d:%2d:%2d", &hours, &minutes, &seconds) == 3;
    long day = 86400, past = (time(NULL) - (hours * 3600L + minutes * 60 + seconds)) % day;
    bool now = read && (past < 300 || past > day - 300);
    if (!now)
        check_note("it says: %.100s", text ? text : "nothing");
    return now;
}

/* ---- a process with a socket ---- */

struct tool_place {
    char folder[40];
    char path[60]; /* of the socket that was opened last */
};

static inline void tool_make_folder(struct tool_place *p)
{
    strcpy(p->folder, "/tmp/nigh-tool-XXXXXX");
    REQUIRE(mkdtemp(p->folder));
}

static inline bool tool_listens(const struct tool_place *p)
{
    int fd = dial_open(p->path);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* Open a world with a socket of that name in the folder. */
static inline void tool_open_at(struct world *w, struct tool_place *p, const char *name,
                                const char *uri)
{
    struct nigh_options o = NIGH_OPTIONS_INIT;
    snprintf(p->path, sizeof(p->path), "%s/%s", p->folder, name);
    o.control_socket = p->path;
    o.redis_uri = uri;
    world_open(w, &o, NULL);
    REQUIRE(CHECK_WITHIN(WORLD_PATIENCE_MS, tool_listens(p)));
}

/* ---- who listens ---- */

struct tool_changer {
    struct nigh_space *space;
    const char *key; /* NULL: "a key" */
    pthread_t thread;
    _Atomic bool ends;
};

/* Invalidates until somebody has heard of it. */
static inline void *tool_change(void *arg)
{
    struct tool_changer *c = arg;
    const char *key = c->key ? c->key : "a key";
    while (!atomic_load(&c->ends)) {
        CHECK(nigh_invalidate(c->space, key, strlen(key), NULL) >= 0);
        check_pause();
    }
    return NULL;
}

/* Start a program with this NIGH_CONF, and check the first line that it prints: that "a key" of the
 * space changed. */
static inline void tool_check_hears_with(struct nigh_space *space, char *const *argv,
                                         const char *conf, const char *wanted)
{
    struct program p;
    struct tool_changer c = {.space = space};
    char line[300];
    program_start(&p, argv, conf);
    REQUIRE_EQ(pthread_create(&c.thread, NULL, tool_change, &c), 0);
    program_first_line(&p, line, sizeof(line));
    atomic_store(&c.ends, true);
    pthread_join(c.thread, NULL);
    if (!CHECK(strstr(line, wanted) != NULL))
        check_note("it says: %s", line);
    program_stop(&p);
}

static inline void tool_check_hears(struct nigh_space *space, char *const *argv,
                                    const char *wanted)
{
    tool_check_hears_with(space, argv, "", wanted);
}

#endif
