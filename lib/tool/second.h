/* SPDX-License-Identifier: MIT */
/*
 * A second of the processes that nigh top shows: what they answered at its two ends, and the
 * numbers that are made of the difference.
 *
 * Numbers of several processes are added up; of latencies the worst is told, of ages the least.
 */
#ifndef NIGH_TOOL_SECOND_H
#define NIGH_TOOL_SECOND_H

#include "tool/tool.h"

#define SECOND_SPACES 64 /* that are listed, at most */

/* The answers of all processes at one moment. */
struct moment {
    struct json *of[TOOL_SOCKETS_MAX];
    char *paths[TOOL_SOCKETS_MAX]; /* of their sockets */
    size_t count; /* that have answered */
    const char *why; /* one of the others has not; NULL: not known */
    double at_s;
};

struct second {
    struct moment before, now; /* each process has the same place in both */
    const char *spaces[SECOND_SPACES]; /* names, of all processes now: they are of `now` */
    size_t space_count;
    bool more_spaces; /* than those */
};

/* How long one may keep the others from the screen, in ms. */
unsigned second_patience_ms(const struct tool_args *args);
/* Ask all at once. What was there before is freed. */
void moment_ask(struct moment *m, const struct tool_args *args, const char *command);
void moment_free(struct moment *m);

/* Ask for the numbers of now; those of the last time become `before`. Which sockets there are has
 * been looked up anew. */
void second_ask(struct second *s, const struct tool_args *args);

double second_gauge(const struct second *s, const char *name);
/* A counter's rate: of a space, or without one of the cache itself; and of all spaces together. A
 * process that was asked only once, or began anew, has none. */
double second_rate(const struct second *s, const char *space, const char *name);
double second_rate_of_spaces(const struct second *s, const char *name);
/* The p99 in ns, of that process in which it is worst; 0: none was timed. */
double second_latency_ns(const struct second *s, const char *space, const char *name);
/* The lowest of those processes that have one, which is not 0. */
double second_lowest(const struct second *s, const char *a, const char *b, const char *c);
/* Whether a process has such a text. */
bool second_has_text(const struct second *s, const char *name);
/* The hits of a hundred reads in the last minute, as each process tells of it: the number that
 * health and spaces tell, too. */
double second_hits_1m(const struct second *s, const char *space);
/* The seconds of the last minute of the spaces, or of as much of it as is told: the most. */
double second_minute_s(const struct second *s);

#endif
